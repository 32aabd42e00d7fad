"""Tags as a prefix: parts of a clip, order by strength, and no dependence on padding."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import CheckpointError
from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    ProjectionConfig,
    TagDecodingConfig,
    TagsConfig,
)
from data.captions import train_tokenizer
from generation.calibration import CALIBRATION_KEY, Calibration
from generation.rerank import lowest_support
from models.captioner import AudioCaptioner
from models.decoder.tag_prefix import TagPrefix
from models.encoders.build import build_encoder
from models.encoders.tagging import NUM_PARTS, clip_parts
from vocabulary.audioset import tag_ids


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 7))
def test_thirds_cover_a_clip_and_none_is_empty(lengths: list[int], padding: int) -> None:
    parts = clip_parts(torch.tensor(lengths), max(lengths) + padding)
    assert parts.shape == (len(lengths), NUM_PARTS, max(lengths) + padding)
    for clip, length in zip(parts, lengths, strict=True):
        assert torch.equal(clip[0], torch.arange(len(clip[0])) < length)
        assert clip.any(dim=1).all()
        if length >= 3:
            assert torch.equal(clip[1:].sum(dim=0), clip[0].long())


@pytest.mark.parametrize("name", ["mobilenet", "cnn14"])
def test_the_tagger_on_frames_is_the_tagger_on_the_clip(name: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name=name, width=0.1)).eval()  # type: ignore[arg-type]
    waveform, lengths = torch.zeros(2, 96000), torch.tensor([96000, 64000])
    for row, length in enumerate(lengths.tolist()):
        waveform[row, :length] = torch.randn(length) * 0.1
    with torch.no_grad():
        output = encoder(waveform, lengths)
        whole = clip_parts(output.lengths, output.embeddings.shape[1])[:, :1]
        found = encoder.tag_logits(output.embeddings, whole)[:, 0]
    torch.testing.assert_close(found, output.logits, atol=1e-5, rtol=1e-5)


def test_tokens_come_strongest_first_and_know_when() -> None:
    torch.manual_seed(0)
    prefix = TagPrefix(TagsConfig(num_tags=2), 16).eval()
    logits = torch.full((2, NUM_PARTS, 527), -6.0)
    logits[:, 0, 7], logits[:, 0, 30] = 1.0, 3.0
    logits[0, 1, 7], logits[1, 3, 7] = 2.0, 2.0  # at the start of one clip, at the end of the other
    tokens = prefix(logits)
    assert tokens.shape == (2, 2, 16)
    assert torch.equal(tokens[0, 0], tokens[1, 0])  # class 30, alike in both
    assert not torch.allclose(tokens[0, 1], tokens[1, 1])
    swapped = logits[..., torch.tensor([30 if i == 7 else 7 if i == 30 else i for i in range(527)])]
    assert not torch.allclose(prefix(swapped)[0], tokens[0])


@pytest.fixture
def tagged(tiny_checkpoint: Path) -> AudioCaptioner:
    """The small captioner with a tag prefix."""
    plain = AudioCaptioner.from_pretrained(tiny_checkpoint)
    parts = dataclasses.replace(plain.config.captioner, tags=TagsConfig(num_tags=3))
    torch.manual_seed(0)
    return AudioCaptioner(dataclasses.replace(plain.config, captioner=parts), plain.tokenizer).eval()


def test_a_tagged_captioner_ignores_padding_and_survives_saving(tagged: AudioCaptioner, tmp_path: Path) -> None:
    clips = [np.random.default_rng(n).normal(0, 0.1, 32000 * n).astype(np.float32) for n in (1, 3)]
    together = tagged.caption(clips)
    for clip, found in zip(clips, together, strict=True):
        [alone] = tagged.caption([clip])
        assert alone[0].text == found[0].text
        assert alone[0].log_probability == pytest.approx(found[0].log_probability, abs=1e-3)
    tagged.save_pretrained(tmp_path / "tagged")
    assert AudioCaptioner.from_pretrained(tmp_path / "tagged").caption(clips) == together


def test_tags_teach_the_decoder_but_captions_do_not_teach_the_tagger(tagged: AudioCaptioner) -> None:
    embeddings = torch.randn(1, 5, tagged.encoder.embedding_dim)
    tagged(embeddings, torch.tensor([5]), torch.tensor([[2, 5, 6]])).sum().backward()
    assert tagged.tag_prefix is not None
    assert float(tagged.tag_prefix.embed.weight.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in tagged.encoder.parameters())


def test_frames_are_hidden_in_training_only(tagged: AudioCaptioner) -> None:
    embeddings, lengths = torch.randn(64, 5, tagged.encoder.embedding_dim), torch.full((64,), 5)
    shape = dataclasses.replace(tagged.config.captioner.projection, clip_dropout=0.5)
    parts = dataclasses.replace(tagged.config.captioner, projection=shape)
    tagged.config = dataclasses.replace(tagged.config, captioner=parts)
    torch.manual_seed(0)
    counts = tagged.train().prefix(embeddings, lengths)[1].tolist()
    assert set(counts) == {3, 8} and 16 < counts.count(3) < 48
    assert set(tagged.eval().prefix(embeddings, lengths)[1].tolist()) == {8}


def test_tags_need_frames(tagged: AudioCaptioner) -> None:
    encoder = dataclasses.replace(tagged.config.captioner.encoder, output="clip")
    config = dataclasses.replace(tagged.config, captioner=dataclasses.replace(tagged.config.captioner, encoder=encoder))
    with pytest.raises(CheckpointError, match="set captioner.encoder.output to frames"):
        AudioCaptioner(config, tagged.tokenizer)


def tags_only(width: int = 32, texts: Sequence[str] = ("a dog barks", "rain falls")) -> AudioCaptioner:
    """A small captioner whose decoder sees styles and tags alone."""
    torch.manual_seed(0)
    parts = CaptionerConfig(
        encoder=EncoderConfig(name="mobilenet", width=0.1, max_duration_s=4.0),
        projection=ProjectionConfig(kind="none"),
        tags=TagsConfig(num_tags=3, summary=True),
        decoder=DecoderConfig(num_layers=1, num_heads=2, width=width, max_positions=64),
        styles=("short", "long"),
    )
    return AudioCaptioner(Config(captioner=parts), train_tokenizer([*texts] * 3, 80)).eval()


def test_another_tagger_takes_the_place_of_its_own(tiny_checkpoint: Path) -> None:
    captioner = tags_only()
    captioner.metadata = {"step": 1, CALIBRATION_KEY: Calibration(0.0, 1.0).to_dict()}
    sound = [np.random.default_rng(0).normal(size=64000).astype(np.float32) * 0.1]
    captioner.use_tagger(build_encoder(EncoderConfig(name="cnn14", width=0.05)))
    assert captioner.caption(sound)[0][0].text is not None
    assert captioner.metadata == {"step": 1} and captioner.calibration is None  # it was fitted on the other tagger
    assert captioner.prefix(torch.randn(1, 5, 102), torch.tensor([5]))[0].shape == (1, 8, 32)
    with pytest.raises(CheckpointError, match="its tagger cannot be replaced"):
        AudioCaptioner.from_pretrained(tiny_checkpoint).use_tagger(
            build_encoder(EncoderConfig(name="cnn14", width=0.05))
        )


def test_a_clip_in_a_batch_has_the_prefix_it_has_alone() -> None:
    captioner = tags_only()
    embeddings = torch.randn(2, 9, captioner.encoder.embedding_dim)
    lengths = torch.tensor([9, 4])
    embeddings[1, 4:] = 0
    together, counts = captioner.prefix(embeddings, lengths, torch.tensor([0, 1]))
    alone, count = captioner.prefix(embeddings[1:, :4], lengths[1:], torch.tensor([1]))
    assert torch.allclose(together[1], alone[0], atol=1e-5) and counts[1] == count[0] == 8


def test_ranking_by_tags_keeps_the_captions_and_their_probabilities() -> None:
    captioner = tags_only()
    sound = [np.random.default_rng(1).normal(size=64000).astype(np.float32) * 0.1]
    plain = DecodingConfig(num_beams=4, num_captions=4, max_tokens=8, min_tokens=1)
    ranked = dataclasses.replace(plain, tags=TagDecodingConfig(coverage_weight=1.0))
    first, second = (captioner.caption(sound, decoding)[0] for decoding in (plain, ranked))
    assert {c.text: round(c.log_probability, 3) for c in first} == {c.text: round(c.log_probability, 3) for c in second}


SOUNDS = [np.random.default_rng(number).normal(size=64000).astype(np.float32) * 0.1 for number in range(3)]


def hears(captioner: AudioCaptioner, monkeypatch: pytest.MonkeyPatch, *clips: dict[str, float]) -> torch.Tensor:
    """Let clips have these tag scores in all their parts; returns them (B, C)."""
    scores = torch.full((len(clips), 527), 1e-4)
    for row, heard in enumerate(clips):
        for name, value in heard.items():
            scores[row, tag_ids()[name]] = value
    monkeypatch.setattr(captioner, "part_scores", lambda *_: scores[:, None].expand(-1, NUM_PARTS, -1))
    return scores


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_each_clip_says_only_what_its_own_tags_allow(method: str) -> None:
    captioner = tags_only(texts=["man", "dog"])
    allowed = ["man", "dog", "man"]

    def unsupported(scores: np.ndarray, min_score: float) -> np.ndarray:
        assert scores.shape == (3, 527) and min_score == 0.2
        banned = np.ones((3, len(captioner.search.words.texts)), dtype=bool)
        for row, word in enumerate(allowed):
            banned[row, [captioner.search.words.texts.index(word), captioner.token_ids["eos"]]] = False
        return banned

    captioner.search.supported_words = SimpleNamespace(unsupported=unsupported)  # type: ignore[assignment]
    decoding = DecodingConfig(
        method=method, num_beams=2, max_tokens=4, min_tokens=1, repetition_ban="none",  # type: ignore[arg-type]
        tags=TagDecodingConfig(min_score=0.2),
    )  # fmt: skip
    for word, captions in zip(allowed, captioner.caption(SOUNDS, decoding), strict=True):
        assert all(caption.text and not caption.text.replace(word, "").strip() for caption in captions)


def test_a_bonus_brings_words_for_tags_and_leaves_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = tags_only(texts=["dog barks", "rain falls"])
    hears(captioner, monkeypatch, {"Dog": 0.9}, {"Rain": 0.9})
    tags = TagDecodingConfig(word_bonus=30.0, coverage_weight=1.0)
    found = captioner.caption(SOUNDS[:2], DecodingConfig(num_captions=4, max_tokens=8, min_tokens=1, tags=tags))
    for word, captions in zip(("dog", "rain"), found, strict=True):
        assert captions[0].text.startswith(word)
    with torch.no_grad():
        output = captioner.encode_clips(SOUNDS[:2])
        prefix, lengths = captioner.prefix(output.embeddings, output.lengths)
        for clip, captions in enumerate(found):
            for caption in captions:
                ids = captioner.tokenizer.encode(caption.text, add_special_tokens=False).ids
                if len(ids) + 1 == caption.num_tokens:  # others are other pieces of the same text
                    one = slice(clip, clip + 1)
                    [[own]] = captioner.search.engine.score(prefix[one], lengths[one], [[ids]])
                    assert caption.log_probability == pytest.approx(own, abs=1e-3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["beam", "greedy", "sample"]),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(0, 1),
    st.sampled_from([0.0, 3.0]),
)
def test_no_caption_names_a_sound_below_the_lowest_score_unless_none_else_was_found(
    monkeypatch: pytest.MonkeyPatch, method: str, heard: list[float], min_score: float, bonus: float
) -> None:
    captioner = tags_only(texts=["a dog barks", "rain falls as a siren wails", "it goes on"])
    [scores] = hears(captioner, monkeypatch, dict(zip(("Dog", "Bark", "Rain", "Siren"), heard, strict=True))).tolist()
    many = DecodingConfig(
        method=method, num_beams=6, num_captions=1 if method == "greedy" else 6, max_tokens=10,  # type: ignore[arg-type]
        tags=TagDecodingConfig(word_bonus=bonus, min_score=min_score),
    )  # fmt: skip
    [found] = captioner.caption(SOUNDS[:1], many)
    assert found
    allowed = [lowest_support(caption.text.lower(), scores) >= min_score for caption in found]
    assert allowed == sorted(allowed, reverse=True)
    [best] = captioner.caption(SOUNDS[:1], dataclasses.replace(many, num_captions=1))[0]
    if method != "sample":  # which draws twice as many samples as captions
        assert best == found[0]


def test_settings_that_do_not_fit_are_reported_before_a_clip_is_read() -> None:
    captioner = tags_only()
    with pytest.raises(ValueError, match="found style 'verse' .expected one of short, long"):
        captioner.caption([], DecodingConfig(style="verse"))
    with pytest.raises(ValueError, match="found top_p 0"):
        captioner.caption_embeddings(torch.zeros(1, 0, 1), torch.tensor([0]), DecodingConfig(top_p=0.0))


def test_tags_are_the_same_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tagger's own dropout would have the decoder learn to trust its scores less than it may."""
    captioner = tags_only()
    forward, seen = captioner.tag_prefix.forward, []  # type: ignore[union-attr]

    def watched(logits: torch.Tensor) -> torch.Tensor:
        seen.append(logits)
        return forward(logits)

    monkeypatch.setattr(captioner.tag_prefix, "forward", watched)
    embeddings, lengths = torch.randn(1, 9, captioner.encoder.embedding_dim), torch.tensor([9])
    for training in (False, True, True):
        captioner.train(training)
        captioner.prefix(embeddings, lengths)
        assert captioner.encoder.training == captioner.encoder.classifier.training == training
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[1], seen[2])


def test_without_parts_the_thirds_tell_what_the_whole_tells() -> None:
    torch.manual_seed(0)
    prefix = TagPrefix(TagsConfig(num_tags=2, summary=True, dropout=0.0, parts=False), 8).eval()
    logits = torch.randn(1, NUM_PARTS, 527)
    other = torch.cat([logits[:, :1], torch.randn(1, NUM_PARTS - 1, 527)], dim=1)
    assert torch.equal(prefix(logits), prefix(other))
    prefix.config = TagsConfig(num_tags=2, summary=True, dropout=0.0)
    assert not torch.equal(prefix(logits), prefix(other))

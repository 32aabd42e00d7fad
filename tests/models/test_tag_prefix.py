"""Tags as a prefix: parts of a clip, order by strength, and no dependence on padding."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    ProjectionConfig,
    TagsConfig,
)
from data.captions import train_tokenizer
from models.calibration import CALIBRATION_KEY, Calibration
from models.captioner import AudioCaptioner
from models.encoders import build_encoder
from models.errors import CheckpointError
from models.ranking import rank
from models.tag_prefix import NUM_PARTS, TagPrefix, clip_parts
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


def test_frames_are_hidden_in_training_alone(tagged: AudioCaptioner) -> None:
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
    with pytest.raises(CheckpointError, match="takes no other tagger"):
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
    ranked = dataclasses.replace(plain, coverage_weight=1.0, support_weight=1.0, strong_tag=0.1)
    first, second = (captioner.caption(sound, decoding)[0] for decoding in (plain, ranked))
    assert {c.text: round(c.log_probability, 3) for c in first} == {c.text: round(c.log_probability, 3) for c in second}


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_each_clip_says_only_what_its_own_tags_allow(method: str) -> None:
    captioner = tags_only(texts=["man", "dog"])
    allowed = ["man", "dog", "man"]

    def unheard(scores: torch.Tensor, least: float, least_music: float) -> torch.Tensor:
        assert scores.shape == (3, 527) and (least, least_music) == (0.2, 0.3)
        banned = torch.ones(3, len(captioner.search.words.texts), dtype=torch.bool)
        for row, word in enumerate(allowed):
            banned[row, [captioner.search.words.texts.index(word), captioner.token_ids["eos"]]] = False
        return banned

    captioner.search.doubtful_words = SimpleNamespace(unheard=unheard)  # type: ignore[assignment]
    sound = [np.random.default_rng(number).normal(size=64000).astype(np.float32) * 0.1 for number in range(3)]
    decoding = DecodingConfig(
        method=method, num_beams=2, max_tokens=4, min_tokens=1, least_tag=0.2, least_music=0.3, repetition_ban="none",  # type: ignore[arg-type]
        support_weight=1.0, second_style="long",
    )  # fmt: skip
    for word, captions in zip(allowed, captioner.caption(sound, decoding), strict=True):
        assert all(caption.text and not caption.text.replace(word, "").strip() for caption in captions)


@pytest.mark.parametrize(("style", "searched"), [("short", 2), ("long", 1)])
def test_a_second_manner_that_is_the_first_is_not_searched_again(
    monkeypatch: pytest.MonkeyPatch, style: str, searched: int
) -> None:
    captioner = tags_only()
    generate, prefixes = captioner.decoder.generate, []

    def watched(prefix: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        prefixes.append(len(prefix))
        return generate(prefix, *others)

    monkeypatch.setattr(captioner.decoder, "generate", watched)
    sound = [np.random.default_rng(1).normal(size=64000).astype(np.float32) * 0.1]
    captioner.caption(sound, DecodingConfig(max_tokens=8, support_weight=1.0, style=style, second_style="long"))
    assert prefixes == [searched]


def test_a_second_manner_lends_its_captions_for_a_handicap() -> None:
    captioner = tags_only()
    torch.manual_seed(0)
    for weight in [*captioner.decoder.parameters(), captioner.style_embed.weight]:
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5)  # so that manners differ without training
    sound = [np.random.default_rng(seed).normal(size=64000).astype(np.float32) * 0.1 for seed in (1, 2)]
    first = DecodingConfig(num_beams=3, max_tokens=8, min_tokens=1, coverage_weight=0.5, support_weight=0.1)
    one, other = captioner.config.captioner.styles[:2]
    dear, cheap = (dataclasses.replace(first, second_style=other, second_handicap=cost) for cost in (1e6, -1e6))
    own = captioner.caption(sound, first)
    second = captioner.caption(sound, dataclasses.replace(first, style=other))
    assert [found[0].text for found in own] != [found[0].text for found in second]
    assert [found[0].text for found in captioner.caption(sound, dear)] == [found[0].text for found in own]
    for clip, lent in zip(captioner.caption(sound, cheap), second, strict=True):
        assert clip[0].text == lent[0].text
        assert clip[0].log_probability == pytest.approx(lent[0].log_probability, abs=1e-4)  # of its own manner
    same = dataclasses.replace(first, style=one, second_style=one)
    assert [found[0].text for found in captioner.caption(sound, same)] == [found[0].text for found in own]
    with pytest.raises(ValueError, match="no style 'verse'"):
        captioner.caption(sound, dataclasses.replace(first, second_style="verse"))


def test_an_order_is_judged_by_each_clips_own_thirds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first clip's rain follows its dog, the second's does not."""
    captioner = tags_only(texts=["dog barks then rain falls", "dog barks as rain falls"])
    logits = torch.full((2, 4, 527), -9.0)
    logits[:, :, tag_ids()["Dog"]] = logits[:, :, tag_ids()["Rain"]] = 2.0
    logits[0, 1, tag_ids()["Rain"]] = logits[0, 3, tag_ids()["Dog"]] = -9.0
    monkeypatch.setattr(captioner, "part_scores", lambda *_: logits.sigmoid())
    judged: list[Any] = []

    def watched(*arguments: Any) -> list[int]:
        judged.append(arguments[-1])
        return rank(*arguments)

    monkeypatch.setattr("models.captions.rank", watched)
    sound = [np.random.default_rng(seed).normal(size=64000).astype(np.float32) * 0.1 for seed in (1, 2)]
    decoding = DecodingConfig(num_beams=2, max_tokens=8, min_tokens=1, coverage_weight=1.0, order_weight=0.2)
    captioner.caption(sound, decoding)
    assert len(judged) == 2
    for clip, heard in enumerate(judged):
        torch.testing.assert_close(heard, logits[clip, 1:].sigmoid())
    captioner.caption(sound, dataclasses.replace(decoding, order_weight=0.0))
    assert judged[2:] == [None, None]


@pytest.mark.parametrize("second_style", ["", "long"])
def test_a_bonus_brings_words_for_what_is_heard_and_leaves_probabilities(
    monkeypatch: pytest.MonkeyPatch, second_style: str
) -> None:
    captioner = tags_only(texts=["dog barks", "rain falls"])
    heard = torch.zeros(2, 527)
    heard[0, tag_ids()["Dog"]] = heard[1, tag_ids()["Rain"]] = 0.9
    monkeypatch.setattr(captioner, "part_scores", lambda *_: heard[:, None].expand(-1, NUM_PARTS, -1))
    sound = [np.random.default_rng(seed).normal(size=64000).astype(np.float32) * 0.1 for seed in (1, 2)]
    decoding = DecodingConfig(
        num_beams=2, num_captions=4, max_tokens=8, min_tokens=1, heard_bonus=30.0, support_weight=1.0,
        second_handicap=-1e3,
        second_style=second_style,
    )  # fmt: skip
    found = captioner.caption(sound, decoding)
    for word, captions in zip(("dog", "rain"), found, strict=True):
        assert any(caption.text.startswith(word) for caption in captions)
    with torch.no_grad():
        output = captioner.encode_clips(sound)
        manners = [torch.full_like(output.lengths, captioner.style_number(style)) for style in ("", second_style)]
        prefixes = [captioner.prefix(output.embeddings, output.lengths, styles) for styles in manners]
        for clip, captions in enumerate(found):
            for caption in captions:
                ids = captioner.tokenizer.encode(caption.text, add_special_tokens=False).ids
                if len(ids) + 1 < caption.num_tokens:
                    continue  # other pieces of the same text
                own = [captioner.search.score(prefix[clip], lengths[clip], [ids])[0] for prefix, lengths in prefixes]
                assert min(abs(caption.log_probability - value) for value in own) < 1e-3


@pytest.mark.parametrize("second_style", ["", "long"])
def test_what_no_beam_names_is_said_in_sentences_of_ours_where_asked(
    monkeypatch: pytest.MonkeyPatch, second_style: str
) -> None:
    captioner = tags_only(texts=["dog barks", "a gong is struck"])
    heard = torch.full((2, 527), 1e-4)
    heard[0, tag_ids()["Gong"]] = heard[1, tag_ids()["Harp"]] = 0.9  # the tokenizer has no word for a harp
    monkeypatch.setattr(captioner, "part_scores", lambda *_: heard[:, None].expand(-1, NUM_PARTS, -1))
    sound = [np.random.default_rng(seed).normal(size=64000).astype(np.float32) * 0.1 for seed in (1, 2)]
    plain = DecodingConfig(
        num_beams=2, max_tokens=8, min_tokens=1, coverage_weight=1e3, second_style=second_style, second_handicap=1e6
    )
    asked = dataclasses.replace(plain, unnamed_tag=0.5)
    before, after = captioner.caption(sound, plain), captioner.caption(sound, asked)
    told = after[0][0]
    assert told.text == "a gong is struck" and before[0][0].text != told.text and after[1] == before[1]
    with torch.no_grad():
        output = captioner.encode_clips(sound[:1])
        prefix, lengths = captioner.prefix(output.embeddings, output.lengths)
        ids = captioner.tokenizer.encode(told.text, add_special_tokens=False).ids
        assert told.log_probability == pytest.approx(captioner.search.score(prefix[0], lengths[0], [ids])[0], abs=1e-3)
    for unasked in (
        dataclasses.replace(asked, unnamed_tag=0.95),
        dataclasses.replace(asked, coverage_weight=0.0),
        dataclasses.replace(asked, method="greedy"),
    ):
        assert captioner.caption(sound, unasked)[0][0].text != told.text


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


def test_each_manner_may_have_a_bonus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = tags_only(texts=["dog barks", "rain falls"])
    names = captioner.config.captioner.styles
    heard = torch.zeros(1, 527)
    heard[0, tag_ids()["Dog"]] = 0.9
    monkeypatch.setattr(captioner, "part_scores", lambda *_: heard[:, None].expand(-1, NUM_PARTS, -1))
    sound = [np.random.default_rng(1).normal(size=64000).astype(np.float32) * 0.1]
    plain = DecodingConfig(num_beams=2, max_tokens=8, min_tokens=1)

    def said(style: str, bonus: float | tuple[float, ...]) -> str:
        return captioner.caption(sound, dataclasses.replace(plain, style=style, heard_bonus=bonus))[0][0].text

    bonuses = tuple(30.0 * (number == 1) for number in range(len(names)))
    assert said(names[1], bonuses) == said(names[1], 30.0) and said(names[1], 30.0).startswith("dog")
    assert said(names[0], bonuses) == said(names[0], 0.0)
    with pytest.raises(ValueError, match=f"heard_bonus has 1 number.*{len(names)} styles"):
        said(names[0], (1.0,))


def test_each_manner_may_have_a_weight_of_words_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = tags_only(texts=["dog barks", "rain falls"])
    names = captioner.config.captioner.styles
    sound = [np.random.default_rng(1).normal(size=64000).astype(np.float32) * 0.1]
    plain = DecodingConfig(num_beams=6, max_tokens=8, min_tokens=1, support_weight=1e-9)

    def words(style: str, weight: float | tuple[float, ...]) -> int:
        captions = captioner.caption(sound, dataclasses.replace(plain, style=style, word_weight=weight))
        return len(captions[0][0].text.split())

    weights = tuple(100.0 * (number == 1) for number in range(len(names)))
    assert words(names[1], weights) == words(names[1], 100.0) > words(names[1], -100.0)
    assert words(names[0], weights) == words(names[0], 0.0)
    with pytest.raises(ValueError, match=f"word_weight has 1 number.*{len(names)} styles"):
        words(names[0], (1.0,))


def test_without_parts_the_thirds_tell_what_the_whole_tells() -> None:
    torch.manual_seed(0)
    prefix = TagPrefix(TagsConfig(num_tags=2, summary=True, dropout=0.0, parts=False), 8).eval()
    logits = torch.randn(1, NUM_PARTS, 527)
    other = torch.cat([logits[:, :1], torch.randn(1, NUM_PARTS - 1, 527)], dim=1)
    assert torch.equal(prefix(logits), prefix(other))
    prefix.config = TagsConfig(num_tags=2, summary=True, dropout=0.0)
    assert not torch.equal(prefix(logits), prefix(other))

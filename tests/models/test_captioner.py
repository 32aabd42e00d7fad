"""AudioCaptioner: saving and loading, batches, decoding."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from configs.errors import CheckpointError
from configs.schema import DecoderConfig, DecodingConfig, TagDecodingConfig
from generation.calibration import CALIBRATION_KEY, Calibration
from generation.pipeline import NUM_ADDED
from generation.rerank import Fit, fit_to_tags
from generation.retrieval import CaptionStore
from models.captioner import AudioCaptioner
from models.decoder.engine import SCORED_TOGETHER
from vocabulary.audioset import named_tags


@pytest.fixture(scope="module")
def captioner(tiny_checkpoint: Path) -> AudioCaptioner:
    return AudioCaptioner.from_pretrained(tiny_checkpoint)


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(32000 * seconds)).astype(np.float32)


def test_saved_and_loaded_it_says_the_same(captioner: AudioCaptioner, tmp_path: Path) -> None:
    captioner.save_pretrained(tmp_path / "copy", {"licence": "MIT"})
    copy = AudioCaptioner.from_pretrained(tmp_path / "copy")
    assert copy.metadata["licence"] == "MIT"
    assert copy.config == captioner.config
    assert copy.caption([noise(1, 0)]) == captioner.caption([noise(1, 0)])
    assert all(
        torch.equal(a, b) for a, b in zip(copy.state_dict().values(), captioner.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_a_clip_in_a_batch_gets_what_it_gets_alone(captioner: AudioCaptioner, method: str) -> None:
    decoding = DecodingConfig(method=method, max_tokens=10)  # type: ignore[arg-type]
    clips = [noise(1.0, 1), noise(2.5, 2), noise(0.4, 3)]
    together = captioner.caption(clips, decoding)
    for clip, found in zip(clips, together, strict=True):
        alone = captioner.caption([clip], decoding)[0]
        assert [caption.text for caption in alone] == [caption.text for caption in found]
        assert alone[0].log_probability == pytest.approx(found[0].log_probability, abs=1e-3)


@pytest.mark.parametrize("method", ["beam", "sample"])
def test_several_captions_differ_and_their_probabilities_are_the_models(captioner: AudioCaptioner, method: str) -> None:
    decoding = DecodingConfig(method=method, num_captions=3, max_tokens=8)  # type: ignore[arg-type]
    captions = captioner.caption([noise(1, 4)], decoding)[0]
    assert 1 <= len(captions) <= 3
    assert len({caption.text for caption in captions}) == len(captions)
    assert all(caption.log_probability < 0 for caption in captions)


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
@pytest.mark.parametrize("coverage_weight", [0.0, 1.0])
def test_a_calibration_gives_probabilities_and_changes_no_caption(
    tiny_checkpoint: Path, tmp_path: Path, method: str, coverage_weight: float
) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    decoding = DecodingConfig(method=method, num_captions=1 if method == "greedy" else 3, max_tokens=8)  # type: ignore[arg-type]
    decoding = dataclasses.replace(decoding, tags=TagDecodingConfig(coverage_weight=coverage_weight))
    plain = captioner.caption([noise(1, 4), noise(2, 5)], decoding)
    assert captioner.calibration is None and all(caption.probability is None for found in plain for caption in found)
    calibration = Calibration(1.0, 0.5, support=0.2, coverage=0.7, strong_tag=0.4)
    captioner.save_pretrained(tmp_path / "calibrated", {CALIBRATION_KEY: calibration.to_dict()})
    loaded = AudioCaptioner.from_pretrained(tmp_path / "calibrated")
    assert loaded.calibration == calibration
    told = loaded.caption([noise(1, 4), noise(2, 5)], decoding)
    heard = loaded.encode_clips([noise(1, 4), noise(2, 5)])
    with torch.no_grad():
        scores = loaded.tag_scores(heard.embeddings, heard.lengths)
    for row, (before, after) in enumerate(zip(plain, told, strict=True)):
        assert [dataclasses.replace(caption, probability=None) for caption in after] == before
        for caption in after:
            fit = fit_to_tags(caption.text.lower(), scores[row].numpy(), 0.4)
            assert caption.probability == pytest.approx(calibration.probability(caption.per_token, fit), abs=1e-5)


def test_a_calibration_survives_saving(tiny_checkpoint: Path, tmp_path: Path) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    calibration = Calibration(0.5, 2.0)
    captioner.metadata[CALIBRATION_KEY] = calibration.to_dict()
    captioner.save_pretrained(tmp_path / "again", {"step": 7})
    again = AudioCaptioner.from_pretrained(tmp_path / "again")
    assert again.calibration == calibration and again.metadata["step"] == 7
    [[caption]] = again.caption([noise(1, 0)], DecodingConfig(max_tokens=8))
    assert caption.probability == calibration.probability(caption.per_token)


def test_a_calibration_without_similarity_is_stored_and_read_as_before() -> None:
    old = {"intercept": 1.8, "per_token": 2.3, "support": 0.5, "coverage": 2.1, "strong_tag": 0.1}
    calibration = Calibration.from_dict(old)
    assert calibration.similarity == 0.0 and calibration.to_dict() == old
    new = dataclasses.replace(calibration, similarity=0.7)
    assert Calibration.from_dict(new.to_dict()) == new
    fit = Fit(0.5, -1.0)
    assert new.probability(-0.5, fit, 2.0) > new.probability(-0.5, fit, 0.0) == calibration.probability(-0.5, fit)
    with pytest.raises(ValueError, match="give the similarity of the caption"):
        new.probability(-0.5, fit)


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_a_calibration_by_similarity_changes_no_caption(tiny_checkpoint: Path, method: str) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    decoding = DecodingConfig(method=method, num_captions=1 if method == "greedy" else 3, max_tokens=8)  # type: ignore[arg-type]
    calibration = Calibration(0.5, 2.0, similarity=0.5)
    captioner.search.store = CaptionStore.build(
        ["a dog barks", "rain falls"], [named_tags("Dog"), named_tags("Rain")], [0, 0]
    )
    [before] = captioner.caption([noise(1, 0)], decoding)
    assert all(caption.similarity is None for caption in before)
    captioner.metadata[CALIBRATION_KEY] = calibration.to_dict()
    [after] = captioner.caption([noise(1, 0)], decoding)
    assert [dataclasses.replace(caption, probability=None, similarity=None) for caption in after] == before
    for caption in after:
        assert caption.similarity is not None and 0 <= caption.similarity <= 10
        assert caption.probability == calibration.probability(caption.per_token, Fit(0.0, 0.0), caption.similarity)
    captioner.search.store = CaptionStore.build(["a dog barks"], [named_tags("Dog")], [1])  # of another style
    [unknown] = captioner.caption([noise(1, 0)], decoding)
    assert [dataclasses.replace(caption, probability=None) for caption in unknown] == before
    assert all(caption.probability is None for caption in unknown)
    captioner.search.store = None
    with pytest.raises(CheckpointError, match="no caption store"):
        _ = captioner.calibration


def test_only_the_references_most_like_the_others_become_candidates(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    captions = ["rain rain rain", *(f"a dog barks {' '.join(['on a roof'] * number)}".strip() for number in range(12))]
    dog = named_tags("Dog")
    captioner.search.store = CaptionStore.build(captions, [dog] * len(captions), [0] * len(captions))
    scored: list[str] = []
    score = captioner.search.engine.score

    def counted(prefix: torch.Tensor, lengths: torch.Tensor, ids: Sequence[Sequence[list[int]]]) -> list[list[float]]:
        scored.extend(captioner.tokenizer.decode(row).strip() for captions in ids for row in captions)
        return score(prefix, lengths, ids)

    monkeypatch.setattr(captioner.search.engine, "score", counted)
    by_consensus = DecodingConfig(num_captions=1, max_tokens=8, tags=TagDecodingConfig(consensus_weight=1.0))
    captioner.caption([noise(1, 0)], by_consensus)
    added = [text for text in scored if text in captions]  # the search may have had its own sequences scored as well
    assert len(added) == NUM_ADDED and "rain rain rain" not in added


@pytest.mark.parametrize("values", [{"intercept": 1.0}, Calibration(0.0, 1.0).to_dict() | {"slope": 1.0}, 3.0])
def test_a_calibration_that_cannot_be_read_is_reported(tiny_checkpoint: Path, tmp_path: Path, values: object) -> None:
    AudioCaptioner.from_pretrained(tiny_checkpoint).save_pretrained(tmp_path / "odd", {CALIBRATION_KEY: values})
    with pytest.raises(CheckpointError, match="expected intercept, per_token, support, coverage, strong_tag"):
        AudioCaptioner.from_pretrained(tmp_path / "odd")


def test_a_calibration_by_tags_needs_a_tagger(tiny_checkpoint: Path) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    encoder = dataclasses.replace(captioner.config.captioner.encoder, output="clip")
    parts = dataclasses.replace(captioner.config.captioner, encoder=encoder)
    deaf = AudioCaptioner(dataclasses.replace(captioner.config, captioner=parts), captioner.tokenizer)
    deaf.metadata[CALIBRATION_KEY] = Calibration(0.0, 1.0).to_dict()
    assert deaf.calibration is not None
    deaf.metadata[CALIBRATION_KEY] = Calibration(0.0, 1.0, coverage=1.0).to_dict()
    with pytest.raises(CheckpointError, match="needs tag scores"):
        _ = deaf.calibration


def test_sampling_repeats_with_its_seed(captioner: AudioCaptioner) -> None:
    decoding = DecodingConfig(method="sample", top_k=20, max_tokens=8, seed=5)
    before = torch.get_rng_state()
    assert captioner.caption([noise(1, 4)], decoding) == captioner.caption([noise(1, 4)], decoding)
    assert torch.equal(before, torch.get_rng_state())


def test_no_content_word_comes_twice(captioner: AudioCaptioner) -> None:
    decoding = dataclasses.replace(captioner.config.decoding, max_tokens=30, min_tokens=30, repetition_ban="content")
    text = captioner.caption([noise(1, 6)], decoding)[0][0].text
    content = [word for word in text.split() if len(word) > 4]
    assert len(content) == len(set(content))


def test_a_batch_is_encoded_as_its_clips_are(captioner: AudioCaptioner) -> None:
    generator = np.random.default_rng(0)
    clips = [generator.normal(0, 0.1, int(captioner.sample_rate * seconds)).astype(np.float32) for seconds in (1, 3, 2)]
    clips = clips * 3 + clips[:1]  # more than are encoded at once
    together = captioner.encode_clips(clips)
    for row, clip in enumerate(clips):
        alone = captioner.encode_clips([clip])
        length = int(alone.lengths[0])
        assert int(together.lengths[row]) == length
        torch.testing.assert_close(together.embeddings[row, :length], alone.embeddings[0], rtol=1e-4, atol=1e-4)
        assert not together.embeddings[row, length:].any()
        assert together.logits is not None and alone.logits is not None
        torch.testing.assert_close(together.logits[row], alone.logits[0], rtol=1e-4, atol=1e-4)


def test_no_clips_give_no_captions(captioner: AudioCaptioner) -> None:
    assert captioner.caption([]) == []


def test_a_checkpoint_that_does_not_fit_its_configuration_is_refused(captioner: AudioCaptioner, tmp_path: Path) -> None:
    decoder = dataclasses.replace(captioner.config.captioner.decoder, width=64)
    parts = dataclasses.replace(captioner.config.captioner, decoder=decoder)
    other = AudioCaptioner.from_pretrained(_copy(captioner, tmp_path / "a"))
    other.config = dataclasses.replace(captioner.config, captioner=parts)
    other.save_pretrained(tmp_path / "b")
    with pytest.raises(CheckpointError, match="does not fit its configuration"):
        AudioCaptioner.from_pretrained(tmp_path / "b")


def test_nothing_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint folder"):
        AudioCaptioner.from_pretrained(tmp_path / "none")


def test_a_frozen_published_encoder_is_named_not_copied(captioner: AudioCaptioner, tmp_path: Path) -> None:
    weights = tmp_path / "encoder.pth"
    torch.save(captioner.encoder.state_dict(), weights)
    encoder = dataclasses.replace(captioner.config.captioner.encoder, weights=str(weights), train_from_step=None)
    parts = dataclasses.replace(captioner.config.captioner, encoder=encoder)
    published = AudioCaptioner(dataclasses.replace(captioner.config, captioner=parts), captioner.tokenizer).eval()
    published.save_pretrained(tmp_path / "run")
    size = (tmp_path / "run" / "model.safetensors").stat().st_size
    assert (
        size
        < 4 * sum(p.numel() for p in published.decoder.parameters())
        + 4 * sum(p.numel() for p in published.projection.parameters())
        + 20_000
    )
    loaded = AudioCaptioner.from_pretrained(tmp_path / "run")
    assert loaded.encoder_is_published and loaded.caption([noise(1, 0)]) == published.caption([noise(1, 0)])
    loaded.encoder_is_published = False  # as training sets it
    loaded.save_pretrained(tmp_path / "trained")
    assert any(name.startswith("encoder.") for name in load_file(tmp_path / "trained" / "model.safetensors"))
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(CheckpointError, match="are missing"):
        AudioCaptioner.from_pretrained(tmp_path / "run")
    assert AudioCaptioner.from_pretrained(tmp_path / "run", encoder_weights=str(moved)).encoder_is_published
    assert not AudioCaptioner.from_pretrained(tmp_path / "trained").encoder_is_published  # it needs no other file
    moved.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="sha256"):
        AudioCaptioner.from_pretrained(tmp_path / "run", encoder_weights=str(moved))


def _copy(captioner: AudioCaptioner, path: Path) -> Path:
    captioner.save_pretrained(path)
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_pretrained_decoder_is_not_needed_again(
    captioner: AudioCaptioner, tmp_path: Path, rank: int, tied: bool
) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vocab_size = captioner.tokenizer.get_vocab_size()
    LlamaForCausalLM(
        LlamaConfig(vocab_size=vocab_size, tie_word_embeddings=tied, pad_token_id=None, **sizes)
    ).save_pretrained(tmp_path / "llama")
    decoder = DecoderConfig(pretrained=str(tmp_path / "llama"), lora_rank=rank, dropout=0.0)
    parts = dataclasses.replace(captioner.config.captioner, decoder=decoder)
    adapted = AudioCaptioner(dataclasses.replace(captioner.config, captioner=parts), captioner.tokenizer).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(tmp_path / "run")
    shutil.rmtree(tmp_path / "llama")
    loaded = AudioCaptioner.from_pretrained(tmp_path / "run")
    assert loaded.caption([noise(1, 0)]) == adapted.caption([noise(1, 0)])


def test_captions_of_several_clips_are_scored_as_those_of_each(tiny_checkpoint: Path) -> None:
    engine = AudioCaptioner.from_pretrained(tiny_checkpoint).search.engine
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 6, (SCORED_TOGETHER + 3,), generator=generator)
    prefix = torch.randn(len(lengths), 5, engine.decoder.width, generator=generator)
    ids = [
        [[3 + number] * (1 + clip % 3) for number in range(clip % 4)] for clip in range(len(lengths))
    ]  # some have none
    with torch.no_grad():
        together = engine.score(prefix, lengths, ids)
        for clip, captions in enumerate(ids):
            for number, caption in enumerate(captions):
                one = slice(clip, clip + 1)
                [[alone]] = engine.score(prefix[one, : int(lengths[clip])], lengths[one], [[caption]])
                assert together[clip][number] == pytest.approx(alone, abs=1e-4)
    assert [len(values) for values in together] == [len(captions) for captions in ids]

"""Captioners with networks of transformers: saved, loaded without the folders they came from, and checked."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.errors import CheckpointError
from configs.schema import CaptionerConfig, Config, DecoderConfig, DecodingConfig, EncoderConfig, TagsConfig
from data.captions import build_tokenizer, encode_caption, tokenizer_config, train_tokenizer
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from tests.models.networks import SENTENCES, make_audio_network, make_clap, make_llama

DECODER = DecoderConfig(num_layers=1, num_heads=2, width=32, dropout=0.0, max_positions=256)
KINDS = ("htsat", "clap", "whisper", "ast", "wav2vec2-bert")


def make_captioner(
    kind: str, folder: Path, train_from_step: int | None, decoder: DecoderConfig = DECODER
) -> AudioCaptioner:
    torch.manual_seed(0)
    if kind in ("htsat", "clap"):
        make_clap(folder)
        encoder = EncoderConfig(name=kind, weights=str(folder), sample_rate=48000, train_from_step=train_from_step)
    else:
        make_audio_network(kind, folder)
        encoder = EncoderConfig(name=f"hf:{folder}", sample_rate=16000, train_from_step=train_from_step)
    config = Config(CaptionerConfig(encoder=encoder, decoder=decoder), decoding=DecodingConfig(max_tokens=12))
    return AudioCaptioner(config, train_tokenizer(SENTENCES, 80)).eval()


def clips(captioner: AudioCaptioner) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(0, 0.1, int(captioner.sample_rate * s)).astype(np.float32) for s in (1.0, 2.5)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_encoder_is_saved_whole(kind: str, tmp_path: Path) -> None:
    captioner = make_captioner(kind, tmp_path / "published", train_from_step=0)
    with torch.no_grad():
        for parameter in captioner.encoder.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    captioner.save_pretrained(tmp_path / "run")
    shutil.rmtree(tmp_path / "published")
    loaded = AudioCaptioner.from_pretrained(tmp_path / "run")
    assert loaded.caption(clips(captioner)) == captioner.caption(clips(captioner))
    assert set(loaded.state_dict()) == set(captioner.state_dict())
    loaded.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "encoder.json").read_text() == (tmp_path / "run" / "encoder.json").read_text()
    assert AudioCaptioner.from_pretrained(tmp_path / "copy").caption(clips(captioner)) == captioner.caption(
        clips(captioner)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_encoder_is_named_and_its_weights_are_checked(kind: str, tmp_path: Path) -> None:
    captioner = make_captioner(kind, tmp_path / "published", train_from_step=None)
    captioner.save_pretrained(tmp_path / "run")
    assert not (tmp_path / "run" / "encoder.json").exists()
    assert not read_metadata(tmp_path / "run")["encoder_included"]
    assert AudioCaptioner.from_pretrained(tmp_path / "run").caption(clips(captioner)) == captioner.caption(
        clips(captioner)
    )
    moved = (tmp_path / "published").rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match="could be loaded from .*--encoder_weights"):
        AudioCaptioner.from_pretrained(tmp_path / "run")
    loaded = AudioCaptioner.from_pretrained(tmp_path / "run", encoder_weights=str(moved))
    assert loaded.caption(clips(captioner)) == captioner.caption(clips(captioner))
    other = make_captioner(kind, tmp_path / "other", train_from_step=None)
    with torch.no_grad():
        next(other.encoder.parameters()).add_(1)
    network = other.encoder.network
    network = network if kind != "whisper" else _whisper_with(network, tmp_path / "other")
    if kind in ("htsat", "clap"):
        _save_audio_tower(network, tmp_path / "other")
    else:
        network.save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="has other weights than this checkpoint needs"):
        AudioCaptioner.from_pretrained(tmp_path / "run", encoder_weights=str(tmp_path / "other"))


def _whisper_with(encoder: torch.nn.Module, folder: Path) -> torch.nn.Module:
    from transformers import WhisperModel

    whisper = WhisperModel.from_pretrained(folder)
    whisper.encoder.load_state_dict(encoder.state_dict())
    return whisper


def _save_audio_tower(network: torch.nn.Module, folder: Path) -> None:
    from transformers import ClapModel

    clap = ClapModel.from_pretrained(folder)
    clap.audio_model.load_state_dict(network.audio_model.state_dict())
    clap.save_pretrained(folder)


def test_from_scratch(tmp_path: Path) -> None:
    for kind, width in (("htsat", 64), ("clap", 512)):
        encoder = EncoderConfig(name=kind, width=0.08, sample_rate=48000, train_from_step=0)
        config = Config(CaptionerConfig(encoder=encoder, decoder=DECODER), decoding=DecodingConfig(max_tokens=12))
        captioner = AudioCaptioner(config, train_tokenizer(SENTENCES, 80)).eval()
        assert captioner.encoder.embedding_dim == width
        captioner.save_pretrained(tmp_path / kind)
        loaded = AudioCaptioner.from_pretrained(tmp_path / kind)
        assert loaded.caption(clips(captioner)) == captioner.caption(clips(captioner))


def test_tags_need_a_tagger(tmp_path: Path) -> None:
    captioner = make_captioner("htsat", tmp_path, train_from_step=None)
    parts = dataclasses.replace(captioner.config.captioner, tags=TagsConfig(num_tags=3))
    with pytest.raises(CheckpointError, match="htsat has no tagger"):
        AudioCaptioner(dataclasses.replace(captioner.config, captioner=parts), captioner.tokenizer)


def _with_llama(folder: Path, **changes: object) -> AudioCaptioner:
    make_llama(folder)
    encoder = EncoderConfig(name="mobilenet", width=0.1, train_from_step=0)
    decoder = DecoderConfig(pretrained=str(folder), dropout=0.0, **changes)  # type: ignore[arg-type]
    parts = CaptionerConfig(encoder=encoder, decoder=decoder)
    parts = dataclasses.replace(parts, tokenizer=dataclasses.replace(parts.tokenizer, kind="decoder"))
    tokenizer = build_tokenizer(tokenizer_config(parts), [])
    captioner = AudioCaptioner(Config(parts, decoding=DecodingConfig(max_tokens=12)), tokenizer).eval()
    for name, parameter in captioner.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return captioner


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frozen": True},
        {"frozen": True, "dtype": "bfloat16"},
        {"lora_rank": 2},
        {"lora_rank": 2, "dtype": "bfloat16"},
        {"gradient_checkpointing": True},
    ],
    ids=lambda changes: "-".join(map(str, changes)) or "full",
)
def test_a_pretrained_llama_with_its_own_tokenizer(changes: dict[str, object], tmp_path: Path) -> None:
    captioner = _with_llama(tmp_path / "llama", **changes)
    assert captioner.token_ids == {"pad": 0, "bos": 1, "eos": 2}
    captioner.save_pretrained(tmp_path / "run")
    shutil.rmtree(tmp_path / "llama")
    loaded = AudioCaptioner.from_pretrained(tmp_path / "run", rounds_weights=False)
    assert loaded.caption(clips(captioner)) == captioner.caption(clips(captioner))
    theirs, ours = loaded.state_dict(), captioner.state_dict()
    assert all(torch.equal(theirs[name], ours[name]) and theirs[name].dtype == ours[name].dtype for name in ours)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merged_and_saved(dtype: str, tmp_path: Path) -> None:
    captioner = _with_llama(tmp_path / "llama", lora_rank=2, dtype=dtype)
    before = captioner.caption(clips(captioner))
    captioner.merge_lora()
    captioner.save_pretrained(tmp_path / "merged")
    assert "lora" not in json.dumps(sorted(captioner.state_dict()))
    loaded = AudioCaptioner.from_pretrained(tmp_path / "merged")
    assert loaded.config.captioner.decoder.lora_rank == 0
    assert loaded.caption(clips(captioner)) == captioner.caption(clips(captioner))
    for found, expected in zip(loaded.caption(clips(captioner)), before, strict=True):
        if dtype == "float32":
            assert found[0].text == expected[0].text
            assert found[0].log_probability == pytest.approx(expected[0].log_probability, abs=1e-3)


def test_llamas_tokenizer_gets_an_end_mark(tmp_path: Path) -> None:
    make_llama(tmp_path)
    parts = CaptionerConfig(decoder=DecoderConfig(pretrained=str(tmp_path)))
    parts = dataclasses.replace(parts, tokenizer=dataclasses.replace(parts.tokenizer, kind="decoder"))
    tokenizer = build_tokenizer(tokenizer_config(parts), [])
    ids = encode_caption(tokenizer, SENTENCES[0], 40)
    assert ids[0] == 1 and ids[-1] == 2 and not {1, 2} & set(ids[1:-1])
    assert tokenizer.decode(ids) == SENTENCES[0]
    assert encode_caption(tokenizer, SENTENCES[0], 4)[-1] == 2
    with pytest.raises(ValueError, match="needs a pretrained decoder"):
        tokenizer_config(dataclasses.replace(parts, decoder=DecoderConfig()))

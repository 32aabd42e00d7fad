"""Embeddings on disk: damaged files are named and computed again, and nothing stale is taken."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from configs.schema import EncoderConfig
from data.audio import AudioError
from data.clotho import FileClip
from data.feature_cache import DamagedEntryError, FeatureCache
from models.encoders import mobilenet
from models.encoders.base import AudioEncoder
from models.encoders.build import build_encoder
from training import features
from training.features import FrozenFeatures, encoder_fingerprint

CONFIG = EncoderConfig(name="mobilenet", weights=None, width=0.1)


@pytest.fixture(scope="module")
def encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return build_encoder(CONFIG).eval()


@pytest.fixture
def clip(tmp_path: Path) -> FileClip:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).normal(size=16000), 16000)
    return FileClip(tmp_path / "a.wav", ("noise",))


def _empty(content: bytearray) -> None:
    content.clear()


def _half(content: bytearray) -> None:
    del content[len(content) // 2 :]


def _less_a_byte(content: bytearray) -> None:
    del content[-1]


def _flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 1


def _flip_header(content: bytearray) -> None:
    content[20] ^= 1


def _flip_checksum(content: bytearray) -> None:
    content[-1] ^= 1


def _longer(content: bytearray) -> None:
    content += b"x"


def _zeros(content: bytearray) -> None:
    content[:] = bytes(len(content))


DAMAGES = [_empty, _half, _less_a_byte, _flip, _flip_header, _flip_checksum, _longer, _zeros]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entries_are_named_and_computed_anew(
    encoder: AudioEncoder, clip: FileClip, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    cache = FeatureCache(tmp_path / "cache", "key")
    embed = FrozenFeatures(encoder, CONFIG, cache)
    before = embed(clip)
    path = cache.path(clip.identity)
    content = bytearray(path.read_bytes())
    damage(content)  # type: ignore[operator]
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        embed.fill([clip], "again")
    [told] = [record.getMessage() for record in caplog.records]
    assert str(path) in told and "damaged" in told and "computed again" in told and "\n" not in told
    assert np.array_equal(cache.read(clip.identity), before)
    path.write_bytes(content)
    with pytest.raises(DamagedEntryError, match=str(path)):
        cache.read(clip.identity)
    assert clip.identity not in cache


def test_a_process_without_the_device_names_the_clip(
    encoder: AudioEncoder, clip: FileClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(tmp_path / "cache", "key")
    cache.path(clip.identity).write_bytes(b"")
    monkeypatch.setattr(features, "get_worker_info", lambda: object())
    embed = FrozenFeatures(encoder.to("meta"), CONFIG, cache)
    with pytest.raises(AudioError, match="a.wav: .* was removed"):
        embed(clip)
    encoder.to_empty(device="cpu")


def test_the_key_has_all_that_changes_an_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG)
    keys = [encoder_fingerprint(encoder, CONFIG)]
    assert encoder_fingerprint(encoder, replace(CONFIG, train_from_step=5)) == keys[0]
    keys.append(encoder_fingerprint(encoder, replace(CONFIG, max_duration_s=5.0)))
    for name in ("PRE_EMPHASIS", "HOP", "WINDOW_S", "MAX_FREQUENCY_HZ"):
        with monkeypatch.context() as patch:
            patch.setattr(mobilenet, name, 3)
            keys.append(encoder_fingerprint(encoder, CONFIG))
    with monkeypatch.context() as patch:
        patch.setattr(features, "EMBEDDINGS_VERSION", 99)
        keys.append(encoder_fingerprint(encoder, CONFIG))
    with monkeypatch.context() as patch:
        patch.setattr(features, "version", lambda name: "9.9" if name == "soxr" else "1")
        keys.append(encoder_fingerprint(encoder, CONFIG))
    buffer = next(buffer for name, buffer in encoder.named_buffers() if name.endswith("mel_bank"))
    kept = buffer.clone()
    buffer[3, 40] += 0.01  # it is in no state dict
    keys.append(encoder_fingerprint(encoder, CONFIG))
    buffer.copy_(kept)
    with torch.no_grad():
        next(encoder.parameters()).view(-1)[0] += 1e-6
    keys.append(encoder_fingerprint(encoder, CONFIG))
    assert len(set(keys)) == len(keys)


def test_the_key_has_an_accelerators_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(CONFIG)

    class Weight:
        device = torch.device("cuda")

    found = []
    before = torch.backends.cuda.matmul.allow_tf32
    try:
        for allowed in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = allowed
            found.append(encoder_fingerprint(encoder, CONFIG))
            with monkeypatch.context() as patch:
                patch.setattr(encoder, "parameters", lambda: iter([Weight()]))
                found.append(encoder_fingerprint(encoder, CONFIG))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert found[0] == found[2] and len(set(found)) == 3  # the processor has no TF32

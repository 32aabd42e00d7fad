"""HTS-AT: ClapFeatureExtractor's numbers, transformers' network, frames in time order, padding changes nothing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ClapFeatureExtractor, ClapModel

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.encoders.base import SpecMasks
from models.encoders.build import build_encoder
from models.encoders.htsat import ClapLogMel, FrontEndSettings, HtsAt
from tests.models.networks import make_clap, pad_clips

RATE = 48000


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClapModel]:
    folder = tmp_path_factory.mktemp("clap")
    return folder, make_clap(folder, request.param)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> HtsAt:
    folder = tmp_path_factory.mktemp("clap")
    make_clap(folder)
    return _load(folder)


def _load(folder: Path, **changes: object) -> HtsAt:
    config = EncoderConfig(name="htsat", weights=str(folder), sample_rate=RATE, **changes)  # type: ignore[arg-type]
    encoder = build_encoder(config).eval()
    assert isinstance(encoder, HtsAt)
    return encoder


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, max(1, int(seconds * RATE))).astype(np.float32)


def encode(encoder: HtsAt, clips: list[np.ndarray], padding: int = 0) -> tuple[torch.Tensor, list[int]]:
    with torch.no_grad():
        output = encoder(*pad_clips(clips, padding))
    return output.embeddings, output.lengths.tolist()


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_the_front_end_gives_the_feature_extractors_numbers(truncation: str, padding: str) -> None:
    extractor = ClapFeatureExtractor(frequency_min=50, truncation=truncation, padding=padding)
    front_end = ClapLogMel(FrontEndSettings(truncation=truncation, padding=padding))
    clips = [noise(10, 1), noise(3.1, 2), noise(0.4, 3), noise(9.9999, 4)]
    theirs = extractor(clips, sampling_rate=RATE, return_tensors="np")["input_features"][:, 0]  # (B, M, F)
    ours = front_end(*pad_clips(clips)).transpose(1, 2).numpy()
    assert ours.shape == theirs.shape == (4, 1001, 64)
    assert np.abs(ours - theirs).max() < 1e-3  # decibels
    assert np.ptp(theirs) > 20


def test_its_mean_is_what_transformers_pools(published: tuple[Path, ClapModel]) -> None:
    folder, clap = published
    clip = noise(10)
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    features = extractor(clip, sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.no_grad():
        theirs = clap.audio_model(features, is_longer=torch.zeros(1, 1, dtype=torch.bool))
    embeddings, lengths = encode(_load(folder), [clip])
    assert lengths == [32] and embeddings.shape == (1, 32, 64)
    assert torch.allclose(embeddings, theirs.last_hidden_state.mean(dim=2).transpose(1, 2), atol=1e-4)
    assert torch.allclose(embeddings.mean(dim=1), theirs.pooler_output, atol=1e-4)
    pooled, ones = encode(_load(folder, output="clip"), [clip])
    assert ones == [1] and torch.allclose(pooled[:, 0], theirs.pooler_output, atol=1e-4)
    assert embeddings.std(dim=1).max() > 0.01


def test_frames_are_in_time_order(encoder: HtsAt, tmp_path: Path) -> None:
    """Without attention, which looks everywhere, a frame depends on its own third of a second alone."""
    make_clap(tmp_path)
    local = _load(tmp_path)
    for name, parameter in local.named_parameters():
        if "attention.output.dense" in name:
            torch.nn.init.zeros_(parameter)
    quiet = noise(10, 5) * 0.01
    plain, _ = encode(local, [quiet])
    for frame in range(32):
        click = quiet.copy()
        centre = int((frame + 0.5) * 10 * RATE / 32)
        click[centre - 480 : centre + 480] += noise(0.02, 6)
        changed = (encode(local, [click])[0] - plain).abs().amax(dim=2)[0] > 1e-5
        assert changed.nonzero()[:, 0].tolist() == [frame]
    # with attention, a frame still changes most where the sound is
    whole, _ = encode(encoder, [quiet])
    loudest = []
    for frame in (2, 9, 17, 30):
        click = quiet.copy()
        centre = int((frame + 0.5) * 10 * RATE / 32)
        click[centre - 480 : centre + 480] += noise(0.02, 6)
        loudest.append(int((encode(encoder, [click])[0] - whole).norm(dim=2)[0].argmax()))
    assert loudest == [2, 9, 17, 30]


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 12), st.integers(0, 60000))
def test_padding_and_neighbours_change_nothing(encoder: HtsAt, seconds: float, padding: int) -> None:
    clip = noise(seconds, 7)
    alone, lengths = encode(encoder, [clip])
    beside, both = encode(encoder, [clip, noise(seconds / 2 + 1, 8), noise(11, 9)], padding)
    assert both[0] == lengths[0] == -(-32 * len(clip) // (10 * RATE)) if len(clip) <= 10 * RATE else lengths[0]
    assert torch.allclose(beside[0, : lengths[0]], alone[0], atol=1e-4)
    assert not beside[0, lengths[0] :].any()


@pytest.mark.parametrize("seconds", [10.5, 24.0])
def test_a_long_clip_is_its_windows_joined_in_time(encoder: HtsAt, seconds: float) -> None:
    clip = noise(seconds)
    count = int(np.ceil(seconds / 10))
    size = -(-len(clip) // count)
    parts = [encode(encoder, [clip[start : start + size]])[0][0] for start in range(0, len(clip), size)]
    whole, lengths = encode(encoder, [clip])
    assert torch.allclose(whole[0], torch.cat(parts), atol=1e-4) and lengths == [sum(map(len, parts))]
    assert lengths[0] == pytest.approx(3.2 * seconds, abs=count)


def test_from_scratch_it_learns_and_keeps_its_statistics_only_when_loaded(published: tuple[Path, ClapModel]) -> None:
    config = EncoderConfig(name="htsat", width=0.05, sample_rate=RATE, train_from_step=0)
    encoder = build_encoder(config).train()
    assert encoder.embedding_dim == 8 * 4 and not encoder.keeps_statistics
    encoder.set_trained(True)
    output = encoder(torch.from_numpy(np.stack([noise(2), noise(2, 1)])), torch.tensor([2 * RATE, RATE]))
    output.embeddings.square().mean().backward()
    network = encoder.network.audio_model.audio_encoder
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert network.batch_norm.running_mean.abs().max() > 1
    loaded = _load(published[0]).train()
    before = loaded.network.audio_model.audio_encoder.batch_norm.running_mean.clone()
    loaded(torch.from_numpy(noise(1))[None], torch.tensor([RATE]))
    assert torch.equal(before, loaded.network.audio_model.audio_encoder.batch_norm.running_mean)


def test_frozen_layers(published: tuple[Path, ClapModel]) -> None:
    encoder = _load(published[0], frozen_layers=2, train_from_step=0)
    encoder.set_trained(True)
    network = encoder.network.audio_model.audio_encoder
    assert not any(p.requires_grad for part in (network.patch_embed, network.layers[0]) for p in part.parameters())
    assert all(p.requires_grad for p in network.layers[1].parameters())


def test_hidden_spans_are_hidden_in_every_repeat(encoder: HtsAt) -> None:
    front_end = encoder.log_mel
    lengths = torch.tensor([2 * RATE, 10 * RATE])
    masks = SpecMasks(torch.tensor([[[0.0, 0.25]], [[0.5, 0.6]]]), torch.tensor([[[0.5, 0.75]], [[0.0, 0.0]]]))
    hidden = front_end.hidden(masks, lengths, 1001)  # (B, F, M)
    assert hidden.shape == (2, 64, 1001)
    assert hidden[0, 40].all() and not hidden[1, 40, :500].any() and hidden[1, 40, 501:599].all()
    times = hidden[0, 0].nonzero()[:, 0]
    assert times.tolist() == [frame for frame in range(1000) if frame % 200 < 50]
    none = SpecMasks(torch.zeros(1, 0, 2), torch.zeros(1, 0, 2))
    clip, length = torch.from_numpy(noise(12))[None], torch.tensor([12 * RATE])
    with torch.no_grad():
        plain = encoder(clip, length).embeddings
        assert torch.equal(encoder(clip, length, none).embeddings, plain)
        some = SpecMasks(torch.tensor([[[0.0, 0.3]]]), torch.zeros(1, 0, 2))
        assert not torch.allclose(encoder(clip, length, some).embeddings, plain, atol=1e-3)


def test_errors_are_reported(published: tuple[Path, ClapModel], tmp_path: Path) -> None:
    folder, _ = published
    with pytest.raises(CheckpointError, match="takes 48000 Hz, not 32000"):
        build_encoder(EncoderConfig(name="htsat", weights=str(folder)))
    with pytest.raises(CheckpointError, match="no feature extractor of CLAP"):
        build_encoder(EncoderConfig(name="htsat", weights=str(tmp_path / "none"), sample_rate=RATE))
    (tmp_path / "preprocessor_config.json").write_text((folder / "preprocessor_config.json").read_text())
    with pytest.raises(CheckpointError, match="no CLAP audio network could be loaded"):
        build_encoder(EncoderConfig(name="htsat", weights=str(tmp_path), sample_rate=RATE))
    with pytest.raises(CheckpointError, match="htsad is not an encoder; did you mean htsat"):
        build_encoder(EncoderConfig(name="htsad"))
    encoder = _load(folder)
    with pytest.raises(CheckpointError, match="has no tagger"):
        encoder.tag_logits(torch.zeros(1, 1, 64), torch.ones(1, 1, 1, dtype=torch.bool))


def test_settings_are_read_from_the_checkpoint(tmp_path: Path) -> None:
    make_clap(tmp_path)
    ClapFeatureExtractor(frequency_min=0, padding="pad", truncation="rand_trunc").save_pretrained(tmp_path)
    found = _load(tmp_path).log_mel.settings
    assert found == dataclasses.replace(FrontEndSettings(), frequency_min=0, padding="pad")

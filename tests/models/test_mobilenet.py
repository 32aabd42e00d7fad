"""MobileNet: parity with EfficientAT's published numbers, padding changes nothing, any length."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema import EncoderConfig
from models.encoders import build_encoder
from models.mobilenet import MobileNet, kaldi_mel_bank

SMALL = EncoderConfig(name="mobilenet", width=0.1)


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, torch.Tensor]:
    table = np.load(shared / "efficientat" / "expected.npz")
    return {name: torch.from_numpy(table[name]) for name in table.files}


@pytest.fixture(scope="module")
def pretrained(shared: Path) -> MobileNet:
    weights = str(shared / "efficientat" / "mn04_as_mAP_432.safetensors")
    encoder = build_encoder(EncoderConfig(name="mobilenet", weights=weights)).eval()
    assert isinstance(encoder, MobileNet)
    return encoder


@torch.no_grad()
def test_front_end_parity(pretrained: MobileNet, expected: dict[str, torch.Tensor]) -> None:
    waveform = expected["waveform"][None]
    log_mel, frames = pretrained.log_mel(waveform, torch.tensor([waveform.shape[1]]))
    assert int(frames) == log_mel.shape[2] == 300
    assert torch.allclose(log_mel[0], expected["log_mel"], atol=1e-4)


@torch.no_grad()
def test_network_parity(pretrained: MobileNet, expected: dict[str, torch.Tensor]) -> None:
    embeddings, frames, logits = pretrained.network(expected["log_mel"][None], torch.tensor([300]))
    assert int(frames) == 10
    assert torch.allclose(embeddings[0], expected["frames"], atol=1e-4)
    assert torch.allclose(logits[0], expected["logits"], atol=1e-4)


@torch.no_grad()
def test_the_whole_road_on_a_real_clip(pretrained: MobileNet, expected: dict[str, torch.Tensor]) -> None:
    waveform = expected["clip_waveform"][None]
    output = pretrained(waveform, torch.tensor([waveform.shape[1]]))
    assert torch.allclose(output.embeddings[0], expected["clip_frames"], atol=1e-3)
    assert output.logits is not None
    assert torch.allclose(output.logits[0], expected["clip_logits"], atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60000), st.integers(0, 40000))
def test_padding_and_neighbours_change_nothing(samples: int, more: int) -> None:
    torch.manual_seed(1)
    network = MobileNet(SMALL).eval()
    clip = torch.randn(1, samples) * 0.1
    with torch.no_grad():
        alone = network(clip, torch.tensor([samples]))
        batch = torch.zeros(2, samples + more)
        batch[0, :samples] = clip
        batch[1] = torch.randn(samples + more)
        beside = network(batch, torch.tensor([samples, samples + more]))
    frames = int(alone.lengths[0])
    assert int(beside.lengths[0]) == frames
    assert torch.allclose(beside.embeddings[0, :frames], alone.embeddings[0], atol=1e-4)
    assert torch.allclose(beside.logits[0], alone.logits[0], atol=1e-4)


@pytest.mark.parametrize("seconds", [0.01, 9.9, 10.1, 25.0])
@torch.no_grad()
def test_a_long_clip_is_the_sum_of_its_windows(seconds: float) -> None:
    network = MobileNet(SMALL).eval()
    samples = int(seconds * 32000)
    waveform = torch.randn(1, samples) * 0.1
    output = network(waveform, torch.tensor([samples]))
    count = -(-samples // 320000)
    window = -(-samples // count)
    parts = [network(part, torch.tensor([part.shape[1]])) for part in waveform.split(window, dim=1)]
    assert len(parts) == count
    joined = torch.cat([part.embeddings[0] for part in parts])
    assert torch.allclose(output.embeddings[0], joined, atol=1e-4)
    assert int(output.lengths[0]) == len(joined)
    mean = torch.stack([torch.sigmoid(part.logits[0]) for part in parts]).mean(0)
    assert torch.allclose(torch.sigmoid(output.logits[0]), mean, atol=1e-5)


def test_clip_vector_and_gradients() -> None:
    network = MobileNet(EncoderConfig(name="mobilenet", width=0.1, output="clip", train_from_step=0)).train()
    output = network(torch.randn(2, 40000), torch.tensor([40000, 20000]))
    assert output.embeddings.shape == (2, 1, network.embedding_dim)
    output.embeddings.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.features.parameters() if p.grad is not None)


def test_loaded_statistics_stay_in_training() -> None:
    network = MobileNet(SMALL).train()
    before = network.features[0][1].running_mean.clone()  # type: ignore[index]
    network(torch.randn(2, 40000), torch.tensor([40000, 20000]))
    assert torch.equal(before, network.features[0][1].running_mean)  # type: ignore[index]


def test_mel_bands_are_triangles_that_leave_no_gap() -> None:
    bank = kaldi_mel_bank()
    assert bank.shape == (128, 513)
    assert (bank >= 0).all() and bank.max() <= 1
    assert not bank[:, 480:].any()  # 480 bins of 31.25 Hz are 15,000 Hz
    assert (bank[:, 40:470].sum(0) > 0.9).all()

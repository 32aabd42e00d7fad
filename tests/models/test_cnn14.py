"""CNN14: parity with panns_inference's network, padding changes nothing."""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.encoders.base import SpecMasks
from models.encoders.build import build_encoder
from models.encoders.cnn14 import FRONT_ENDS, Cnn14

SMALL = EncoderConfig(name="cnn14", width=0.0625)


@pytest.fixture(scope="module")
def reference_class() -> Any:
    """panns_inference's Cnn14, imported past the download that its configuration starts."""
    stub = types.ModuleType("panns_inference.config")
    stub.labels, stub.classes_num = [""] * 527, 527  # type: ignore[attr-defined]
    sys.modules["panns_inference.config"] = stub
    return importlib.import_module("panns_inference.models").Cnn14


def randomise(network: torch.nn.Module) -> None:
    """Random weights and batch-norm statistics, of a size that keeps activations in range."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    network.bn0.running_mean.fill_(-20)  # type: ignore[union-attr, operator]
    network.bn0.running_var.fill_(400)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("sample_rate", [32000, 16000])
def test_parity_with_panns_inference(reference_class: Any, sample_rate: int, tmp_path: Path) -> None:
    front = FRONT_ENDS[sample_rate]
    reference = reference_class(
        sample_rate=sample_rate,
        window_size=front.n_fft,
        hop_size=front.hop,
        mel_bins=64,
        fmin=front.lowest_hz,
        fmax=front.highest_hz,
        classes_num=527,
    ).eval()
    randomise(reference)
    path = tmp_path / "Cnn14.pth"
    torch.save({"iteration": 1, "model": reference.state_dict()}, path)
    ours = build_encoder(EncoderConfig(name="cnn14", sample_rate=sample_rate, weights=str(path), output="clip")).eval()
    waveform = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 2 * sample_rate)).astype(np.float32))
    with torch.no_grad():
        theirs = reference(waveform)
        output = ours(waveform, torch.tensor([2 * sample_rate] * 2))
    assert torch.allclose(output.embeddings[:, 0], theirs["embedding"], atol=1e-4)
    assert output.logits is not None
    assert torch.allclose(torch.sigmoid(output.logits), theirs["clipwise_output"], atol=1e-4)
    assert torch.allclose(output.logits, torch.logit(theirs["clipwise_output"].double()).float(), atol=1e-3)
    assert output.embeddings.abs().max() > 1e-2  # parity of zeros would say nothing


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40000), st.integers(0, 30000))
def test_padding_and_neighbours_change_nothing(samples: int, more: int) -> None:
    torch.manual_seed(1)
    network = Cnn14(SMALL).eval()
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
    assert not beside.embeddings[0, frames:].any()
    assert torch.allclose(beside.logits[0], alone.logits[0], atol=1e-4)


def test_frames_and_gradients() -> None:
    network = Cnn14(EncoderConfig(name="cnn14", width=0.0625, train_from_step=0)).train()
    output = network(torch.randn(2, 64000), torch.tensor([64000, 32000]))
    assert output.embeddings.shape == (2, 6, 128)
    assert output.lengths.tolist() == [6, 3]
    output.embeddings.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.conv_block1.parameters())


def test_hidden_spans_change_the_embeddings_they_cover() -> None:
    network = Cnn14(SMALL).eval()
    waveform, lengths = torch.randn(1, 64000), torch.tensor([64000])
    none = SpecMasks(torch.zeros(1, 0, 2), torch.zeros(1, 0, 2))
    some = SpecMasks(torch.tensor([[[0.0, 0.3]]]), torch.zeros(1, 0, 2))
    with torch.no_grad():
        plain = network(waveform, lengths).embeddings
        assert torch.equal(network(waveform, lengths, none).embeddings, plain)
        hidden = network(waveform, lengths, some).embeddings
    assert not torch.allclose(hidden[:, 0], plain[:, 0])


def test_other_rates_are_refused() -> None:
    with pytest.raises(CheckpointError, match="16000 or 32000"):
        Cnn14(EncoderConfig(sample_rate=44100))


def test_weights_that_do_not_fit_or_run_code_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="are missing"):
        build_encoder(EncoderConfig(weights=str(tmp_path / "none.pth")))
    torch.save({"model": {"conv": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit cnn14"):
        build_encoder(EncoderConfig(width=0.0625, weights=str(tmp_path / "other.pth")))
    with pytest.raises(CheckpointError, match="sha256"):
        build_encoder(EncoderConfig(weights=str(tmp_path / "other.pth"), weights_sha256="0" * 64))
    torch.save({"model": Path("run me")}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="other data than tensors"):
        build_encoder(EncoderConfig(weights=str(tmp_path / "bomb.pth")))
    torch.save({"model": {"w": torch.eye(3).to_sparse()}}, tmp_path / "sparse.pth")
    with pytest.raises(CheckpointError, match="dense tensors"):
        build_encoder(EncoderConfig(weights=str(tmp_path / "sparse.pth")))

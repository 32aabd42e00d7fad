"""Audio networks of transformers: their own numbers, frames in time order, padding and neighbours change nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.encoders.base import SpecMasks
from models.encoders.build import build_encoder, encoder_label
from models.encoders.transformers_audio import TransformersEncoder
from tests.models.networks import AUDIO_KINDS, make_audio_network, make_clap, pad_clips

RATE = 16000
FRAMES_A_SECOND = {"ast": 10, "whisper": 50, "wav2vec2-bert": 50, "wav2vec2": 50, "hubert": 50}


@pytest.fixture(scope="module", params=AUDIO_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / f"tiny-{kind}"
    make_audio_network(kind, path)
    return path


def load(folder: Path, **changes: Any) -> TransformersEncoder:
    encoder = build_encoder(EncoderConfig(name=f"hf:{folder}", sample_rate=RATE, **changes)).eval()
    assert isinstance(encoder, TransformersEncoder)
    return encoder


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def encode(encoder: TransformersEncoder, clips: list[np.ndarray], padding: int = 0) -> tuple[torch.Tensor, list[int]]:
    with torch.no_grad():
        output = encoder(*pad_clips(clips, padding))
    assert output.logits is None and output.embeddings.shape[2] == encoder.embedding_dim == 32
    return output.embeddings, output.lengths.tolist()


def test_the_numbers_are_those_of_transformers(kind: str, folder: Path) -> None:
    clip = noise(3)
    network: Any = make_audio_network(kind, folder)
    inputs = AutoFeatureExtractor.from_pretrained(folder)(clip, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        if kind == "whisper":
            theirs = network.encoder(inputs["input_features"]).last_hidden_state[0]
        elif kind == "ast":
            patches = network(inputs["input_values"]).last_hidden_state[0, 2:]
            theirs = patches.reshape(12, 101, 32).mean(dim=0)  # 12 rows of bands, 101 times
        else:
            theirs = network(**inputs).last_hidden_state[0]
    [ours], [length] = encode(load(folder), [clip])
    assert torch.allclose(ours, theirs[:length], atol=1e-5)
    assert length == pytest.approx(3 * FRAMES_A_SECOND[kind], abs=1)
    assert ours.std(dim=0).max() > 0.01


@pytest.mark.parametrize("seconds", [0.01, 0.333, 2.0, 2.03])
def test_padding_and_neighbours_change_nothing(folder: Path, seconds: float) -> None:
    encoder = load(folder)
    clip = noise(seconds, 1)
    alone, lengths = encode(encoder, [clip])
    beside, both = encode(encoder, [clip, noise(3.7, 2), noise(seconds, 3), clip], 5000)
    assert both[0] == both[3] == lengths[0]
    assert torch.allclose(beside[0, : lengths[0]], alone[0], atol=1e-4)
    assert torch.equal(beside[0], beside[3])
    assert not beside[0, lengths[0] :].any()


def test_frames_are_in_time_order(folder: Path) -> None:
    """Without attention, which looks everywhere, moving a click from one time to another changes the frames of the two."""
    encoder = load(folder)
    for name, parameter in encoder.named_parameters():
        if any(part in name for part in ("o_proj", "out_proj", "linear_out", "attention.output.dense")):
            torch.nn.init.zeros_(parameter)
    quiet = noise(8, 4) * 0.01

    def with_click(second: float) -> torch.Tensor:  # one click in each, so that a clip's normalisation stays the same
        clip = quiet.copy()
        clip[int(second * RATE) : int(second * RATE) + 800] += noise(0.05, 5)
        return encode(encoder, [clip])[0][0]

    last = with_click(7.5)
    for second in (0.5, 2.1, 3.9, 5.6):
        change = (with_click(second) - last).norm(dim=1)
        early = change[: int(len(change) * 7 / 8)]
        assert float(early.argmax()) * 8 / len(change) == pytest.approx(second, abs=0.15)
        far = torch.ones(len(early), dtype=torch.bool)
        far[max(0, int((second - 1.5) / 8 * len(change))) : int((second + 1.5) / 8 * len(change))] = False
        assert early.max() > 5 * early[far].max()


def test_a_long_clip_is_its_windows_joined_in_time(kind: str, folder: Path) -> None:
    encoder = load(folder)
    encoder.window_samples = min(encoder.window_samples, 4 * RATE) if kind != "ast" else encoder.window_samples
    clip = noise(12 if kind == "ast" else 7)
    halves = [encode(encoder, [part])[0][0] for part in np.split(clip, 2)]
    [whole], [length] = encode(encoder, [clip])
    assert torch.allclose(whole, torch.cat(halves), atol=1e-5) and length == sum(map(len, halves))


def test_windows_are_no_longer_than_the_network_takes(kind: str, folder: Path) -> None:
    seconds = load(folder).window_samples / RATE
    assert seconds == pytest.approx(10.255 if kind == "ast" else 30, abs=0.001)


def test_it_learns_and_early_layers_stay(folder: Path) -> None:
    encoder = load(folder, train_from_step=0, frozen_layers=2).train()
    encoder.set_trained(True)
    assert len(encoder.layers()) == 3
    torch.manual_seed(1)
    output = encoder(torch.from_numpy(np.stack([noise(1), noise(1, 1)])), torch.tensor([RATE, RATE // 2]))
    output.embeddings.square().mean().backward()
    frozen = {id(p) for layer in encoder.layers()[:2] for p in layer.parameters()}
    assert frozen and not any(p.requires_grad for p in encoder.parameters() if id(p) in frozen)
    last = [p for p in encoder.layers()[2].parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in last)


def test_hidden_spans(kind: str, folder: Path) -> None:
    encoder = load(folder)
    clip, length = torch.from_numpy(noise(2))[None], torch.tensor([2 * RATE])
    no_bands = torch.zeros(1, 0, 2)
    masks = SpecMasks(torch.tensor([[[0.0, 0.5]]]), no_bands)
    with torch.no_grad():
        plain = encoder(clip, length).embeddings
        assert torch.equal(encoder(clip, length, SpecMasks(torch.zeros(1, 0, 2), no_bands)).embeddings, plain)
        assert not torch.allclose(encoder(clip, length, masks).embeddings, plain, atol=1e-4)
        bands = SpecMasks(torch.zeros(1, 0, 2), torch.tensor([[[0.2, 0.6]]]))
        if kind in ("wav2vec2", "hubert"):
            with pytest.raises(CheckpointError, match="no bands to mask"):
                encoder(clip, length, bands)
        else:
            assert not torch.allclose(encoder(clip, length, bands).embeddings, plain, atol=1e-4)


def test_the_mean_over_a_clip(folder: Path) -> None:
    clips = [noise(1), noise(2, 1)]
    frames, lengths = encode(load(folder), clips)
    means, ones = encode(load(folder, output="clip"), clips)
    assert ones == [1, 1]
    assert torch.allclose(means[0, 0], frames[0, : lengths[0]].mean(dim=0), atol=1e-5)


def test_errors_are_reported(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no audio feature extractor could be loaded"):
        build_encoder(EncoderConfig(name=f"hf:{tmp_path}/none", sample_rate=RATE))
    make_audio_network("whisper", tmp_path / "whisper")
    with pytest.raises(CheckpointError, match="takes 16000 Hz, not 32000"):
        build_encoder(EncoderConfig(name=f"hf:{tmp_path}/whisper"))
    (tmp_path / "whisper" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no audio network could be loaded"):
        build_encoder(EncoderConfig(name=f"hf:{tmp_path}/whisper", sample_rate=RATE))
    make_clap(tmp_path / "clap")
    with pytest.raises(CheckpointError, match="has a fixed window"):
        build_encoder(EncoderConfig(name=f"hf:{tmp_path}/clap", sample_rate=48000))


def test_names_for_folders() -> None:
    assert encoder_label("hf:openai/whisper-tiny") == "whisper-tiny"
    assert encoder_label("hf:/data/my networks/AST base/") == "AST_base"
    assert encoder_label("cnn14") == "cnn14"

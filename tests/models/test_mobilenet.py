"""MobileNet: parity with EfficientAT's published numbers, padding changes nothing, any length; and its second branch."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from configs.errors import CheckpointError
from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    TaggerConfig,
    TrainingConfig,
)
from data.captions import train_tokenizer
from models.captioner import AudioCaptioner
from models.encoders.build import build_encoder
from models.encoders.folded import ConvolutionNorm
from models.encoders.mobilenet import Lengths, MobileNet, kaldi_mel_bank

SMALL = EncoderConfig(name="mobilenet", width=0.1)
BRANCH_WEIGHT = 0.4
BRANCHED = replace(SMALL, frozen_layers=6, branch_weight=BRANCH_WEIGHT)


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


def branched(config: EncoderConfig = BRANCHED) -> MobileNet:
    """A network whose second branch differs from the published layers, as after fine-tuning."""
    torch.manual_seed(0)
    network = MobileNet(config).eval()
    with torch.no_grad():
        for parameter in [*network.branch.parameters(), *network.branch_classifier.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def single(network: MobileNet, fine_tuned: bool) -> MobileNet:
    """One branch of a network as a network of its own: the published layers, or those before the branch and the branch."""
    alone = MobileNet(replace(SMALL, frozen_layers=network.frozen_layers)).eval()
    alone.features.load_state_dict(network.features.state_dict())
    alone.classifier.load_state_dict((network.branch_classifier if fine_tuned else network.classifier).state_dict())
    if fine_tuned:
        alone.features[network.frozen_layers :].load_state_dict(network.branch.state_dict())
    return alone


def two_clips() -> tuple[torch.Tensor, torch.Tensor]:
    """A batch whose first clip is padded."""
    torch.manual_seed(1)
    waveform, lengths = torch.randn(2, 90000) * 0.1, torch.tensor([50000, 90000])
    waveform[0, 50000:] = 0
    return waveform, lengths


@torch.no_grad()
def test_embeddings_stand_side_by_side_and_logits_are_a_fixed_mean() -> None:
    network = branched()
    both, published, fine_tuned = (
        one(*two_clips()) for one in (network, single(network, False), single(network, True))
    )
    assert network.embedding_dim == both.embeddings.shape[2] == 2 * published.embeddings.shape[2]
    assert torch.allclose(both.embeddings, torch.cat([published.embeddings, fine_tuned.embeddings], dim=2), atol=1e-6)
    assert both.logits is not None and published.logits is not None and fine_tuned.logits is not None
    assert not torch.allclose(published.logits, fine_tuned.logits, atol=1e-2)
    assert torch.allclose(both.logits, torch.lerp(published.logits, fine_tuned.logits, BRANCH_WEIGHT), atol=1e-5)
    alone = branched(replace(BRANCHED, branch_weight=1.0))(*two_clips()).logits
    assert alone is not None and torch.allclose(alone, fine_tuned.logits, atol=1e-5)


@pytest.mark.parametrize("frozen_layers", [0, 1, 6, 16, 17])
@torch.no_grad()
def test_a_branch_begins_as_a_copy_of_the_published_file(frozen_layers: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_file(MobileNet(SMALL).state_dict(), tmp_path / "published.safetensors")
    one, two = (
        build_encoder(
            replace(
                SMALL,
                weights=str(tmp_path / "published.safetensors"),
                frozen_layers=frozen_layers,
                branch_weight=branch_weight,
            )
        ).eval()
        for branch_weight in (0.0, BRANCH_WEIGHT)
    )
    assert isinstance(two, MobileNet) and len(two.branch) == 17 - frozen_layers
    published, both = one(*two_clips()), two(*two_clips())
    assert published.logits is not None and both.logits is not None
    assert torch.allclose(both.logits, published.logits, atol=1e-6)
    assert torch.allclose(both.embeddings, torch.cat(2 * [published.embeddings], dim=2), atol=1e-6)


def test_the_published_network_with_an_untrained_branch(
    shared: Path, pretrained: MobileNet, expected: dict[str, torch.Tensor]
) -> None:
    weights = str(shared / "efficientat" / "mn04_as_mAP_432.safetensors")
    config = EncoderConfig(name="mobilenet", weights=weights, frozen_layers=6, branch_weight=BRANCH_WEIGHT)
    waveform = expected["clip_waveform"][None]
    with torch.no_grad():
        output = build_encoder(config).eval()(waveform, torch.tensor([waveform.shape[1]]))
    assert output.logits is not None and output.embeddings.shape[2] == 2 * pretrained.embedding_dim
    assert torch.allclose(output.logits[0], expected["clip_logits"], atol=1e-3)


def test_the_branch_alone_is_trained() -> None:
    network = branched()
    network.set_trained(True)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if name.startswith("branch")}
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=1.0)
    logits = network(*two_clips()).logits
    assert logits is not None
    logits.square().mean().backward()
    optimizer.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= trained and {"branch_classifier.5.bias", "branch.0.block.0.0.weight"} <= changed
    network.set_trained(False)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 60000), st.integers(0, 40000))
def test_padding_and_neighbours_do_not_change_the_branch(samples: int, more: int) -> None:
    network = branched()
    clip = torch.randn(1, samples) * 0.1
    batch = torch.randn(2, samples + more) * 0.1
    batch[0, :samples], batch[0, samples:] = clip, 0
    with torch.no_grad():
        alone = network(clip, torch.tensor([samples]))
        beside = network(batch, torch.tensor([samples, samples + more]))
    frames = int(alone.lengths[0])
    assert int(beside.lengths[0]) == frames
    assert torch.allclose(beside.embeddings[0, :frames], alone.embeddings[0], atol=1e-4)
    assert torch.allclose(beside.logits[0], alone.logits[0], atol=1e-4)


@torch.no_grad()
def test_tag_logits_of_the_whole_clip_are_the_clips() -> None:
    network = branched()
    embeddings, lengths, logits = network(*two_clips())
    assert logits is not None
    whole = (torch.arange(embeddings.shape[1])[None] < lengths[:, None])[:, None]  # (B, 1, T)
    assert torch.allclose(network.tag_logits(embeddings, whole)[:, 0], logits, atol=1e-4)


@torch.no_grad()
def test_a_parted_network_gives_the_branch_alone() -> None:
    network = branched()
    log_mel, frames = network.log_mel(*two_clips())
    maps, lengths = network._through(network.features[:6], log_mel[:, None], Lengths(frames, log_mel.shape[2]))
    expected = single(network, True)(*two_clips()).logits
    assert expected is not None
    assert torch.allclose(network.trained_part(maps, lengths.frames), expected, atol=1e-5)


def test_a_checkpoint_holds_both_branches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "published").mkdir()
    weights = tmp_path / "published" / "weights.safetensors"
    save_file(MobileNet(SMALL).state_dict(), weights)
    config = Config(
        captioner=CaptionerConfig(
            encoder=replace(BRANCHED, weights=str(weights), max_duration_s=4.0),
            decoder=DecoderConfig(num_layers=1, num_heads=2, width=32, dropout=0.0, max_positions=64),
        ),
        training=TrainingConfig(tagger=TaggerConfig(num_steps=1)),  # which changes the encoder
        decoding=DecodingConfig(max_tokens=8),
    )
    captioner = AudioCaptioner(config, train_tokenizer(["a dog barks", "rain falls on a roof"] * 3, 60)).eval()
    captioner.encoder.load_state_dict(branched().state_dict())
    captioner.encoder_is_published = False
    captioner.save_pretrained(tmp_path / "checkpoint")
    shutil.rmtree(tmp_path / "published")  # the checkpoint stands alone
    loaded = AudioCaptioner.from_pretrained(tmp_path / "checkpoint")
    assert loaded.config.captioner.encoder.branch_weight == BRANCH_WEIGHT
    own, found = captioner.encoder.state_dict(), loaded.encoder.state_dict()
    assert own.keys() == found.keys() and all(torch.equal(own[name], found[name]) for name in own)
    clips = [np.random.default_rng(0).normal(0, 0.1, 40000).astype(np.float32)]
    assert loaded.caption(clips) == captioner.caption(clips)


@pytest.mark.parametrize("branch_weight", [-0.1, 1.5, float("nan")])
def test_a_weight_outside_0_to_1_is_refused(branch_weight: float) -> None:
    with pytest.raises(CheckpointError, match=rf"branch_weight is {branch_weight}: expected 0 .* to 1\.$"):
        build_encoder(replace(BRANCHED, branch_weight=branch_weight))


def _filled(encoder: MobileNet) -> MobileNet:
    """Batch norms with statistics and weights of their own, as trained ones have."""
    generator = torch.Generator().manual_seed(0)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr]
            for tensor in (module.bias, module.running_mean):
                tensor.data.uniform_(-0.5, 0.5, generator=generator)  # type: ignore[union-attr]
    return encoder.eval()


@pytest.mark.parametrize("clips", [1, 3])
def test_folded_convolutions_compute_what_the_layers_compute(clips: int) -> None:
    encoder = _filled(MobileNet(BRANCHED))
    spectrogram, frames = torch.randn(clips, 128, 300), torch.tensor([300, 200, 97][:clips])
    expected = encoder.network(spectrogram, frames)  # with gradients: layer by layer
    with torch.no_grad():
        found = encoder.network(spectrogram, frames)
    assert any(isinstance(module, ConvolutionNorm) and module._folded is not None for module in encoder.modules())
    for own, other in zip(found, expected, strict=True):
        assert torch.allclose(own, other, atol=1e-4)


@pytest.mark.parametrize("change", ["copy", "data", "statistics", "half and back", "training", "replaced"])
def test_folded_weights_follow_their_layers(change: str) -> None:
    torch.manual_seed(0)
    layers = ConvolutionNorm(
        torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.Hardswish()
    ).eval()
    maps = torch.randn(2, 3, 9, 11)
    weight: torch.Tensor = layers[0].weight  # type: ignore[assignment]
    with torch.no_grad():
        before = layers(maps)
        if change == "copy":
            weight.copy_(torch.randn_like(weight))
        elif change == "data":
            weight.data.copy_(torch.randn_like(weight))
        elif change == "statistics":
            layers[1].running_mean.add_(1.0)  # type: ignore[operator]
        elif change == "half and back":
            weight.data.mul_(1.37)
            layers.half().float()
        elif change == "training":
            layers.train()(3 * maps)
            layers.eval()
        else:
            weight.data = torch.randn_like(weight)
        found = layers(maps)
    assert not torch.allclose(found, before, atol=1e-3)
    assert torch.allclose(found, layers(maps.requires_grad_()).detach(), atol=1e-5)

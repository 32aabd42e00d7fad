"""EfficientAT's MobileNetV3 tagger as an encoder of frames.

Schmid, Koutini, Widmer, "Efficient Large-scale Audio Tagging via Transformer-to-CNN Knowledge Distillation", ICASSP 2023,
arXiv 2211.04772 (github.com/fschmid56/EfficientAT, MIT licence). mn04 has a width of 0.4, one million parameters and an
AudioSet mAP of 0.432. Block table: Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, table 1.

An optional second branch is a copy of the layers after `frozen_layers` and of the head, which `training.tagger` fine-tunes on
labelled clips. Both branches share the earlier layers, which take most of the time; tag logits are a weighted mean of both heads.
Fine-tuned weights are better on clean sounds and worse on recordings of many sounds than the published ones (catastrophic
forgetting); the mean of both outputs is better than either on both (Wortsman et al., arXiv 2109.01903, compare ensembles of
outputs and of weights).

Shapes: B clips, W windows, S samples, F mel bands, T frames, K channels, E = 960 x width, or twice that with a second branch.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.encoders.base import (
    NUM_AUDIOSET_CLASSES,
    AudioEncoder,
    EncoderOutput,
    SpecMasks,
    frame_mask,
    hide_spans,
    pad_to_minimum,
    reflect_pad,
)
from models.encoders.folded import ConvolutionNorm
from models.encoders.windows import join_logits, join_windows, repeat_masks, split_windows
from models.precision import FullPrecisionBuffers

SAMPLE_RATE = 32000
N_FFT, HOP, WINDOW = 1024, 320, 800  # samples
NUM_MELS, MAX_FREQUENCY_HZ = 128, 15000.0
PRE_EMPHASIS = 0.97
FRAME_STRIDE = 32  # spectrogram frames per embedding: five strides of 2
WINDOW_S = 10.0  # length of AudioSet's clips; squeeze-and-excitation averages over a whole window
MIN_SAMPLES = 4096  # shorter clips are padded with silence: reflection padding needs more than 512 samples


class BlockShape(NamedTuple):
    """Row of MobileNetV3-large's block table, at width 1."""

    kernel: int
    expanded: int
    channels: int
    squeezes: bool
    hardswish: bool
    stride: int


BLOCKS = tuple(
    BlockShape(*row)
    for row in (
        (3, 16, 16, False, False, 1),
        (3, 64, 24, False, False, 2),
        (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2),
        (5, 120, 40, True, False, 1),
        (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2),
        (3, 200, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1),
        (3, 480, 112, True, True, 1),
        (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2),
        (5, 960, 160, True, True, 1),
        (5, 960, 160, True, True, 1),
    )
)


def to_multiple_of_8(channels: float) -> int:
    """Nearest multiple of 8, at least 8 and at least nine tenths of `channels` (MobileNet's rounding)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def kaldi_mel_bank() -> Tensor:
    """Kaldi's triangular mel filters (128, 513): mel = 1127 ln(1 + f / 700), 0 to 15,000 Hz, peak 1, last bin empty."""

    def mel(frequency: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(frequency / 700.0)

    bins = mel(torch.arange(N_FFT // 2, dtype=torch.float64) * SAMPLE_RATE / N_FFT)  # (512,)
    highest = mel(torch.tensor(MAX_FREQUENCY_HZ, dtype=torch.float64))
    edges = torch.arange(NUM_MELS + 2, dtype=torch.float64) * highest / (NUM_MELS + 1)  # (130,)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]  # (128, 1) each
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)  # (128, 512)
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 1)).float()  # (128, 513)


class LogMel(FullPrecisionBuffers):
    """EfficientAT's front end: pre-emphasis, power STFT, Kaldi mel bands, (ln(mel + 1e-5) + 4.5) / 5."""

    window: Tensor
    mel_bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)
        self.register_buffer("mel_bank", kaldi_mel_bank(), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel spectrograms (B, F, T) of waveforms (B, S), and the number of frames of each clip (B,)."""
        emphasised = waveform[:, 1:] - PRE_EMPHASIS * waveform[:, :-1]  # (B, S - 1)
        lengths = lengths - 1
        padded = reflect_pad(emphasised, lengths, N_FFT // 2)
        spectrum = torch.stft(padded, N_FFT, HOP, WINDOW, self.window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, 513, T)
        return self.from_power(power), torch.div(lengths, HOP, rounding_mode="floor") + 1

    def from_power(self, power: Tensor) -> Tensor:
        """Compute log-mel spectrograms (B, F, T) of power spectrograms (B, 513, T)."""
        return (torch.log(self.mel_bank @ power + 1e-5) + 4.5) / 5.0


class Lengths:
    """Number of valid frames at the current depth of the network, and the mask that keeps padding at zero.

    `mask` is None if no clip of the batch is padded.
    """

    def __init__(self, frames: Tensor, num_frames: int) -> None:
        self.frames = frames
        padded = bool((frames < num_frames).any())
        self.mask = frame_mask(frames, num_frames)[:, None, None, :] if padded else None  # (B, 1, 1, T)

    def clean(self, maps: Tensor) -> Tensor:
        """Set values beyond the end of each clip to zero, the padding that convolutions of an unpadded clip have."""
        return maps if self.mask is None else maps * self.mask

    def mean(self, maps: Tensor) -> Tensor:
        """Mean (B, K) of maps (B, K, F, T) over frequency and the valid frames of each clip."""
        if self.mask is None:
            return maps.mean(dim=(2, 3))
        sums = (maps * self.mask).sum(dim=(2, 3), dtype=torch.float32)  # sums exceed the range of half precision
        return (sums / (self.frames[:, None] * maps.shape[2])).to(maps.dtype)

    def strided(self, stride: int, num_frames: int) -> "Lengths":
        """Lengths after a convolution with this stride and a padding of half its kernel."""
        return (
            self if stride == 1 else Lengths(torch.div(self.frames - 1, stride, rounding_mode="floor") + 1, num_frames)
        )


class Squeeze(nn.Module):
    """Squeeze-and-excitation over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layer = nn.Module()
        squeezed = to_multiple_of_8(channels / 4)
        layer.fc1, layer.fc2 = nn.Linear(channels, squeezed), nn.Linear(squeezed, channels)
        self.conc_se_layers = nn.ModuleList([layer])  # the published name

    def forward(self, maps: Tensor, lengths: Lengths) -> Tensor:
        """Scale each channel of maps (B, K, F, T) by a factor computed from the whole clip."""
        layer: Any = self.conc_se_layers[0]
        scale = torch.sigmoid(layer.fc2(F.relu(layer.fc1(lengths.mean(maps)))))  # (B, K)
        return maps * scale[:, :, None, None]


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int, activation: nn.Module
) -> ConvolutionNorm:
    """Convolution, batch norm (epsilon 1e-3) and activation."""
    return ConvolutionNorm(
        nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
        activation,
    )


class Block(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, squeeze-and-excitation, projection."""

    def __init__(self, shape: BlockShape, inputs: int, width: float) -> None:
        super().__init__()
        expanded, outputs = to_multiple_of_8(shape.expanded * width), to_multiple_of_8(shape.channels * width)
        self.stride = shape.stride
        self.is_residual = shape.stride == 1 and inputs == outputs
        activation = nn.Hardswish() if shape.hardswish else nn.ReLU()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(convolution(inputs, expanded, 1, 1, 1, activation))
        layers.append(convolution(expanded, expanded, shape.kernel, shape.stride, expanded, activation))
        if shape.squeezes:
            layers.append(Squeeze(expanded))
        layers.append(convolution(expanded, outputs, 1, 1, 1, nn.Identity()))
        self.block = nn.Sequential(*layers)

    def forward(self, maps: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """Map (B, K, F, T) to (B, K', F', T'); returns the new lengths too."""
        hidden = maps
        for layer in self.block:
            if isinstance(layer, Squeeze):
                hidden = layer(hidden, lengths)
            elif isinstance(layer, nn.Sequential) and layer[0].kernel_size != (1, 1):  # type: ignore[union-attr]
                hidden = layer(lengths.clean(hidden))
                lengths = lengths.strided(self.stride, hidden.shape[3])
            else:
                hidden = layer(hidden)
        return (maps + hidden if self.is_residual else hidden), lengths


class MobileNet(AudioEncoder):
    """EfficientAT's MobileNetV3; one embedding per 320 ms.

    Args:
        config: width (None: 0.4), output, sample rate (32000), and the weight of the second branch's logits.

    Raises:
        CheckpointError: the sample rate is not 32000, or the weight is not in 0 to 1.
    """

    frame_rate_hz = SAMPLE_RATE / HOP / FRAME_STRIDE
    has_tagger = True

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.sample_rate != SAMPLE_RATE:
            raise CheckpointError(
                f"mobilenet takes {SAMPLE_RATE} Hz, not {config.sample_rate}: set encoder.sample_rate."
            )
        width = 0.4 if config.width is None else config.width
        if not 0.0 <= config.branch_weight <= 1.0:
            raise CheckpointError(
                f"captioner.encoder.branch_weight is {config.branch_weight}: expected 0 (no second branch) to 1."
            )
        self.sample_rate = SAMPLE_RATE
        branch_width = to_multiple_of_8(960 * width)
        self.embedding_dim = branch_width * (2 if config.branch_weight else 1)
        self.frozen_layers = config.frozen_layers
        self.output = config.output
        self.keeps_statistics = (
            config.weights is not None or config.train_from_step is None or config.train_from_step > 0
        )
        channels = to_multiple_of_8(16 * width)
        features: list[nn.Module] = [convolution(1, channels, 3, 2, 1, nn.Hardswish())]
        for shape in BLOCKS:
            features.append(Block(shape, channels, width))
            channels = to_multiple_of_8(shape.channels * width)
        features.append(convolution(channels, branch_width, 1, 1, 1, nn.Hardswish()))
        self.features = nn.ModuleList(features)
        # 1.7 times as fast on a CPU; torch's stubs lack this overload.
        self.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        head = to_multiple_of_8(1280 * width)
        self.classifier = nn.Sequential(
            nn.Identity(),
            nn.Identity(),
            nn.Linear(branch_width, head),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(head, NUM_AUDIOSET_CLASSES),
        )
        self.branch_weight = config.branch_weight
        if config.branch_weight:
            self.branch = copy.deepcopy(self.features[self.frozen_layers :])
            self.branch_classifier = copy.deepcopy(self.classifier)
        self.log_mel = LogMel()

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Compute embeddings of clips of any length, in equal windows of at most 10 s joined in time."""
        windows, window_lengths, counts = split_windows(waveform, lengths, int(WINDOW_S * SAMPLE_RATE))
        masks = None if spec_masks is None else repeat_masks(spec_masks, counts)
        embeddings, frames, logits = self.network(*self._spectrogram(windows, window_lengths, masks))
        if self.output == "clip":
            embeddings = embeddings.sum(dim=1, keepdim=True) / frames[:, None, None]  # (W, 1, E)
            embeddings = torch.stack([part.mean(dim=0) for part in embeddings.split(counts)])  # (B, 1, E)
            return EncoderOutput(embeddings, torch.ones_like(lengths), join_logits(logits, counts))
        return EncoderOutput(*join_windows(embeddings, frames, counts), join_logits(logits, counts))

    def _spectrogram(self, waveform: Tensor, lengths: Tensor, masks: SpecMasks | None) -> tuple[Tensor, Tensor]:
        """Log-mel spectrograms (W, F, T) of windows, and their numbers of frames (W,)."""
        with torch.autocast(waveform.device.type, enabled=False):  # powers of quiet sounds underflow in half precision
            log_mel, frames = self.log_mel(*pad_to_minimum(waveform.float(), lengths, MIN_SAMPLES))
        log_mel = log_mel.to(self.classifier[2].weight.dtype)
        return (log_mel if masks is None else hide_spans(log_mel, frames, masks)), frames

    def layers(self) -> list[nn.Module]:
        """First convolution, 15 inverted residual blocks, last convolution."""
        return list(self.features)

    def set_trained(self, trained: bool) -> None:
        """Enable gradients of the layers after `frozen_layers`, or only of the second branch if there is one; or freeze all."""
        super().set_trained(trained)
        if self.branch_weight:
            self.features.requires_grad_(False)
            self.classifier.requires_grad_(False)

    def with_branch(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published tensors, extended by copies for the second branch if the file has none."""
        copies = {}
        for name, tensor in state.items() if self.branch_weight else ():
            parts = name.split(".")
            if parts[0] == "features" and int(parts[1]) >= self.frozen_layers:
                copies[".".join(["branch", str(int(parts[1]) - self.frozen_layers), *parts[2:]])] = tensor
            elif parts[0] == "classifier":
                copies[f"branch_{name}"] = tensor
        return {**copies, **state}

    def tag_logits(self, embeddings: Tensor, parts: Tensor) -> Tensor:
        """Tag logits (B, P, 527) of parts (B, P, T): the heads on the mean of their frames (B, T, E)."""
        weights = parts.to(embeddings.dtype)
        means = weights @ embeddings / weights.sum(dim=2, keepdim=True)  # (B, P, E)
        if not self.branch_weight:
            return self.classifier(means)
        published, fine_tuned = means.chunk(2, dim=2)  # (B, P, E / 2) each
        return torch.lerp(self.classifier(published), self.branch_classifier(fine_tuned), self.branch_weight)

    def network(self, log_mel: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, T', E), their lengths (B,) and tag logits (B, 527) of spectrograms (B, F, T)."""
        lengths = Lengths(frames, log_mel.shape[2])
        shared, lengths = self._through(self.features[: self.frozen_layers], log_mel[:, None], lengths)
        heads = [self._head(self.features[self.frozen_layers :], self.classifier, shared, lengths)]
        if self.branch_weight:
            heads.append(self._head(self.branch, self.branch_classifier, shared, lengths))
        embeddings, counts, logits = zip(*heads, strict=True)
        mean = logits[0] if len(logits) == 1 else torch.lerp(logits[0], logits[1], self.branch_weight)
        return torch.cat(embeddings, dim=2), counts[0], mean

    def frozen_part(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks) -> tuple[Tensor, Tensor]:
        """Feature maps (B, K, F', T') after the first `frozen_layers` layers, and the number of frames of each clip (B,)."""
        log_mel, frames = self._spectrogram(waveform, lengths, spec_masks)
        before = Lengths(frames, log_mel.shape[2])
        maps, lengths_left = self._through(self.features[: self.frozen_layers], log_mel[:, None], before)
        return maps, lengths_left.frames

    def trained_part(self, maps: Tensor, frames: Tensor) -> Tensor:
        """Tag logits (B, 527) from the output of `frozen_part`, by the second branch if there is one."""
        lengths = Lengths(frames, maps.shape[3])
        if self.branch_weight:
            return self._head(self.branch, self.branch_classifier, maps, lengths)[2]
        return self._head(self.features[self.frozen_layers :], self.classifier, maps, lengths)[2]

    def _through(self, layers: Iterable[nn.Module], maps: Tensor, lengths: Lengths) -> tuple[Tensor, Lengths]:
        """Apply layers to maps (B, K, F, T); returns the maps and their lengths."""
        for layer in layers:
            if isinstance(layer, Block):
                maps, lengths = layer(maps, lengths)
            elif isinstance(layer, nn.Sequential) and layer[0].stride == (
                2,
                2,
            ):  # the first convolution, or a second branch's copy of it
                maps = layer(lengths.clean(maps))
                lengths = lengths.strided(2, maps.shape[3])
            else:
                maps = lengths.clean(layer(maps))
        return maps, lengths

    def _head(
        self, layers: Iterable[nn.Module], classifier: nn.Module, maps: Tensor, lengths: Lengths
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, T', E), their lengths (B,) and tag logits (B, 527) of one branch from maps (B, K, F, T)."""
        maps, lengths = self._through(layers, maps, lengths)  # (B, E, F', T')
        return maps.mean(dim=2).transpose(1, 2), lengths.frames, classifier(lengths.mean(maps))

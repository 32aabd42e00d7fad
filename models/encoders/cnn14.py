"""PANNs CNN14 as an encoder of frames.

Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern Recognition", IEEE/ACM TASLP 2020,
arXiv 1912.10211 (github.com/qiuqiangkong/audioset_tagging_cnn, MIT licence). Weights: Zenodo record 3987831.

Shapes: B clips, S samples, F mel bands, T frames, K channels, E = 2048 x width.
"""

from typing import NamedTuple

import librosa
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
from models.precision import FullPrecisionBuffers

NUM_MELS = 64
CHANNELS = (64, 128, 256, 512, 1024, 2048)
FRAME_STRIDE = 32  # spectrogram frames per embedding: five pools of 2
DROPOUT = 0.2


class FrontEnd(NamedTuple):
    """Settings of the published log-mel front end at one sample rate: lengths in samples, frequencies in hertz."""

    n_fft: int
    hop: int
    lowest_hz: float
    highest_hz: float


FRONT_ENDS = {32000: FrontEnd(1024, 320, 50.0, 14000.0), 16000: FrontEnd(512, 160, 50.0, 8000.0)}


class LogMel(FullPrecisionBuffers):
    """Power STFT with a periodic Hann window, Slaney mel bands, 10 log10(max(mel, 1e-10)) decibels."""

    window: Tensor
    mel_bank: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.settings = FRONT_ENDS[sample_rate]
        bank = librosa.filters.mel(
            sr=sample_rate,
            n_fft=self.settings.n_fft,
            n_mels=NUM_MELS,
            fmin=self.settings.lowest_hz,
            fmax=self.settings.highest_hz,
        )
        self.register_buffer("window", torch.hann_window(self.settings.n_fft), persistent=False)
        self.register_buffer("mel_bank", torch.from_numpy(bank), persistent=False)  # (F, n_fft / 2 + 1)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-mel spectrograms (B, F, T) of waveforms (B, S), and the number of frames of each clip (B,)."""
        n_fft, hop = self.settings.n_fft, self.settings.hop
        padded = reflect_pad(waveform, lengths, n_fft // 2)
        spectrum = torch.stft(padded, n_fft, hop, window=self.window, center=False, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()  # (B, n_fft / 2 + 1, T)
        decibels = 10.0 * torch.log10((self.mel_bank @ power).clamp(min=1e-10))  # (B, F, T)
        return decibels, torch.div(lengths, hop, rounding_mode="floor") + 1


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, followed by average pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor, mask: Tensor | None, pool: int) -> Tensor:
        """Map (B, K, T, F) to (B, K', T / pool, F / pool); `mask` (B, 1, T, 1) keeps padding at zero."""
        hidden = F.relu(self.bn1(self.conv1(maps if mask is None else maps * mask)))
        hidden = F.relu(self.bn2(self.conv2(hidden if mask is None else hidden * mask)))
        return F.avg_pool2d(hidden, pool) if pool > 1 else hidden


class Cnn14(AudioEncoder):
    """PANNs' CNN14, with the published parameter names.

    Args:
        config: sample rate (16000 or 32000), width (None: 1.0), output "frames" or PANNs' "clip" vector.

    Raises:
        CheckpointError: the sample rate is not supported.
    """

    has_tagger = True

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.sample_rate not in FRONT_ENDS:
            raise CheckpointError(f"cnn14 takes 16000 or 32000 Hz, not {config.sample_rate}: set encoder.sample_rate.")
        width = 1.0 if config.width is None else config.width
        channels = [max(1, round(number * width)) for number in CHANNELS]
        self.sample_rate = config.sample_rate
        self.embedding_dim = channels[-1]
        self.frozen_layers = config.frozen_layers
        self.output = config.output
        self.keeps_statistics = config.weights is not None or config.train_from_step != 0
        self.log_mel = LogMel(config.sample_rate)
        self.frame_rate_hz = config.sample_rate / self.log_mel.settings.hop / FRAME_STRIDE
        self.bn0 = nn.BatchNorm2d(NUM_MELS)
        for number, (inputs, outputs) in enumerate(zip([1, *channels[:-1]], channels, strict=True), start=1):
            self.add_module(f"conv_block{number}", ConvBlock(inputs, outputs))
        self.fc1 = nn.Linear(self.embedding_dim, self.embedding_dim)
        self.fc_audioset = nn.Linear(self.embedding_dim, NUM_AUDIOSET_CLASSES)

    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Compute embeddings, one per 320 ms or one per clip, and tag logits."""
        minimum = FRAME_STRIDE * self.log_mel.settings.hop  # samples per embedding
        with torch.autocast(waveform.device.type, enabled=False):  # powers of quiet sounds underflow in half precision
            log_mel, frames = self.log_mel(*pad_to_minimum(waveform.float(), lengths, minimum))  # (B, F, T)
            normalised = self.bn0(log_mel.to(self.bn0.weight.dtype)[..., None])[..., 0]  # (B, F, T)
        if spec_masks is not None:
            normalised = hide_spans(normalised, frames, spec_masks)
        maps, frames = self._convolve(normalised.transpose(1, 2)[:, None], frames)  # (B, K, T', F')
        embeddings = maps.mean(dim=3).transpose(1, 2)  # (B, T', E)
        mask = frame_mask(frames, embeddings.shape[1])  # (B, T')
        clip, logits = self._head(_pool(embeddings, mask))  # (B, E), (B, 527)
        embeddings = embeddings * mask[..., None]
        if self.output == "clip":
            return EncoderOutput(clip[:, None], torch.ones_like(frames), logits)
        return EncoderOutput(embeddings, frames, logits)

    def layers(self) -> list[nn.Module]:
        """The six convolutional blocks; the first includes the batch norm over bands."""
        blocks: list[nn.Module] = [getattr(self, f"conv_block{number}") for number in range(1, len(CHANNELS) + 1)]
        return [nn.ModuleList([self.bn0, blocks[0]]), *blocks[1:]]

    def tag_logits(self, embeddings: Tensor, parts: Tensor) -> Tensor:
        """Tag logits (B, P, 527) of parts (B, P, T): PANNs' head on maximum plus mean of their frames (B, T, E)."""
        pooled = torch.stack([_pool(embeddings, part) for part in parts.unbind(dim=1)], dim=1)  # (B, P, E)
        return self._head(pooled)[1]

    def _head(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Clip vectors (..., E) and tag logits (..., 527) from pooled frames (..., E)."""
        clip = F.relu(self.fc1(F.dropout(pooled, 0.5, self.training)))
        return clip, self.fc_audioset(F.dropout(clip, 0.5, self.training))

    def _convolve(self, maps: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        for number in range(1, len(CHANNELS) + 1):
            pool = 1 if number == len(CHANNELS) else 2
            padded = bool((frames < maps.shape[2]).any())
            mask = frame_mask(frames, maps.shape[2])[:, None, :, None] if padded else None  # (B, 1, T, 1)
            maps = getattr(self, f"conv_block{number}")(maps, mask, pool)
            maps = F.dropout(maps, DROPOUT, self.training)
            frames = torch.div(frames, pool, rounding_mode="floor")
        return maps, frames


def _pool(embeddings: Tensor, part: Tensor) -> Tensor:
    """PANNs' pooling (B, E): maximum plus mean of the frames (B, T, E) in `part` (B, T), which has at least one."""
    strongest = embeddings.masked_fill(~part[..., None], -torch.inf).amax(dim=1)  # (B, E)
    return strongest + (embeddings * part[..., None]).sum(dim=1) / part.sum(dim=1, keepdim=True)

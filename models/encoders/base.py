"""The one contract of all audio encoders, and what they share.

Shapes: B clips, S samples, F bands, T frames, E encoder width, C tag classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.errors import CheckpointError

NUM_AUDIOSET_CLASSES = 527
PREFIX = "hf:"  # before the folder or hub id of an encoder of transformers


class EncoderOutput(NamedTuple):
    """What an encoder gives.

    Attributes:
        embeddings: (B, T, E) float32, zero beyond each clip's length.
        lengths: (B,) int64, frames of each clip, at least 1.
        logits: (B, C) tag logits before the sigmoid, or None for an encoder without a tagger.
    """

    embeddings: Tensor
    lengths: Tensor
    logits: Tensor | None


@dataclass(frozen=True)
class SpecMasks:
    """SpecAugment's spans, as shares [start, end) of each clip's own frames and of all bands.

    Attributes:
        time: (B, K, 2) float, 0 to 1.
        band: (B, M, 2) float, 0 to 1.
    """

    time: Tensor
    band: Tensor


class AudioEncoder(nn.Module, ABC):
    """From waveforms to frame embeddings; a clip's numbers never depend on its padding or its neighbours.

    Attributes:
        sample_rate: rate of the waveforms, hertz.
        embedding_dim: E.
        keeps_statistics: whether batch norm stays as it was loaded, also in training: batches here are small, and their
            clips padded.
        frozen_layers: layers from the input that are never trained.
        has_tagger: whether it knows AudioSet's tags, so that `EncoderOutput.logits` and `tag_logits` are there.
    """

    sample_rate: int
    embedding_dim: int
    frame_rate_hz: float
    keeps_statistics: bool
    frozen_layers: int = 0
    has_tagger: bool = False

    def train(self, mode: bool = True) -> "AudioEncoder":
        """Switch dropout; batch norm follows only in a network trained from random values."""
        super().train(mode)
        for module in self.modules() if self.keeps_statistics else ():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
        return self

    def architecture(self) -> dict[str, Any] | None:
        """What a checkpoint notes, beside the configuration, to build the network again; None where that says it all."""
        return None

    def with_branch(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a published file, with those that it lacks and the encoder derives from them."""
        return dict(state)

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """The network's layers from the input on, before its head."""

    def set_trained(self, trained: bool) -> None:
        """Let gradients reach the encoder's weights, but for those of `frozen_layers`; or freeze it whole."""
        self.requires_grad_(trained)
        for layer in self.layers()[: self.frozen_layers]:
            layer.requires_grad_(False)

    @abstractmethod
    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Encode clips.

        Args:
            waveform: (B, S) float32 in -1 to 1, zero beyond each clip's length.
            lengths: (B,) int64, samples of each clip.
            spec_masks: spectrogram cells to hide; None hides none.
        """

    def frozen_part(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks) -> tuple[Tensor, Tensor]:
        """What the layers that are never trained make of clips, so that the others can be trained without them.

        Args:
            waveform: (B, S), as `forward` takes it, of 10 s at most.
            lengths: (B,).
            spec_masks: spectrogram cells to hide.

        Returns:
            Maps (B, ..., T) and each clip's frames (B,), for `trained_part`.

        Raises:
            CheckpointError: the encoder cannot be parted.
        """
        raise CheckpointError(
            f"{type(self).__name__} cannot be trained from its frozen layers on: set training.tagger.num_steps to 0."
        )

    def trained_part(self, maps: Tensor, frames: Tensor) -> Tensor:
        """Tag logits (B, 527) of what `frozen_part` gave.

        Raises:
            CheckpointError: the encoder cannot be parted.
        """
        raise CheckpointError(f"{type(self).__name__} cannot be parted.")

    def tag_logits(self, embeddings: Tensor, parts: Tensor) -> Tensor:
        """What the tagger says of parts of clips whose frame embeddings are known.

        Args:
            embeddings: (B, T, E), as `forward` gives them with output "frames".
            parts: (B, P, T) bool, the frames of each part; at least one each.

        Returns:
            (B, P, 527) logits before the sigmoid.

        Raises:
            CheckpointError: the encoder has no tagger.
        """
        raise CheckpointError(
            f"{type(self).__name__} has no tagger: set captioner.tags.num_tags and training.tag_loss to 0."
        )


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """(B, T) bool, true for each clip's own frames."""
    return torch.arange(num_frames, device=lengths.device)[None, :] < lengths[:, None]


def reflect_pad(waveform: Tensor, lengths: Tensor, pad: int) -> Tensor:
    """Reflect each clip at its own two ends.

    Args:
        waveform: (B, S).
        lengths: (B,) samples of each clip, more than `pad`.
        pad: samples added on each side.

    Returns:
        (B, S + 2 * pad); what lies more than `pad` samples beyond a clip's end has no meaning.
    """
    positions = (torch.arange(waveform.shape[1] + 2 * pad, device=waveform.device) - pad).abs()  # (S + 2 pad,)
    last = (lengths - 1)[:, None]  # (B, 1)
    index = (last - (positions[None, :] - last).abs()).clamp(min=0)  # (B, S + 2 pad)
    return waveform.gather(1, index)


def pad_to_minimum(waveform: Tensor, lengths: Tensor, minimum: int) -> tuple[Tensor, Tensor]:
    """Lengthen clips shorter than `minimum` samples with silence."""
    missing = max(0, minimum - waveform.shape[1])
    return nn.functional.pad(waveform, (0, missing)), lengths.clamp(min=minimum)


def hide_spans(spectrogram: Tensor, lengths: Tensor, spec_masks: SpecMasks) -> Tensor:
    """Set the hidden cells of spectrograms (B, F, T), normalised about zero, to zero."""
    frames = torch.arange(spectrogram.shape[2], device=spectrogram.device)
    bands = torch.arange(spectrogram.shape[1], device=spectrogram.device)
    time_spans = (spec_masks.time * lengths[:, None, None]).round()  # (B, K, 2)
    band_spans = (spec_masks.band * spectrogram.shape[1]).round()  # (B, M, 2)
    in_time = ((frames >= time_spans[..., :1]) & (frames < time_spans[..., 1:])).any(dim=1)  # (B, T)
    in_band = ((bands >= band_spans[..., :1]) & (bands < band_spans[..., 1:])).any(dim=1)  # (B, F)
    return spectrogram.masked_fill(in_time[:, None, :] | in_band[:, :, None], 0.0)

"""Interface of all audio encoders, and functions that they share.

Shapes: B clips, S samples, F bands, T frames, E encoder width, C tag classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from configs.errors import CheckpointError

NUM_AUDIOSET_CLASSES = 527
PREFIX = "hf:"  # before the folder or hub id of an encoder of transformers


class EncoderOutput(NamedTuple):
    """Output of an encoder.

    Attributes:
        embeddings: (B, T, E) float32, zero beyond the length of each clip.
        lengths: (B,) int64, number of frames of each clip, at least 1.
        logits: (B, C) float tag logits before the sigmoid; None for an encoder without a tagger.
    """

    embeddings: Tensor
    lengths: Tensor
    logits: Tensor | None


@dataclass(frozen=True)
class SpecMasks:
    """Masked spans of SpecAugment, as shares [start, end) of each clip's frames and of all bands.

    Attributes:
        time: (B, K, 2) float, 0 to 1.
        band: (B, M, 2) float, 0 to 1.
    """

    time: Tensor
    band: Tensor


class AudioEncoder(nn.Module, ABC):
    """Network from waveforms to frame embeddings; the output of a clip does not depend on padding or on other clips.

    Attributes:
        sample_rate: sample rate of the waveforms, in hertz.
        embedding_dim: width E of the embeddings.
        frame_rate_hz: embeddings per second; only encoders with a tagger define it.
        keeps_statistics: whether batch norm keeps its loaded statistics during training, where batches are small and padded.
        frozen_layers: number of layers, counted from the input, that are never trained.
        has_tagger: whether the encoder predicts AudioSet's tags, so that `EncoderOutput.logits` and `tag_logits` are defined.
    """

    sample_rate: int
    embedding_dim: int
    frame_rate_hz: float
    keeps_statistics: bool
    frozen_layers: int = 0
    has_tagger: bool = False

    def train(self, mode: bool = True) -> "AudioEncoder":
        """Set the training mode; batch norm stays in evaluation mode if `keeps_statistics`."""
        super().train(mode)
        for module in self.modules() if self.keeps_statistics else ():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.eval()
        return self

    def architecture(self) -> dict[str, Any] | None:
        """Settings that a checkpoint stores to rebuild the network; None if the configuration is sufficient."""
        return None

    def with_branch(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a published file, extended by tensors that the encoder derives from them."""
        return dict(state)

    @abstractmethod
    def layers(self) -> Sequence[nn.Module]:
        """Layers of the network in order from the input, without its head."""

    def set_trained(self, trained: bool) -> None:
        """Enable or disable gradients of the encoder's weights; the first `frozen_layers` layers stay frozen."""
        self.requires_grad_(trained)
        for layer in self.layers()[: self.frozen_layers]:
            layer.requires_grad_(False)

    @abstractmethod
    def forward(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks | None = None) -> EncoderOutput:
        """Encode clips.

        Args:
            waveform: (B, S) float32 in -1 to 1, zero beyond the length of each clip.
            lengths: (B,) int64, number of samples of each clip.
            spec_masks: spectrogram spans to mask; None for none.
        """

    def frozen_part(self, waveform: Tensor, lengths: Tensor, spec_masks: SpecMasks) -> tuple[Tensor, Tensor]:
        """Output of the frozen layers, from which the other layers are trained (`training.tagger`).

        Args:
            waveform: (B, S) float32, as for `forward`, at most 10 s.
            lengths: (B,) int64, number of samples of each clip.
            spec_masks: spectrogram spans to mask.

        Returns:
            Feature maps (B, ..., T) and the number of frames of each clip (B,), the arguments of `trained_part`.

        Raises:
            CheckpointError: the encoder does not support it.
        """
        raise CheckpointError(
            f"{type(self).__name__} does not support tagger fine-tuning: set training.tagger.num_steps to 0."
        )

    def trained_part(self, maps: Tensor, frames: Tensor) -> Tensor:
        """Tag logits (B, 527) from the output of `frozen_part`.

        Raises:
            CheckpointError: the encoder does not support it.
        """
        raise CheckpointError(f"{type(self).__name__} does not support tagger fine-tuning.")

    def tag_logits(self, embeddings: Tensor, parts: Tensor) -> Tensor:
        """Tag logits of parts of clips from their frame embeddings.

        Args:
            embeddings: (B, T, E) float, returned by `forward` with output "frames".
            parts: (B, P, T) bool, frames of each part, at least one each.

        Returns:
            (B, P, 527) float logits before the sigmoid.

        Raises:
            CheckpointError: the encoder has no tagger.
        """
        raise CheckpointError(
            f"{type(self).__name__} has no tagger: set captioner.tags.num_tags and training.tag_loss to 0."
        )


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Mask (B, T) bool of the valid frames of each clip."""
    return torch.arange(num_frames, device=lengths.device)[None, :] < lengths[:, None]


def reflect_pad(waveform: Tensor, lengths: Tensor, pad: int) -> Tensor:
    """Pad each clip by reflection at its own ends.

    Args:
        waveform: (B, S).
        lengths: (B,) int64, number of samples of each clip, more than `pad`.
        pad: number of samples added at each end.

    Returns:
        (B, S + 2 * pad); values more than `pad` samples beyond the end of a clip are undefined.
    """
    padded = nn.functional.pad(waveform, (pad, pad), mode="reflect")  # (B, S + 2 * pad)
    steps = torch.arange(pad, device=waveform.device)
    ends = waveform.gather(1, lengths[:, None] - 2 - steps)  # (B, pad): the last samples but one, backwards
    return padded.scatter(1, lengths[:, None] + pad + steps, ends)


def pad_to_minimum(waveform: Tensor, lengths: Tensor, minimum: int) -> tuple[Tensor, Tensor]:
    """Append silence to clips shorter than `minimum` samples."""
    missing = max(0, minimum - waveform.shape[1])
    return nn.functional.pad(waveform, (0, missing)), lengths.clamp(min=minimum)


def hide_spans(spectrogram: Tensor, lengths: Tensor, spec_masks: SpecMasks) -> Tensor:
    """Set the masked cells of zero-centred spectrograms (B, F, T) to zero."""
    frames = torch.arange(spectrogram.shape[2], device=spectrogram.device)
    bands = torch.arange(spectrogram.shape[1], device=spectrogram.device)
    time_spans = (spec_masks.time * lengths[:, None, None]).round()  # (B, K, 2)
    band_spans = (spec_masks.band * spectrogram.shape[1]).round()  # (B, M, 2)
    in_time = ((frames >= time_spans[..., :1]) & (frames < time_spans[..., 1:])).any(dim=1)  # (B, T)
    in_band = ((bands >= band_spans[..., :1]) & (bands < band_spans[..., 1:])).any(dim=1)  # (B, F)
    return spectrogram.masked_fill(in_time[:, None, :] | in_band[:, :, None], 0.0)

"""The training loss as a module, so that data-parallel wrappers get one forward call per step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.captioner import AudioCaptioner
from models.encoders.base import SpecMasks
from training.batches import Batch


class CaptioningLoss(nn.Module):
    """Cross-entropy of caption tokens given the audio, plus the tagging loss of labelled clips.

    Args:
        captioner: model to train.
        label_smoothing: share of the target spread over the vocabulary, 0 to 1 (Szegedy et al. 2016, arXiv 1512.00567).
        trains_encoder: whether batches have waveforms, and the encoder is trained.
        tag_loss: weight of the tagging loss, which requires a trained encoder.
    """

    def __init__(
        self, captioner: AudioCaptioner, label_smoothing: float, trains_encoder: bool, tag_loss: float = 0.0
    ) -> None:
        super().__init__()
        self.captioner = captioner
        self.label_smoothing = label_smoothing
        self.trains_encoder = trains_encoder
        self.tag_loss = tag_loss

    def forward(self, batch: Batch) -> Tensor:
        """Return the weighted sum of token losses in nats, a scalar; divide by the sum of `token_weights` for the mean."""
        embeddings, lengths = batch.audio, batch.lengths
        all_weights = token_weights(batch)  # (R, L - 1)
        tag_loss: Tensor | float = 0.0
        if self.trains_encoder:
            hides = batch.time_spans.shape[1] + batch.band_spans.shape[1] > 0
            masks = SpecMasks(time=batch.time_spans, band=batch.band_spans) if hides and self.training else None
            output = self.captioner.encode(batch.audio, batch.lengths, masks)
            embeddings, lengths = output.embeddings, output.lengths
            if self.tag_loss and output.logits is not None:
                tag_loss = self.tag_loss * tagging_loss(output.logits, batch.tags)
        inputs, targets = batch.caption_ids[:, :-1], batch.caption_ids[:, 1:]  # (R, L - 1) each
        counts = batch.caption_lengths - 1
        logits = self.captioner(embeddings, lengths, inputs, batch.clip_index, batch.styles, counts).float()  # (W, V)
        inside = torch.arange(targets.shape[1], device=targets.device) < counts[:, None]  # (R, L - 1)
        losses = F.cross_entropy(
            logits, targets[inside], reduction="none", label_smoothing=self.label_smoothing
        )  # (W,)
        weights = all_weights[inside]
        return (losses * weights).sum() + tag_loss * weights.sum()


def tagging_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of tag logits (B, C), summed over the known targets (B, C), averaged over clips."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets.clamp(min=0), reduction="none")  # (B, C)
    return (losses * (targets >= 0)).sum() / len(targets)


def token_weights(batch: Batch) -> Tensor:
    """Return target token weights (R, L - 1): the weight of the caption up to its end token, zero afterwards."""
    targets = torch.arange(batch.caption_ids.shape[1] - 1, device=batch.caption_ids.device)  # (L - 1,)
    inside = targets[None, :] < batch.caption_lengths[:, None] - 1  # (R, L - 1)
    return batch.caption_weights[:, None] * inside.to(batch.caption_weights.dtype)

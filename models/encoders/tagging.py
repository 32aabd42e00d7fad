"""Tag scores of a clip and of its thirds, from the frame embeddings of an encoder with a tagger.

Shapes: B clips, T frames, P = 4 parts of a clip, C tag classes, E encoder width.
"""

import torch
from torch import Tensor

from models.encoders.base import AudioEncoder

NUM_PARTS = 4  # the whole clip and its three thirds


def clip_parts(lengths: Tensor, num_frames: int) -> Tensor:
    """Frames that belong to each part of a clip.

    Args:
        lengths: (B,) int64, frames of each clip, at least 1.
        num_frames: T.

    Returns:
        (B, 4, T) bool: the whole clip and its three thirds, at least one frame each.
    """
    frames = torch.arange(num_frames, device=lengths.device)
    bounds = [(torch.zeros_like(lengths), lengths)]
    for third in range(3):
        start = torch.div(lengths * third, 3, rounding_mode="floor")
        end = torch.div(lengths * (third + 1), 3, rounding_mode="floor")
        bounds.append((start, torch.maximum(end, start + 1)))
    return torch.stack([(frames >= start[:, None]) & (frames < end[:, None]) for start, end in bounds], dim=1)


def part_logits(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Tag logits of whole clips and their thirds.

    Args:
        encoder: encoder with a tagger; it computed the embeddings.
        embeddings: (B, T, E) float frame embeddings.
        lengths: (B,) int64, frames of each clip.

    Returns:
        (B, P, C) float logits before the sigmoid.
    """
    return encoder.tag_logits(embeddings, clip_parts(lengths, embeddings.shape[1]))


def part_scores(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Tag scores (B, P, C), 0 to 1, of whole clips and their thirds; arguments as for `part_logits`."""
    return torch.sigmoid(part_logits(encoder, embeddings, lengths).float())


def tag_scores(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Tag scores (B, C), 0 to 1: the maximum over the whole clip and its thirds; arguments as for `part_logits`."""
    return part_scores(encoder, embeddings, lengths).amax(dim=1)

"""Projection: from the encoder's audio embeddings to prefix tokens of the decoder's width.

Shapes: B batch, T audio frames, E encoder width, D decoder width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from configs.schema import ProjectionConfig


class Projection(nn.Module):
    """Linear layer or MLP over frames, after averaging neighbouring frames.

    Args:
        config: kind, pooling factor and dropout.
        input_width: encoder width E.
        output_width: decoder width D.
    """

    def __init__(self, config: ProjectionConfig, input_width: int, output_width: int) -> None:
        super().__init__()
        self.pool = config.pool
        self.layers: nn.Module
        if config.kind == "none":
            self.layers = nn.Identity()
        elif config.kind == "linear":
            self.layers = nn.Linear(input_width, output_width)
        else:
            self.layers = nn.Sequential(
                nn.LayerNorm(input_width),
                nn.Dropout(config.dropout),
                nn.Linear(input_width, output_width),
                nn.GELU(),
                nn.Linear(output_width, output_width),
            )

    def forward(self, audio_embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Project and pool.

        Args:
            audio_embeddings: (B, T, E) float, zero beyond each clip's length.
            lengths: (B,) int64, frames of each clip, at least 1.

        Returns:
            Prefix embeddings (B, ceil(T / pool), D) and their lengths (B,). A last group that is only partly
            filled is averaged over its valid frames, so padding has no effect.
        """
        if self.pool > 1:
            batch, frames, width = audio_embeddings.shape
            missing = -frames % self.pool
            padded = F.pad(audio_embeddings, (0, 0, 0, missing))  # (B, T + missing, E)
            sums = padded.reshape(batch, -1, self.pool, width).sum(dim=2)  # (B, ceil(T / pool), E)
            starts = torch.arange(sums.shape[1], device=lengths.device) * self.pool  # (ceil(T / pool),)
            counts = (lengths[:, None] - starts[None, :]).clamp(min=1, max=self.pool)  # (B, ceil(T / pool))
            audio_embeddings = sums / counts[..., None].to(sums.dtype)
            lengths = torch.div(lengths + self.pool - 1, self.pool, rounding_mode="floor")
        return self.layers(audio_embeddings), lengths

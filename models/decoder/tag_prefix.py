"""Tag prefix: the highest tag scores of a clip and of its thirds as prefix tokens of the decoder.

A tagger trained on AudioSet's two million clips tells a small decoder which sounds are present and when. Tags as the
prompt of a captioner: Koizumi et al., "A Transformer-based Audio Captioning Model with Keyword Estimation", Interspeech
2020, arXiv 2007.00222.

Shapes: B clips, P parts of a clip, C tag classes, K tags kept, D decoder width.
"""

import torch
from torch import Tensor, nn

from configs.schema import TagsConfig
from models.encoders.base import NUM_AUDIOSET_CLASSES
from models.encoders.tagging import NUM_PARTS


class TagPrefix(nn.Module):
    """One token for each of the K highest-scoring tags, in descending order: the tag and its score in each part.

    With `config.summary`, P tokens come first, each a projection of all tag scores of one part.

    Args:
        config: number of tags K, dropout of whole tokens during training, and which parts are used.
        width: decoder width D.
    """

    def __init__(self, config: TagsConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(NUM_AUDIOSET_CLASSES, width)
        self.layers = nn.Sequential(nn.Linear(width + NUM_PARTS, width), nn.GELU(), nn.Linear(width, width))
        self.summary: nn.Module | None = None
        if config.summary:
            self.summary = nn.Sequential(nn.Linear(NUM_AUDIOSET_CLASSES, width), nn.GELU(), nn.Linear(width, width))
            self.part_embed = nn.Embedding(NUM_PARTS, width)

    def forward(self, logits: Tensor) -> Tensor:
        """Compute prefix tokens.

        Args:
            logits: (B, P, C) float tag logits of the parts given by `models.encoders.tagging.clip_parts`.

        Returns:
            (B, K, D) float, or (B, P + K, D) with a summary.
        """
        if not self.config.parts:
            logits = logits[:, :1].expand(-1, NUM_PARTS, -1)
        scores = torch.sigmoid(logits.float()).sqrt()  # (B, P, C); the root spreads the many small scores
        _, tags = scores.amax(dim=1).topk(self.config.num_tags, dim=1)  # (B, K)
        profile = scores.gather(2, tags[:, None].expand(-1, NUM_PARTS, -1)).transpose(1, 2)  # (B, K, P)
        words = self.embed(tags)  # (B, K, D)
        tokens = self.layers(torch.cat([words, profile.to(words.dtype)], dim=2))  # (B, K, D)
        if self.training and self.config.dropout:
            kept = torch.rand(tags.shape, device=tags.device) >= self.config.dropout
            tokens = tokens * kept[..., None]
        if self.summary is None:
            return tokens
        summary = self.summary(scores.to(words.dtype)) + self.part_embed.weight  # (B, P, D)
        return torch.cat([summary, tokens], dim=1)

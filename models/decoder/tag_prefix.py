"""Tag prefix: what the encoder's tagger is surest of, and when it sounds, as prefix tokens of the decoder.

Frames alone leave a small decoder to find out what sounds; the tagger knows it already, from AudioSet's two million clips.
Tags as a captioner's prompt: Koizumi et al., "A Transformer-based Audio Captioning Model with Keyword Estimation",
Interspeech 2020, arXiv 2007.00222.

Shapes: B clips, T frames, P parts of a clip, C tag classes, K tags kept, D decoder width.
"""

import torch
from torch import Tensor, nn

from configs.schema import TagsConfig
from models.encoders.base import NUM_AUDIOSET_CLASSES, AudioEncoder

NUM_PARTS = 4  # the whole clip, its start, middle and end


def clip_parts(lengths: Tensor, num_frames: int) -> Tensor:
    """Frames of the whole clip and of its three thirds, (B, 4, T) bool; each part has a frame at least."""
    frames = torch.arange(num_frames, device=lengths.device)
    bounds = [(torch.zeros_like(lengths), lengths)]
    for third in range(3):
        start = torch.div(lengths * third, 3, rounding_mode="floor")
        end = torch.div(lengths * (third + 1), 3, rounding_mode="floor")
        bounds.append((start, torch.maximum(end, start + 1)))
    return torch.stack([(frames >= start[:, None]) & (frames < end[:, None]) for start, end in bounds], dim=1)


def part_logits(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Tag logits (B, P, C) of whole clips and their thirds, by an encoder of its embeddings (B, T, E) and lengths (B,)."""
    return encoder.tag_logits(embeddings, clip_parts(lengths, embeddings.shape[1]))


def part_scores(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Probability of each tag in whole clips and their thirds (B, P, C); arguments as `part_logits` has them."""
    return torch.sigmoid(part_logits(encoder, embeddings, lengths).float())


def tag_scores(encoder: AudioEncoder, embeddings: Tensor, lengths: Tensor) -> Tensor:
    """Probability of each tag (B, C), the highest of the whole clip and its thirds; arguments as `part_logits` has them."""
    return part_scores(encoder, embeddings, lengths).amax(dim=1)


class TagPrefix(nn.Module):
    """One token for each of the strongest tags, strongest first: which tag, and its score in each part.

    Args:
        config: how many tags, and how often one is hidden in training.
        width: D.
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
        """Tokens (B, K, D), or (B, P + K, D) with a summary, of tag logits (B, P, C) over the parts of `clip_parts`."""
        if not self.config.parts:
            logits = logits[:, :1].expand(-1, NUM_PARTS, -1)
        scores = torch.sigmoid(logits.float()).sqrt()  # (B, P, C); the root parts the many small scores
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

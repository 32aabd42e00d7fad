"""`generation.engine.Engine` for decoders of torch."""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from generation.engine import Rule, SearchSettings
from models.decoder.llama import LlamaDecoder
from models.decoder.torch_arrays import TorchArrays

# Clips whose captions are scored at once: more are no faster on a CPU, and memory for logits grows with them.
SCORED_TOGETHER = 8


class TorchEngine:
    """See `generation.engine.Engine`.

    Args:
        decoder: decoder that generates and scores captions.
    """

    def __init__(self, decoder: LlamaDecoder) -> None:
        self.decoder = decoder

    @property
    def arrays(self) -> TorchArrays:
        """Operations on the decoder's device."""
        return TorchArrays(next(self.decoder.parameters()).device)

    @property
    def num_logits(self) -> int:
        """Number of tokens V of the network."""
        return int(self.decoder.llama.config.vocab_size)

    def generate(
        self, prefix: Tensor, prefix_lengths: Tensor, settings: SearchSettings, rules: Sequence[Rule]
    ) -> tuple[list[list[int]], list[float]]:
        """See `Engine.generate`."""
        ids, sums = self.decoder.generate(prefix, prefix_lengths, settings, rules)
        return ids.tolist(), sums.tolist()

    def score(
        self, prefix: Tensor, prefix_lengths: Tensor, caption_ids: Sequence[Sequence[list[int]]]
    ) -> list[list[float]]:
        """See `Engine.score`."""
        found: list[list[float]] = [[] for _ in caption_ids]
        asked = [clip for clip, captions in enumerate(caption_ids) if captions]
        for start in range(0, len(asked), SCORED_TOGETHER):
            clips = asked[start : start + SCORED_TOGETHER]
            rows = torch.tensor(clips, device=prefix.device)
            captions = [(row, ids) for row, clip in enumerate(clips) for ids in caption_ids[clip]]
            values = self._score(prefix[rows], prefix_lengths[rows], captions)
            for (row, _), value in zip(captions, values, strict=True):
                found[clips[row]].append(value)
        return found

    def _score(self, prefix: Tensor, prefix_lengths: Tensor, captions: Sequence[tuple[int, list[int]]]) -> list[float]:
        """Log-probabilities of R captions, each with the index of its prefix among prefixes (B, T', D)."""
        bos, eos, pad = (self.decoder.token_ids[mark] for mark in ("bos", "eos", "pad"))
        counts = [len(ids) + 1 for _, ids in captions]
        rows = [torch.tensor([bos, *ids]) for _, ids in captions]
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad).to(prefix.device)  # (R, L)
        targets = torch.tensor([token for _, ids in captions for token in (*ids, eos)], device=prefix.device)  # (W,)
        clips = torch.tensor([row for row, _ in captions], device=prefix.device)
        lengths = torch.tensor(counts, device=prefix.device)
        logits = self.decoder(prefix, prefix_lengths, inputs, clips, lengths).float()  # (W, V)
        losses = F.cross_entropy(logits, targets, reduction="none").tolist()
        ends = list(itertools.accumulate(counts))
        return [-math.fsum(losses[end - count : end]) for count, end in zip(counts, ends, strict=True)]

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """See `Engine.seeded`."""
        device = next(self.decoder.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

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

    def score(self, prefix: Tensor, prefix_length: Tensor, caption_ids: list[list[int]]) -> list[float]:
        """See `Engine.score`."""
        bos, eos, pad = (self.decoder.token_ids[mark] for mark in ("bos", "eos", "pad"))
        counts = [len(ids) + 1 for ids in caption_ids]
        rows = [torch.tensor([bos, *ids]) for ids in caption_ids]
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad).to(prefix.device)  # (R, L)
        targets = torch.tensor([token for ids in caption_ids for token in (*ids, eos)], device=prefix.device)  # (W,)
        clips = torch.zeros(len(rows), dtype=torch.long, device=prefix.device)
        lengths = torch.tensor(counts, device=prefix.device)
        logits = self.decoder(prefix[None], prefix_length[None], inputs, clips, lengths).float()  # (W, V)
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

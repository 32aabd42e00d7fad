"""`generation.engine.Engine` for decoders of torch."""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from generation.engine import Rule, SearchSettings

if TYPE_CHECKING:
    from models.decoder.llama import LlamaDecoder


class TorchArrays:
    """Operations of `generation.engine.Arrays` on tensors.

    Args:
        device: device of the tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def array(self, values: NDArray[Any]) -> Tensor:
        """See `Arrays.array`."""
        return torch.from_numpy(values).to(self.device)

    def repeat(self, values: Tensor, times: int) -> Tensor:
        """See `Arrays.repeat`."""
        return values.repeat_interleave(times, dim=0)

    def log_softmax(self, logits: Tensor) -> Tensor:
        """See `Arrays.log_softmax`."""
        return logits.float().log_softmax(dim=1)

    def largest(self, values: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See `Arrays.largest`."""
        found = values.topk(count, dim=1)
        return found.values, found.indices

    def take(self, values: Tensor, indices: Tensor) -> Tensor:
        """See `Arrays.take`."""
        return values.gather(1, indices)

    def put(self, values: Tensor, rows: Sequence[int], columns: Sequence[int], number: float) -> Tensor:
        """See `Arrays.put`."""
        changed = values.clone()
        places = torch.tensor([rows, columns], device=values.device)
        changed[places[0], places[1]] = number
        return changed

    def zeroed(self, values: Tensor, columns: Tensor) -> Tensor:
        """See `Arrays.zeroed`."""
        return values.scatter(1, columns, 0.0)

    def fetch(self, values: Tensor, indices: Tensor, gains: Tensor) -> tuple[list[Any], list[Any], list[Any]]:
        """See `Arrays.fetch`; copied from the device together, since each copy waits for the device."""
        packed = torch.stack([values.view(torch.int32), indices.int(), gains.view(torch.int32)]).cpu()
        return packed[0].view(torch.float32).tolist(), packed[1].tolist(), packed[2].view(torch.float32).tolist()

    def send(
        self, token_ids: Sequence[Sequence[int]], rows: Sequence[int], scores: Sequence[float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `Arrays.send`; copied to the device together."""
        bits = np.array(scores, dtype=np.float32).view(np.int32)
        numbers = np.array([*zip(*token_ids, strict=True), rows], dtype=np.int32)  # (L + 1, R)
        packed = torch.from_numpy(np.concatenate([numbers, bits[None]])).to(self.device)
        return packed[:-2].T.long(), packed[-2].long(), packed[-1].view(torch.float32)


class TorchEngine:
    """See `generation.engine.Engine`.

    Args:
        decoder: decoder that generates and scores captions.
    """

    def __init__(self, decoder: "LlamaDecoder") -> None:
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

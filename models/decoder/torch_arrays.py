"""`generation.engine.Arrays` for tensors.

Shapes: see `generation/engine.py`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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

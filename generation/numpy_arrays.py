"""Operations of `generation.engine.Arrays` on numpy arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class NumpyArrays:
    """Arrays of the CPU."""

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values themselves."""
        return values

    def repeat(self, values: NDArray[Any], times: int) -> NDArray[Any]:
        """See `Arrays.repeat`."""
        return np.repeat(values, times, axis=0)

    def log_softmax(self, logits: NDArray[Any]) -> NDArray[np.float32]:
        """See `Arrays.log_softmax`."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return shifted.astype(np.float32, copy=False)

    def largest(self, values: NDArray[Any], count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """See `Arrays.largest`; equal values in the order of their indices."""
        found = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
        order = np.argsort(-np.take_along_axis(values, found, axis=1), axis=1, kind="stable")
        indices = np.take_along_axis(found, order, axis=1)
        return np.take_along_axis(values, indices, axis=1), indices

    def take(self, values: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
        """See `Arrays.take`."""
        return np.take_along_axis(values, indices, axis=1)

    def put(self, values: NDArray[Any], rows: Sequence[int], columns: Sequence[int], number: float) -> NDArray[Any]:
        """See `Arrays.put`."""
        changed = values.copy()
        changed[list(rows), list(columns)] = number
        return changed

    def zeroed(self, values: NDArray[Any], columns: NDArray[np.int64]) -> NDArray[Any]:
        """See `Arrays.zeroed`."""
        changed = values.copy()
        np.put_along_axis(changed, columns, 0.0, axis=1)
        return changed

    def fetch(
        self, values: NDArray[Any], indices: NDArray[Any], gains: NDArray[Any]
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """See `Arrays.fetch`."""
        return values.tolist(), indices.tolist(), gains.tolist()

    def send(
        self, token_ids: Sequence[Sequence[int]], rows: Sequence[int], scores: Sequence[float]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """See `Arrays.send`."""
        return np.array(token_ids, dtype=np.int64), np.array(rows, dtype=np.int64), np.array(scores, dtype=np.float32)

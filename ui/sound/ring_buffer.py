"""Ring buffer of the most recent samples of a stream."""

import numpy as np

from data.audio import Waveform


class RingBuffer:
    """Stores the newest samples of a stream and counts all samples.

    Args:
        capacity: number of samples stored.
    """

    def __init__(self, capacity: int) -> None:
        self._samples = np.zeros(capacity, np.float32)
        self.total = 0

    def write(self, block: Waveform) -> None:
        """Append samples (S,)."""
        capacity = len(self._samples)
        kept = block[-capacity:]
        start = (self.total + len(block) - len(kept)) % capacity
        first = min(len(kept), capacity - start)
        self._samples[start : start + first] = kept[:first]
        self._samples[: len(kept) - first] = kept[first:]
        self.total += len(block)

    def read(self, start: int, stop: int) -> Waveform:
        """Return a copy of the stream's samples `start` to `stop`, (stop - start,), float32.

        Raises:
            IndexError: if the samples have not been written yet or are no longer stored.
        """
        capacity = len(self._samples)
        if not max(0, self.total - capacity) <= start <= stop <= self.total:
            raise IndexError(f"samples {start} to {stop} are not among the last {capacity} of {self.total}")
        return self._samples[np.arange(start, stop) % capacity]

"""Waveform outline of a sound that is being captured, in bounded memory."""

import numpy as np
from numpy.typing import NDArray

from data.audio import Waveform
from ui.sound.levels import extremes

MAX_PAIRS = 1 << 18  # 1.5 hours at 50 pairs per second; neighbours are merged beyond


class OutlineStream:
    """Computes minimum and maximum samples at a constant rate, independently of the block size.

    Args:
        pairs_per_s: pairs of extremes for each second of sound.
    """

    def __init__(self, pairs_per_s: float) -> None:
        self._pairs_per_s = pairs_per_s
        self._rest = np.zeros(0, np.float32)
        self._rate = 0
        self._taken = self._pairs = 0  # samples consumed and pairs returned so far

    def feed(self, block: Waveform, rate: int) -> NDArray[np.float32]:
        """Append samples (S,) at `rate` hertz; return the completed pairs (K, 2), float32."""
        if rate != self._rate:
            self._rate, self._rest, self._taken, self._pairs = rate, np.zeros(0, np.float32), 0, 0
        samples = np.concatenate([self._rest, block])
        complete = int((self._taken + len(samples)) * self._pairs_per_s / rate)
        ends = np.floor(np.arange(self._pairs, complete + 1) * rate / self._pairs_per_s).astype(np.int64) - self._taken
        count = int(ends[-1])
        self._rest = samples[count:]
        if len(ends) < 2:
            return np.zeros((0, 2), np.float32)
        self._taken, self._pairs = self._taken + count, complete
        lows, highs = (part.reduceat(samples[:count], ends[:-1]) for part in (np.minimum, np.maximum))
        return np.stack([lows, highs], axis=1)


class GrowingSound:
    """Outline of a sound that is being captured; it has neither samples to play nor a spectrogram.

    Args:
        pairs_per_s: pairs of extremes for each second of sound.
    """

    spectrogram = None
    highest_hz = 0.0

    def __init__(self, pairs_per_s: float) -> None:
        self.grows = True  # False once the sound has ended
        self._pairs_per_s = pairs_per_s
        self._pairs = np.zeros((1 << 12, 2), np.float32)
        self._count = 0
        self._every = 1  # number of received pairs merged into each stored one
        self._loose = np.zeros((0, 2), np.float32)  # received pairs not yet merged

    @property
    def duration_s(self) -> float:
        """Current duration, seconds."""
        return self._count / self._pairs_per_s

    def add(self, pairs: NDArray[np.float32]) -> None:
        """Append pairs of extremes (K, 2), float32."""
        if self._every > 1:
            came = np.concatenate([self._loose, pairs])
            whole = len(came) // self._every * self._every
            self._loose = came[whole:]
            if not whole:
                return
            pairs = extremes(came[:whole].reshape(-1), 2 * self._every)
        if self._count + len(pairs) > MAX_PAIRS:
            even = self._count // 2 * 2
            self._loose = np.concatenate([np.repeat(self._pairs[even : self._count], self._every, axis=0), self._loose])
            self._pairs[: even // 2] = extremes(self._pairs[:even].reshape(-1), 4)
            self._count, self._every, self._pairs_per_s = even // 2, 2 * self._every, self._pairs_per_s / 2
            self.add(np.repeat(pairs, self._every // 2, axis=0))
            return
        while self._count + len(pairs) > len(self._pairs):
            self._pairs = np.concatenate([self._pairs, np.zeros_like(self._pairs)])
        self._pairs[self._count : self._count + len(pairs)] = pairs
        self._count += len(pairs)

    def outline(
        self, start_s: float, end_s: float, num_columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See `ui.sound.decoded.DecodedSound.outline`."""
        start = max(0, int(start_s * self._pairs_per_s))
        stop = min(self._count, int(end_s * self._pairs_per_s) + 1)
        if stop <= start:
            return np.zeros(0), np.zeros(0, np.float32)
        every = max(1, (stop - start) // num_columns)
        start -= start % every  # groups do not depend on the visible range, so that the drawing does not flicker
        joined = extremes(self._pairs[start:stop].reshape(-1), 2 * every)  # (N, 2)
        times = (start + every * (np.arange(len(joined)) + 0.5)) / self._pairs_per_s
        return np.repeat(times, 2), joined.reshape(-1)


class NoSound:
    """Empty outline of a past listening session, of which only the captions are stored.

    Args:
        duration_s: duration, seconds.
    """

    spectrogram = None
    highest_hz = 0.0
    grows = False

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s

    def outline(
        self, start_s: float, end_s: float, num_columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return a line at amplitude 0."""
        return np.array([start_s, end_s]), np.zeros(2, np.float32)

"""Loudness in decibels of full scale (dBFS)."""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.audio import Waveform

FLOOR_DB = -90.0  # the meter's lower end; 16-bit silence lies at about -96 dBFS


def to_db(value: float) -> float:
    """An amplitude, 0 to 1, in dBFS, not below FLOOR_DB."""
    return max(FLOOR_DB, 20 * math.log10(value)) if value > 0 else FLOOR_DB


def to_amplitude(decibels: float) -> float:
    """The amplitude, 0 to 1, of a level in dBFS."""
    return float(10 ** (decibels / 20))


def peak_and_rms_db(block: Waveform) -> tuple[float, float]:
    """Peak and root mean square of samples (S,) in dBFS."""
    if not len(block):
        return FLOOR_DB, FLOOR_DB
    return to_db(float(np.abs(block).max())), to_db(float(np.sqrt(np.mean(np.square(block, dtype=np.float64)))))


def to_int16(block: Waveform) -> NDArray[np.int16]:
    """Samples (S,), -1 to 1, as 16-bit numbers; what is louder is clipped."""
    samples: NDArray[np.int16] = np.clip(np.round(block * 32767), -32768, 32767).astype(np.int16)
    return samples


def extremes(samples: NDArray[Any], every: int) -> NDArray[Any]:
    """Smallest and largest of each `every` samples (S,), (ceil(S / every), 2)."""
    starts = np.arange(0, len(samples), every)
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)


class LoudEvents:
    """Finds sounds that stand out from the seconds before them, for a flash that replaces hearing.

    At most one event a second: more than three flashes a second can harm people with photosensitive epilepsy (W3C, Web
    Content Accessibility Guidelines 2.2, criterion 2.3.1).
    """

    JUMP_DB = 15.0
    FLOOR_DB = -35.0
    MEMORY_S = 5.0
    GAP_S = 1.0

    def __init__(self) -> None:
        self._levels: deque[tuple[float, float]] = deque()
        self._last_event_s = -math.inf

    def feed(self, time_s: float, peak_db: float) -> bool:
        """Take the peak of a block in dBFS; tells whether a loud event begins in it."""
        before = [level for _, level in self._levels]
        self._levels.append((time_s, peak_db))
        while self._levels[0][0] < time_s - self.MEMORY_S:
            self._levels.popleft()
        usual = float(np.median(before)) if before else FLOOR_DB
        loud = peak_db >= max(self.FLOOR_DB, usual + self.JUMP_DB) and time_s - self._last_event_s >= self.GAP_S
        if loud:
            self._last_event_s = time_s
        return loud

"""Levels in decibels relative to full scale (dBFS)."""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.audio import Waveform

FLOOR_DB = -90.0  # lower end of the meter; 16-bit resolution is about -96 dBFS


def to_db(value: float) -> float:
    """Convert an amplitude, 0 to 1, to dBFS, at least FLOOR_DB."""
    return max(FLOOR_DB, 20 * math.log10(value)) if value > 0 else FLOOR_DB


def to_amplitude(decibels: float) -> float:
    """Convert a level in dBFS to an amplitude, 0 to 1."""
    return float(10 ** (decibels / 20))


def peak_and_rms_db(block: Waveform) -> tuple[float, float]:
    """Compute the peak and the root mean square of samples (S,), in dBFS."""
    if not len(block):
        return FLOOR_DB, FLOOR_DB
    return to_db(float(np.abs(block).max())), to_db(float(np.sqrt(np.mean(np.square(block, dtype=np.float64)))))


def to_int16(block: Waveform) -> NDArray[np.int16]:
    """Convert samples (S,), -1 to 1, to int16; values outside the range are clipped."""
    samples: NDArray[np.int16] = np.clip(np.round(block * 32767), -32768, 32767).astype(np.int16)
    return samples


def extremes(samples: NDArray[Any], every: int) -> NDArray[Any]:
    """Compute minimum and maximum of each `every` consecutive samples (S,); returns (ceil(S / every), 2)."""
    starts = np.arange(0, len(samples), every)
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)], axis=1)


class LoudEvents:
    """Detects sounds that are louder than the preceding seconds, for visual alerts.

    At most one event per second: more than three flashes a second can harm people with photosensitive epilepsy (W3C, Web
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
        """Process the peak level of a block, in dBFS; return whether a loud event starts in it."""
        before = [level for _, level in self._levels]
        self._levels.append((time_s, peak_db))
        while self._levels[0][0] < time_s - self.MEMORY_S:
            self._levels.popleft()
        usual = float(np.median(before)) if before else FLOOR_DB
        loud = peak_db >= max(self.FLOOR_DB, usual + self.JUMP_DB) and time_s - self._last_event_s >= self.GAP_S
        if loud:
            self._last_event_s = time_s
        return loud

"""Mixing of multichannel audio to mono."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.decoding.errors import AudioError, shown
from data.decoding.limits import HIGHEST_SAMPLE

logger = logging.getLogger(__name__)
Waveform = NDArray[np.float32]
_CANCELLED_SHARE = 0.08  # energy of the mean over mean energy per channel, times channels, below which they cancel
_STILL_CANCELLED_SHARE = 0.25  # the same threshold after channels of the recording have cancelled
_QUIET_PEAK = 1e-4  # peak amplitude of a block below which cancellation is not tested


class Mixdown:
    """Mix blocks of a recording to mono: the mean of the channels, or the loudest channel if they cancel.

    Channels cancel each other if their phases are opposite. The selected channel is kept for later blocks while its energy
    is at least a quarter of the loudest channel's.

    Args:
        path: The recording, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: int | None = None

    def __call__(self, block: NDArray[np.float32], channel_axis: int) -> Waveform:
        """Mix one block.

        Args:
            block: Samples, shape (S, C) or (C, S), float32.
            channel_axis: Axis of the channels, 1 or 0.

        Returns:
            Samples, shape (S,), float32.

        Raises:
            AudioError: If a sample is not finite, or its magnitude exceeds HIGHEST_SAMPLE.
        """
        self._check(block)
        mean: Waveform = block.mean(axis=channel_axis)
        num_channels = block.shape[channel_axis]
        if num_channels == 1 or not mean.size:
            return mean
        energies = np.einsum("sc,sc->c" if channel_axis == 1 else "cs,cs->c", block, block)  # (C,)
        share = _CANCELLED_SHARE if self._channel is None else _STILL_CANCELLED_SHARE
        limit = share / num_channels * float(energies.mean())
        if float(np.dot(mean, mean)) >= limit or float(np.abs(block).max()) < _QUIET_PEAK:
            return mean
        if self._channel is None:
            logger.info("%s: its channels cancel each other; the loudest is used.", shown(self._path))
        if self._channel is None or self._channel >= num_channels or energies[self._channel] < energies.max() / 4:
            self._channel = int(energies.argmax())  # kept: a change between blocks would be audible
        return np.ascontiguousarray(block.take(self._channel, axis=channel_axis))

    def _check(self, block: NDArray[np.float32]) -> None:
        """Raise an AudioError if a sample is not finite, or its magnitude exceeds HIGHEST_SAMPLE."""
        peak = float(np.abs(block).max(initial=0.0))
        if not np.isfinite(peak):
            raise AudioError(
                f"{shown(self._path)} holds NaN or infinite samples: export it again as 16-bit or 24-bit audio."
            )
        if peak > HIGHEST_SAMPLE:
            raise AudioError(
                f"{shown(self._path)} has samples of {peak:.3g} times full scale, up to {HIGHEST_SAMPLE:g} are read: "
                "scale it to -1 to 1 and export it again."
            )

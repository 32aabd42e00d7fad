"""From waveforms to power spectrograms, as the exported encoder takes them.

`models/encoders/mobilenet.py` computes the same with torch; mel bands and logarithm are part of the exported network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class FrontEnd:
    """Windows of a clip and their power spectrograms.

    Attributes:
        sample_rate: sample rate of waveforms, in hertz.
        n_fft: length of the discrete Fourier transform, in samples.
        hop: time between spectrogram frames, in samples.
        window: length of the Hann window, in samples, at most `n_fft`.
        pre_emphasis: weight of the previous sample that is subtracted.
        window_s: maximum length of a clip's windows, in seconds, which are encoded one by one.
        min_samples: length to which shorter windows are padded with silence.
    """

    sample_rate: int
    n_fft: int
    hop: int
    window: int
    pre_emphasis: float
    window_s: float
    min_samples: int

    def windows(self, waveform: Samples) -> Iterator[Samples]:
        """Split a waveform (S,) into the smallest number of equal windows of at most `window_s`."""
        longest, samples = int(self.window_s * self.sample_rate), max(1, len(waveform))
        size = -(-samples // -(-samples // longest))
        yield from (waveform[start : start + size] for start in range(0, samples, size))

    def power(self, window: Samples) -> Samples:
        """Power spectrogram (1, n_fft / 2 + 1, T) float32 of a window (S,)."""
        padded = np.pad(window, (0, max(0, self.min_samples - len(window))))
        emphasised = padded[1:] - np.float32(self.pre_emphasis) * padded[:-1]
        extended = np.pad(emphasised, self.n_fft // 2, mode="reflect")
        frames = np.lib.stride_tricks.sliding_window_view(extended, self.n_fft)[:: self.hop]  # (T, n_fft)
        spectrum = np.fft.rfft(frames * self._hann)  # (T, n_fft / 2 + 1)
        power = spectrum.real**2 + spectrum.imag**2
        return np.ascontiguousarray(power.T[None], dtype=np.float32)

    @cached_property
    def _hann(self) -> Samples:
        """Symmetric Hann window in the middle of `n_fft` samples."""
        before = (self.n_fft - self.window) // 2
        return np.pad(np.hanning(self.window).astype(np.float32), (before, self.n_fft - self.window - before))

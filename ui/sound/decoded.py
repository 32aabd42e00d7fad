"""Recordings decoded once for drawing and playback.

The samples are kept in a memory-mapped file, so that recordings of several hours can be drawn, played and sought without
being loaded; the size of the drawn data is bounded, too.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.audio import AudioError, audio_duration_s, stream_audio
from ui.sound.levels import extremes, to_int16

logger = logging.getLogger(__name__)
PCM_RATE_HZ = 48_000  # rate supported by common sound cards
PEAK_SAMPLES = 480  # one pair of extremes per 10 ms
FFT_SAMPLES, FFT_HOP = 2048, 1024
NUM_BANDS = FFT_SAMPLES // 2  # 0 to 24 kHz
LOWEST_TOP_HZ = 4000.0
FAINTEST_TOP_DB = -6.0  # 60 dB below the power of a full-scale sine: lower bound of the colour scale's maximum
MAX_SPECTRA = 2048  # maximum number of spectra; neighbours are merged beyond it
DYNAMIC_RANGE_DB = 80.0
_BLOCK_S = 5.12  # integer multiple of the FFT hop and of the peak interval


@dataclass(frozen=True)
class DecodedSound:
    """Samples, waveform outline and spectrogram of a recording.

    Attributes:
        path: audio file.
        duration_s: duration, seconds.
        pcm: (S,) int16 samples at PCM_RATE_HZ, memory-mapped.
        extremes: (K, 2) int16, minimum and maximum sample of each 10 ms.
        spectrogram: (T, F) uint8, 0 to 255 over the top 80 dB, frequencies from 0 to `highest_hz`.
        highest_hz: highest frequency of the spectrogram, hertz; all content above it is below the 80 dB range.
        damage: message if part of the recording could not be read, else empty.
    """

    grows = False

    path: Path
    duration_s: float
    pcm: NDArray[np.int16]
    extremes: NDArray[np.int16]
    spectrogram: NDArray[np.uint8]
    highest_hz: float
    damage: str = ""

    def outline(
        self, start_s: float, end_s: float, num_columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Compute the waveform outline of a span: a line through its minima and maxima.

        Args:
            start_s: start of the span, seconds.
            end_s: end of the span, seconds.
            num_columns: width of the drawing, pixels.

        Returns:
            Times (2 N,) in seconds and amplitudes (2 N,), -1 to 1, with N about `num_columns`.
        """
        start, stop = max(0, int(start_s * PCM_RATE_HZ)), min(len(self.pcm), int(end_s * PCM_RATE_HZ) + 1)
        if stop <= start:
            return np.zeros(0), np.zeros(0, np.float32)
        step = max(1, (stop - start) // num_columns)
        if step >= 2 * PEAK_SAMPLES:
            every = step // PEAK_SAMPLES
            pairs = self.extremes[start // PEAK_SAMPLES : -(-stop // PEAK_SAMPLES)]
            joined = extremes(pairs.reshape(-1), 2 * every)  # (N, 2)
            width = every * PEAK_SAMPLES
            start = start // PEAK_SAMPLES * PEAK_SAMPLES
        else:
            samples = self.pcm[start:stop]
            joined, width = extremes(samples, step), step
        times = (start + width * (np.arange(len(joined)) + 0.5)) / PCM_RATE_HZ
        line = joined.reshape(-1)  # (2 N,)
        return np.repeat(times, 2), line.astype(np.float32) / np.float32(32768)


def decode(
    path: Path, pcm_path: Path, on_progress: Callable[[float], None], is_stopped: Callable[[], bool]
) -> DecodedSound | None:
    """Decode a recording.

    Args:
        path: audio file in any format that `data.audio` reads.
        pcm_path: file to write the samples to.
        on_progress: called with the completed fraction, 0 to 1.
        is_stopped: polled between blocks; decoding stops when it returns True.

    Returns:
        The decoded sound, or None if stopped.

    Raises:
        AudioError: as for `data.audio.load_audio`.
        OSError: if `pcm_path` cannot be written.
    """
    duration_s = max(0.01, audio_duration_s(path))
    peaks: list[NDArray[np.int16]] = []
    spectra = _Spectra()
    num_samples, damage = 0, ""
    with pcm_path.open("wb") as file:
        try:
            for start_s, block in stream_audio(path, PCM_RATE_HZ, _BLOCK_S):
                if is_stopped():
                    return None
                samples = to_int16(block)
                file.write(samples.tobytes())
                peaks.append(extremes(samples, PEAK_SAMPLES))
                spectra.add(block)
                num_samples += len(block)
                on_progress(min(1.0, start_s / duration_s))
        except AudioError:
            if not num_samples:
                raise
            damage = f"{path.name} is damaged: only its first {num_samples / PCM_RATE_HZ:.1f} s could be read."
            logger.warning("%s is damaged after %.1f s", path, num_samples / PCM_RATE_HZ)
    pcm = np.memmap(pcm_path, np.int16, mode="r", shape=(num_samples,))
    image, highest_hz = spectra.image()
    return DecodedSound(path, num_samples / PCM_RATE_HZ, pcm, np.concatenate(peaks), image, highest_hz, damage)


class _Spectra:
    """Power spectra of successive blocks, at most MAX_SPECTRA; neighbours are merged by their maximum."""

    def __init__(self) -> None:
        self._window = np.hanning(FFT_SAMPLES).astype(np.float32)
        self._columns: list[NDArray[np.float32]] = []
        self._every = 1

    def add(self, block: NDArray[np.float32]) -> None:
        padded = np.pad(block, (0, max(0, FFT_SAMPLES - len(block))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::FFT_HOP]
        power = np.abs(np.fft.rfft(frames * self._window, axis=1)[:, :NUM_BANDS]) ** 2
        self._columns += list(_halve(10 * np.log10(power.astype(np.float32) + 1e-10), self._every))
        while len(self._columns) > MAX_SPECTRA:
            self._every *= 2
            self._columns = list(_halve(np.stack(self._columns), 2))

    def image(self) -> tuple[NDArray[np.uint8], float]:
        """Return the spectrogram (T, F), 0 to 255, cropped to non-empty bands, and its upper end in hertz."""
        levels = np.stack(self._columns)
        scaled = (levels - max(float(levels.max()), FAINTEST_TOP_DB)) / DYNAMIC_RANGE_DB + 1
        picture = np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
        band_hz = PCM_RATE_HZ / FFT_SAMPLES
        used = np.flatnonzero(picture.max(axis=0) > 0)
        top_hz = max(LOWEST_TOP_HZ, 1000 * np.ceil((used[-1] + 1) * band_hz / 1000) if len(used) else 0.0)
        num_bands = min(NUM_BANDS, round(top_hz / band_hz))
        return picture[:, :num_bands], num_bands * band_hz


def _halve(columns: NDArray[np.float32], every: int) -> NDArray[np.float32]:
    return np.maximum.reduceat(columns, np.arange(0, len(columns), every), axis=0)

"""Decode recordings to mono float32 waveforms at a given sample rate.

`data.decoding` decodes block by block and mixes the channels; soxr resamples each block, so that long recordings are never held
in memory as a whole. Recordings are untrusted: only regular local files are opened, FFmpeg has no access to other files or the
network, rates, channels, samples and duration are limited, and every problem of a file is raised as an `AudioError`.
"""

import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import soxr

from data.decoding.decoder import OnWarning, declared_duration_s, decoded_blocks
from data.decoding.errors import AudioError, shown
from data.decoding.mixdown import Waveform
from data.recognition import AUDIO_SUFFIXES

__all__ = [
    "SHORTEST_S",
    "SILENCE_PEAK",
    "AudioError",
    "Waveform",
    "audio_duration_s",
    "find_audio_files",
    "is_silent",
    "load_audio",
    "stream_audio",
    "stream_parts",
]

SILENCE_PEAK = 10 ** (-80 / 20)  # below -80 dBFS, the last bits of a 16-bit recording
SHORTEST_S = 0.1  # minimum duration of a recording and of its last window
_EDGE_S_SHARE, _EDGE_SAMPLES = 8, 500  # maximum duration of a resampler's ringing at the ends of a constant offset


def load_audio(
    path: str | Path,
    sample_rate: int,
    *,
    start_s: float = 0.0,
    max_duration_s: float | None = None,
    track: int | None = None,
    on_warning: OnWarning | None = None,
) -> Waveform:
    """Decode a recording.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        start_s: seconds to skip at the start.
        max_duration_s: maximum duration to decode, in seconds; None for all.
        track: audio track of a container, from 1; None for the first, with a log message if there are several.
        on_warning: called with each warning, such as that the file is truncated, after it is logged.

    Returns:
        (S,) float32, mean of the channels; the loudest one where they cancel each other. At least 0.1 s.

    Raises:
        AudioError: missing, no regular file, no audio, under 0.1 s, NaN or infinite values, or beyond the bounds of
            `data.decoding`.
    """
    start = round(start_s * sample_rate)
    stop = None if max_duration_s is None else start + round(max_duration_s * sample_rate)
    try:
        blocks = list(_span(_resampled_blocks(Path(path), sample_rate, track, on_warning), start, stop))
        waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    except MemoryError as error:
        raise AudioError(f"{shown(path)} needs more memory than available: cut it into parts.") from error
    if len(waveform) < min(_shortest(sample_rate), np.inf if stop is None else stop - start):
        raise _too_short(path, start_s, len(waveform) / sample_rate)
    return waveform


def _shortest(sample_rate: int) -> float:
    """Return the minimum number of samples, SHORTEST_S with a tolerance for rounding between sample rates."""
    return max(1.0, SHORTEST_S * sample_rate - 2)


def _too_short(path: str | Path, start_s: float, length_s: float) -> AudioError:
    if not length_s:
        return AudioError(
            f"{shown(path)} ends before {start_s:g} s." if start_s else f"{shown(path)} contains no audio samples."
        )
    after = f" after {start_s:g} s" if start_s else ""
    return AudioError(
        f"{shown(path)} is too short: {length_s:.2g} s of sound{after}, {SHORTEST_S:g} s are needed at least: "
        "leave it out, or record for longer."
    )


def stream_audio(
    path: str | Path,
    sample_rate: int,
    window_s: float,
    hop_s: float | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    track: int | None = None,
    on_warning: OnWarning | None = None,
) -> Iterator[tuple[float, Waveform]]:
    """Yield windows of a recording of any length, decoded on demand.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        window_s: window length in seconds.
        hop_s: time between the starts of windows, in seconds, at most `window_s`; None for `window_s`.
        start_s: start of the first window, in seconds.
        end_s: latest end of the last window, in seconds; None for the end of the recording.
        track: as for `load_audio`.
        on_warning: as for `load_audio`.

    Yields:
        Start in seconds, and the window (S,) float32. The last one may be shorter; it is skipped if shorter than 0.1 s.

    Raises:
        AudioError: as `load_audio`, also after the first windows.
        ValueError: a window or hop that is not positive, or a hop longer than the window.
    """
    window, hop = round(window_s * sample_rate), round((hop_s or window_s) * sample_rate)
    if not 0 < hop <= window:
        raise ValueError(
            f"windows of {window_s} s every {hop_s} s: both must be positive, and the hop at most as long as the window."
        )
    first, stop = round(start_s * sample_rate), None if end_s is None else round(end_s * sample_rate)
    pending, start, produced = np.zeros(0, np.float32), first, 0  # `pending` begins at sample `start`
    for block in _span(_resampled_blocks(Path(path), sample_rate, track, on_warning), first, stop):
        pending = np.concatenate([pending, block])
        while len(pending) >= window:
            yield start / sample_rate, pending[:window].copy()
            pending, start, produced = pending[hop:], start + hop, produced + 1
    # With overlapping windows, the rest is only new if it extends past the last window.
    unheard = len(pending) - (window - hop if produced else 0)
    if unheard >= (SHORTEST_S * sample_rate if produced else _shortest(sample_rate)):
        yield start / sample_rate, pending
    elif not produced:
        wanted = np.inf if stop is None else stop - first
        if 0 < wanted <= len(pending):  # a requested part
            yield start / sample_rate, pending
        else:
            raise _too_short(path, start_s, len(pending) / sample_rate)


def stream_parts(
    path: str | Path, sample_rate: int, parts: Sequence[tuple[float, float]], track: int | None = None
) -> Iterator[tuple[float, Waveform]]:
    """Yield parts of a recording, which is decoded once, up to the end of the last part.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        parts: (start, end) of each part in seconds, in order and without overlap.
        track: as for `load_audio`.

    Yields:
        Start in seconds, and the waveform (S,) float32. A part is truncated at the end of the recording, and skipped if it is
        then shorter than 0.1 s.

    Raises:
        AudioError: as `load_audio`, also after the first parts.
    """
    bounds = [(round(start_s * sample_rate), round(end_s * sample_rate)) for start_s, end_s in parts]
    pending, position = np.zeros(0, np.float32), 0  # `pending` begins at sample `position`
    blocks = _resampled_blocks(Path(path), sample_rate, track)
    for start, end in bounds:
        while position + len(pending) < end and (block := next(blocks, None)) is not None:
            pending = np.concatenate([pending, block])
            skipped = max(0, min(start - position, len(pending)))
            pending, position = pending[skipped:], position + skipped
        waveform = pending[max(0, start - position) : max(0, end - position)].copy()
        if len(waveform) >= SHORTEST_S * sample_rate:
            yield start / sample_rate, waveform


def _span(blocks: Iterator[Waveform], first: int, stop: int | None) -> Iterator[Waveform]:
    """Yield the samples `first` to `stop` (None for the end) of a stream of blocks (S,)."""
    position = 0
    for block in blocks:
        yield block[max(0, first - position) : None if stop is None else max(0, stop - position)]
        position += len(block)
        if stop is not None and position >= stop:
            return


def audio_duration_s(path: str | Path, track: int | None = None) -> float:
    """Return the duration of a recording in seconds, from headers and time stamps, or by decoding if they have none.

    Args:
        path: a regular local file.
        track: as for `load_audio`.

    Raises:
        AudioError: as `load_audio`.
    """
    path = _regular_file(Path(path))
    status = path.stat()
    return _duration_s(path, track, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _duration_s(path: Path, track: int | None, size: int, changed_ns: int) -> float:
    declared = declared_duration_s(path, track)
    if declared is not None:
        return declared
    return sum(len(block) / rate for rate, block in decoded_blocks(path, track))


def is_silent(waveform: Waveform, peak: float = SILENCE_PEAK) -> bool:
    """Return whether a waveform (S,) is silent.

    Args:
        waveform: float samples (S,).
        peak: threshold of the magnitude, 0 to 1 (default: -80 dB relative to full scale).

    Returns:
        Whether all magnitudes are below `peak`, possibly after subtracting a constant offset. Ringing of a resampler at both
        ends of an offset, up to a fifth of it, is ignored.
    """
    if not len(waveform) or float(np.abs(waveform).max()) < peak:
        return True
    edge = min(_EDGE_SAMPLES, len(waveform) // _EDGE_S_SHARE)
    inner = waveform[edge : len(waveform) - edge]
    lowest, highest = float(inner.min()), float(inner.max())
    offset = (lowest + highest) / 2
    return (
        highest - offset < peak <= abs(offset)
        and float((waveform * np.sign(offset)).max()) < 1.25 * abs(offset)
        and float((waveform * np.sign(offset)).min()) > -0.25 * abs(offset)
    )


def find_audio_files(folder: str | Path) -> list[Path]:
    """Return the files in a folder tree with an audio suffix, sorted, without hidden files."""
    folder = Path(folder)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _regular_file(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{shown(path)} cannot be opened: {reason}.") from error
    if not stat.S_ISREG(mode):
        raise AudioError(f"{shown(path)} is not a regular file: give a recording on this machine.")
    if path.stat().st_size == 0:
        raise AudioError(f"{shown(path)} is empty (0 bytes).")
    return path


def _resampled_blocks(
    path: Path, sample_rate: int, track: int | None, on_warning: OnWarning | None = None
) -> Iterator[Waveform]:
    """Yield mono blocks (S,) float32 at `sample_rate`."""
    path = _regular_file(path)
    for rate, blocks in groupby(
        decoded_blocks(path, track, on_warning), key=itemgetter(0)
    ):  # chained Ogg can change its rate
        if rate == sample_rate:
            yield from (block for _, block in blocks)
            continue
        resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
        for _, block in blocks:
            resampled = resampler.resample_chunk(block)
            if len(resampled):
                yield resampled
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(rest):
            yield rest

"""Any recording to a mono float32 waveform at the model's rate.

`data.decoding` decodes block by block and mixes the channels; soxr resamples as the blocks come, so that an hour
never lies in memory whole. Recordings come from strangers: only regular local files are opened, FFmpeg may use no other
file and no network, rates, channels, samples and decoded seconds are bounded, and whatever is wrong with a file is one
`AudioError`.
"""

import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import soxr

from data.decoding.decoder import declared_duration_s, decoded_blocks
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

SILENCE_PEAK = 10 ** (-80 / 20)  # below -80 dBFS: the last bits of a 16-bit recording
SHORTEST_S = 0.1  # of a recording, and of the last window of one
_EDGE_S_SHARE, _EDGE_SAMPLES = 8, 500  # where a resampler's ringing about a constant offset ends, at the latest


def load_audio(
    path: str | Path,
    sample_rate: int,
    *,
    start_s: float = 0.0,
    max_duration_s: float | None = None,
    track: int | None = None,
) -> Waveform:
    """Decode a recording.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        start_s: seconds to leave out at the beginning.
        max_duration_s: seconds to decode at most; None decodes all.
        track: which of a container's sound tracks, from 1; None takes the first and says so where there are several.

    Returns:
        (S,) float32, mean of the channels; the loudest one where they cancel each other. At least 0.1 s.

    Raises:
        AudioError: missing, no regular file, no audio, under 0.1 s, NaN or infinite values, or beyond the bounds of
            `data.decoding`.
    """
    start = round(start_s * sample_rate)
    stop = None if max_duration_s is None else start + round(max_duration_s * sample_rate)
    try:
        blocks = list(_span(_resampled_blocks(Path(path), sample_rate, track), start, stop))
        waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    except MemoryError as error:
        raise AudioError(f"{shown(path)} needs more memory than there is: cut it into parts.") from error
    if len(waveform) < min(_shortest(sample_rate), np.inf if stop is None else stop - start):
        raise _too_short(path, start_s, len(waveform) / sample_rate)
    return waveform


def _shortest(sample_rate: int) -> float:
    """Samples of SHORTEST_S, less what rounding between rates may take."""
    return max(1.0, SHORTEST_S * sample_rate - 2)


def _too_short(path: str | Path, start_s: float, length_s: float) -> AudioError:
    if not length_s:
        return AudioError(
            f"{shown(path)} ends before {start_s:g} s." if start_s else f"{shown(path)} holds no audio samples."
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
) -> Iterator[tuple[float, Waveform]]:
    """Windows of a recording of any length, decoded as they are asked for.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        window_s: length of a window, seconds.
        hop_s: from one window's start to the next one's, seconds, at most `window_s`; None: windows touch.
        start_s: where the first window starts, seconds from the recording's beginning.
        end_s: where the last window ends at the latest, seconds; None: the recording's end.
        track: as for `load_audio`.

    Yields:
        Start in seconds of the file's time, and the window (S,) float32. The last one may be shorter; under 0.1 s it is left out.

    Raises:
        AudioError: as `load_audio`, also after the first windows.
        ValueError: a window or hop that is not positive, or a hop longer than the window.
    """
    window, hop = round(window_s * sample_rate), round((hop_s or window_s) * sample_rate)
    if not 0 < hop <= window:
        raise ValueError(f"windows of {window_s} s every {hop_s} s: both must be positive and the hop not the longer.")
    first, stop = round(start_s * sample_rate), None if end_s is None else round(end_s * sample_rate)
    pending, start, produced = np.zeros(0, np.float32), first, 0  # `pending` begins at sample `start`
    for block in _span(_resampled_blocks(Path(path), sample_rate, track), first, stop):
        pending = np.concatenate([pending, block])
        while len(pending) >= window:
            yield start / sample_rate, pending[:window].copy()
            pending, start, produced = pending[hop:], start + hop, produced + 1
    # With overlapping windows the rest has been heard already unless it reaches past the last window.
    unheard = len(pending) - (window - hop if produced else 0)
    if unheard >= (SHORTEST_S * sample_rate if produced else _shortest(sample_rate)):
        yield start / sample_rate, pending
    elif not produced:
        wanted = np.inf if stop is None else stop - first
        if 0 < wanted <= len(pending):  # a part that was asked for
            yield start / sample_rate, pending
        else:
            raise _too_short(path, start_s, len(pending) / sample_rate)


def stream_parts(
    path: str | Path, sample_rate: int, parts: Sequence[tuple[float, float]], track: int | None = None
) -> Iterator[tuple[float, Waveform]]:
    """Parts of a recording, which is decoded once, up to the end of the last part.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        parts: start and end of each in seconds, in order and without overlap.
        track: as for `load_audio`.

    Yields:
        Start in seconds, and the waveform (S,) float32. Where the recording ends earlier than a part, the part is shorter, and
        left out under 0.1 s.

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
    """The samples `first` to `stop` (None: to the end) of a stream of blocks (S,)."""
    position = 0
    for block in blocks:
        yield block[max(0, first - position) : None if stop is None else max(0, stop - position)]
        position += len(block)
        if stop is not None and position >= stop:
            return


def audio_duration_s(path: str | Path, track: int | None = None) -> float:
    """Length of a recording in seconds by its headers and time stamps, or decoded where they tell nothing.

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
    """Whether nothing is to be heard in a waveform (S,).

    Args:
        waveform: samples.
        peak: what a sound reaches, 0 to 1; without it, -80 dB of full scale.

    Returns:
        Whether all samples are under `peak`, or about a constant offset by less than that. A resampler rings at both
        ends of an offset, up to a fifth of it; that is no sound either.
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
    """Files below a folder that bear an audio suffix, sorted; hidden ones are left out."""
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


def _resampled_blocks(path: Path, sample_rate: int, track: int | None) -> Iterator[Waveform]:
    """Mono blocks (S,) float32 at `sample_rate`."""
    path = _regular_file(path)
    for rate, blocks in groupby(decoded_blocks(path, track), key=itemgetter(0)):  # chained Ogg may change its rate
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

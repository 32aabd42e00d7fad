"""Decoding of audio tracks by FFmpeg, with silence for late starts and gaps, and their durations."""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from data.decoding.errors import reason
from data.decoding.limits import MAX_DECODED_S
from data.decoding.patched_file import PatchedFile
from data.recognition import FFMPEG_FORMATS

_TIMED_FORMATS = ("mov", "matroska")  # their time stamps define late starts and gaps
_SILENT_FRAMES = 1 << 16  # samples of silence per block
_LEAST_GAP_S = 0.1  # shorter gaps are ignored
_MOST_BAD_PACKETS = 10_000  # one after another, after which decoding ends; packets of one byte would take minutes
_LONGEST_GAP_S = 60.0  # if the container declares no duration; longer gaps are treated as incorrect time stamps


def open_container(file: PatchedFile) -> Any:
    """Open a file with FFmpeg.

    FFmpeg receives the file object and no path, and all protocols except `file` are disabled, so that the file cannot
    cause other files or addresses to be opened.

    Args:
        file: Open file.

    Returns:
        The `av.container.InputContainer`; the caller closes it.

    Raises:
        av.FFmpegError: If the format is unknown or not in FFMPEG_FORMATS, or the file is damaged. Other exceptions of PyAV
            are not converted.
    """
    av.logging.set_level(None)
    options = {"format_whitelist": FFMPEG_FORMATS, "protocol_whitelist": "file"}
    return av.open(file, mode="r", options=options, metadata_errors="ignore")


class TrackReader:
    """Decoder of one audio track.

    Args:
        container: Container from `open_container`.
        stream: Audio stream of the container.
        rate: Sample rate of the output in hertz.

    Attributes:
        problem: After `frames` is exhausted, description of the packets that could not be decoded; empty if there are none.
    """

    def __init__(self, container: Any, stream: Any, rate: int) -> None:
        self._container, self._stream, self._rate = container, stream, rate
        self.problem = ""

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Decode the track.

        Yields:
            Samples, shape (C, S), float32; silence, shape (1, S), for a late start and for gaps.
        """
        clock = _Clock(self._container, self._rate)
        resampler: Any = None
        made_for: tuple[Any, ...] = ()
        for frame in self._decoded():
            missing = clock.missing_before(frame)
            for start in range(0, missing, _SILENT_FRAMES):
                yield np.zeros((1, min(_SILENT_FRAMES, missing - start)), np.float32)
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != made_for:
                if resampler is not None:
                    yield from (_samples(part) for part in resampler.resample(None))
                resampler, made_for = av.AudioResampler(format="flt", rate=self._rate), kind
            parts = [_samples(part) for part in resampler.resample(frame)]
            clock.position += sum(part.shape[1] for part in parts)
            yield from parts
        if resampler is not None:
            yield from (_samples(part) for part in resampler.resample(None))

    def _decoded(self) -> Iterator[Any]:
        """Yield the frames of all packets that can be decoded; others are skipped and recorded in `problem`."""
        num_bad, in_a_row, last = 0, 0, ""
        packets = self._container.demux(self._stream)
        while in_a_row < _MOST_BAD_PACKETS:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError, ValueError) as error:
                num_bad, last = num_bad + 1, reason(error)
                break
            try:
                frames = packet.decode()
            except EOFError:
                continue
            except (av.FFmpegError, ValueError) as error:
                num_bad, in_a_row, last = num_bad + 1, in_a_row + 1, reason(error)
                continue
            in_a_row = 0
            yield from frames
        if num_bad:
            self.problem = last if num_bad == 1 else f"{last}, {num_bad} times"


class _Clock:
    """Comparison of a track's time stamps with the number of decoded samples, to find late starts and gaps; see `TrackReader`.

    Attributes:
        position: Number of samples so far, decoded and silent.
    """

    def __init__(self, container: Any, rate: int) -> None:
        self.position, self._rate = 0, rate
        self._timed = any(name in container.format.name for name in _TIMED_FORMATS)
        self._origin = (container.start_time or 0) / av.time_base
        self._end = None if not container.duration else container.duration / av.time_base + 1.0
        self._lag = 0  # total error of the time stamps so far, in samples

    def missing_before(self, frame: Any) -> int:
        """Return the number of silent samples to insert before a frame, and add it to `position`."""
        if not self._timed or frame.pts is None or frame.time_base is None:
            return 0
        at_s = float(frame.pts * frame.time_base) - self._origin
        missing = round(at_s * self._rate) - self.position - self._lag
        if missing < _LEAST_GAP_S * self._rate:
            return 0
        if at_s > self._end if self._end is not None else missing > _LONGEST_GAP_S * self._rate:
            self._lag += missing  # an incorrect time stamp
            return 0
        self.position += missing
        return missing


def _samples(frame: Any) -> NDArray[np.float32]:
    """Return the samples of a packed frame, shape (C, S), float32.

    Planar frames are not supported: PyAV 18.1 reads beyond the last plane if they have 8 channels or more.
    """
    packed = np.asarray(frame.to_ndarray(), dtype=np.float32)  # (1, S * C)
    return np.ascontiguousarray(packed.reshape(-1, frame.layout.nb_channels).T)


def container_duration_s(container: Any, stream: Any) -> float | None:
    """Return the duration of a track without decoding.

    Args:
        container: Container from `open_container`.
        stream: Audio stream of the container.

    Returns:
        Seconds from the beginning of the file to the end of the track, less than MAX_DECODED_S; None if unknown.
    """
    if stream.codec_context is None:
        return None
    origin, late_s, declared = (container.start_time or 0) / av.time_base, 0.0, None
    if any(name in container.format.name for name in _TIMED_FORMATS):
        if stream.start_time is not None:
            late_s = max(0.0, float(stream.start_time * stream.time_base) - origin)
        if stream.duration:
            declared = late_s + float(stream.duration * stream.time_base)
        elif container.duration and len(container.streams) == 1:
            declared = container.duration / av.time_base
    elif "caf" in container.format.name and stream.duration:
        declared = float(stream.duration * stream.time_base)
    if declared is not None and declared < MAX_DECODED_S:
        return declared
    return _demuxed_duration_s(container, stream, late_s)


def _demuxed_duration_s(container: Any, stream: Any, late_s: float) -> float | None:
    """Return `container_duration_s` computed from the time stamps and durations of all packets; `late_s` is the start."""
    first, last, summed = None, None, 0
    try:
        for packet in container.demux(stream):
            summed += packet.duration or 0
            if packet.pts is not None:
                first = packet.pts if first is None else first
                last = max(last or packet.pts, packet.pts + (packet.duration or 0))
    except (av.FFmpegError, OSError, ValueError):
        pass  # damaged at the end: the packets before it are used
    spanned = 0 if first is None or last is None else last - first
    duration_s = late_s + float(max(summed, spanned) * stream.time_base)
    return duration_s if 0 < duration_s < MAX_DECODED_S else None

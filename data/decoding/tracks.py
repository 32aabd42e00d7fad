"""Tracks of containers that FFmpeg reads: where their sound begins and pauses, and how long they are."""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from data.decoding.errors import reason
from data.decoding.limits import MAX_DECODED_S
from data.decoding.patched_file import PatchedFile
from data.recognition import FFMPEG_FORMATS

_TIMED_FORMATS = ("mov", "matroska")  # whose time stamps say when a sound begins and where it pauses
_SILENT_FRAMES = 1 << 16  # of silence at once
_LEAST_GAP_S = 0.1
_LONGEST_GAP_S = 60.0  # if the file has no duration


def open_container(file: PatchedFile) -> Any:
    """Open a file with FFmpeg; its exceptions are passed on.

    The open file is handed over, so FFmpeg has no name from which to open others, and no protocol to do it with.
    """
    av.logging.set_level(None)
    options = {"format_whitelist": FFMPEG_FORMATS, "protocol_whitelist": "file"}
    return av.open(file, mode="r", options=options, metadata_errors="ignore")


class TrackReader:
    """A track's samples.

    Args:
        container: container from `open_container`.
        stream: one of its audio streams.
        rate: sample rate in hertz.

    Attributes:
        problem: description of undecodable parts, after reading; empty if there are none.
    """

    def __init__(self, container: Any, stream: Any, rate: int) -> None:
        self._container, self._stream, self._rate = container, stream, rate
        self.problem = ""

    def frames(self) -> Iterator[NDArray[np.float32]]:
        """Samples (C, S), with silence for the time before a late track and in gaps of it."""
        clock = _Clock(self._container, self._stream, self._rate)
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
        """Frames of all packets that can be decoded, as FFmpeg's command does it."""
        num_bad, last = 0, ""
        packets = self._container.demux(self._stream)
        while True:
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
                num_bad, last = num_bad + 1, reason(error)
                continue
            yield from frames
        if num_bad:
            self.problem = last if num_bad == 1 else f"{last}, {num_bad} times"


class _Clock:
    """Compares a track's time stamps with the samples that came: where it starts late, and where it pauses."""

    def __init__(self, container: Any, stream: Any, rate: int) -> None:
        self.position, self._rate = 0, rate  # samples that came, and silence
        self._timed = any(name in container.format.name for name in _TIMED_FORMATS)
        self._origin = (container.start_time or 0) / av.time_base
        self._end = None if not container.duration else container.duration / av.time_base + 1.0
        self._lag = 0  # samples by which the time stamps are known to be wrong

    def missing_before(self, frame: Any) -> int:
        """Samples of silence to put before a frame; they count as come."""
        if not self._timed or frame.pts is None or frame.time_base is None:
            return 0
        at_s = float(frame.pts * frame.time_base) - self._origin
        missing = round(at_s * self._rate) - self.position - self._lag
        if missing < _LEAST_GAP_S * self._rate:
            return 0
        if at_s > self._end if self._end is not None else missing > _LONGEST_GAP_S * self._rate:
            self._lag += missing  # a broken time stamp
            return 0
        self.position += missing
        return missing


def _samples(frame: Any) -> NDArray[np.float32]:
    """(C, S) float32 of a packed frame: of planar ones with 8 channels or more PyAV 18.1 reads beyond the last plane."""
    packed = np.asarray(frame.to_ndarray(), dtype=np.float32)  # (1, S * C)
    return np.ascontiguousarray(packed.reshape(-1, frame.layout.nb_channels).T)


def container_duration_s(container: Any, stream: Any) -> float | None:
    """Seconds from the file's beginning to the end of a track; None where it must be decoded."""
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
    """The same from the time stamps and durations of all packets."""
    first, last, summed = None, None, 0
    try:
        for packet in container.demux(stream):
            summed += packet.duration or 0
            if packet.pts is not None:
                first = packet.pts if first is None else first
                last = max(last or packet.pts, packet.pts + (packet.duration or 0))
    except (av.FFmpegError, OSError, ValueError):
        pass  # a damaged end
    spanned = 0 if first is None or last is None else last - first
    duration_s = late_s + float(max(summed, spanned) * stream.time_base)
    return duration_s if 0 < duration_s < MAX_DECODED_S else None

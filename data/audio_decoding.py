"""Blocks of mono samples from a sound file, by libsndfile where it reads the whole of it and by FFmpeg else.

Both decoders believe headers, print to the terminal and raise a dozen kinds of exceptions. Whatever they do with a file
leaves here as samples, as a warning or as one `AudioError`.
"""

import ctypes
import io
import logging
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from data.audio_survey import Survey, survey_file

logger = logging.getLogger(__name__)

Waveform = NDArray[np.float32]

# AVI is left out on purpose, and so is every format that names other files (concat, hls, image2 ...).
_FORMATS = "wav,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aiff,au,caf,w64,amr,ac3"
_TIMED_FORMATS = ("mov", "matroska")  # whose time stamps say when a sound begins and where it pauses
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MAX_DECODED_S = 24 * 3600.0
HIGHEST_SAMPLE = 1e4  # 80 dB above full scale: no converter and no mixer gets there
_BLOCK_FRAMES = 1 << 16
_MIXED_FRAMES = 1 << 15  # FFmpeg's frames are joined to so many before their channels are mixed
_TRUNCATED_SHARE = 0.98  # a header may promise a little more than a codec's padding leaves
_MPEG_SLACK = 4 * 1152  # samples by which an MP3's frames may exceed what they decode to: delay and padding
_CANCELLED_SHARE = 0.08  # of the channels' energy, divided by their number: less of it is left in a mean that cancels
_STILL_CANCELLED_SHARE = 0.25  # the same for a recording whose channels have cancelled already
_QUIET_PEAK = 1e-4
_LEAST_GAP_S = 0.1
_LONGEST_GAP_S = 60.0  # where the file does not say how long it is
_REMEDY = "give a WAV, FLAC, OGG, MP3 or M4A file, or convert this one with ffmpeg"


class AudioError(ValueError):
    """A recording that cannot be captioned; the message is one sentence that names the file."""


def decoded_blocks(path: Path, track: int | None = None) -> Iterator[tuple[int, Waveform]]:
    """Decode a regular file.

    Args:
        path: the file.
        track: which of several sound tracks, from 1; None takes the first and says so.

    Yields:
        Sample rate in hertz and samples (S,) float32, finite, of magnitude up to HIGHEST_SAMPLE.

    Raises:
        AudioError: whatever is wrong, also after the first blocks.
    """
    try:
        yield from _Decoder(path, track).blocks()
    except AudioError:
        raise
    except MemoryError as error:
        raise AudioError(f"{shown(path)} needs more memory than there is: cut it into parts.") from error
    except Exception as error:  # what decoders raise for broken files cannot be listed: AttributeError is among it
        raise _undecodable(path, error) from error


def declared_duration_s(path: Path, track: int | None = None) -> float | None:
    """Seconds of a regular file's sound by its headers and time stamps; None where it must be decoded.

    Raises:
        AudioError: as `decoded_blocks`.
    """
    try:
        return _Decoder(path, track).duration_s()
    except AudioError:
        raise
    except Exception as error:
        raise _undecodable(path, error) from error


def shown(path: str | Path) -> str:
    """A file's name on one line."""
    name = str(path)
    return name if not any(letter in name for letter in "\n\r\x1b") else repr(name)


def _reason(error: BaseException) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:200].rstrip(". ") or type(error).__name__


def _undecodable(path: Path, error: BaseException) -> AudioError:
    return AudioError(f"{shown(path)} is no audio that can be decoded ({_reason(error)}): {_REMEDY}.")


@lru_cache(maxsize=64)
def _survey(path: Path, span: tuple[int, int] | None, size: int, changed_ns: int) -> Survey:
    with path.open("rb") as file:
        return survey_file(file if span is None else io.BufferedReader(_PatchedFile(file, {}, span)))


class _PatchedFile(io.RawIOBase):
    """A file, or a span of it, as the decoders read it.

    Wrong sizes are replaced, and places before the beginning are asked for in vain. An exception in these methods would
    not reach the caller: cffi and PyAV print it.
    """

    def __init__(self, file: BinaryIO, patches: dict[int, bytes], span: tuple[int, int] | None = None) -> None:
        self._file, self._patches = file, patches
        self._begin: int = span[0] if span else 0
        self._end: int | None = span[1] if span else None
        self._file.seek(self._begin)
        self.error: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            begin = self._file.tell()
            if self._end is not None:
                view = view[: max(0, self._end - begin)]
            count = int(self._file.readinto(view) or 0)  # type: ignore[attr-defined]
        except OSError as error:
            self.error = error
            return 0
        for offset, patch in self._patches.items():
            for place, value in enumerate(patch, start=offset - begin):
                if 0 <= place < count:
                    view[place] = value
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            if whence == 0:
                offset += self._begin
            elif whence == 2 and self._end is not None:
                offset, whence = offset + self._end, 0
            return self._file.seek(offset, whence) - self._begin
        except (OSError, ValueError, OverflowError):
            return -1

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class _Silencer:
    """libmpg123 complains to C's `stderr`; meanwhile that is /dev/null. Python's own is another."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._slot: ctypes.c_void_p | None = None
        self._null: int | None = None
        self._loud: int | None = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._switch(quiet=True)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._switch(quiet=False)

    def _switch(self, quiet: bool) -> None:
        if self._slot is None:
            name = _c_stderr_name()
            if name is None:
                return
            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            self._slot, self._null = ctypes.c_void_p.in_dll(libc, name), libc.fopen(b"/dev/null", b"w")
        if self._null is None:
            return
        if quiet:
            self._loud, self._slot.value = self._slot.value, self._null
        else:
            self._slot.value = self._loud


def _c_stderr_name() -> str | None:
    """The C library's variable, where it may be written to; None elsewhere, and its messages stay."""
    if sys.platform == "darwin":
        return "__stderrp"
    return "stderr" if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" else None


_SILENCER = _Silencer()


class _Mixdown:
    """Mean of the channels; the loudest one where they cancel each other, as in stereo of opposite phase."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel: int | None = None

    def __call__(self, block: NDArray[np.float32], channel_axis: int) -> Waveform:
        """Mix (S, C) or (C, S) to (S,)."""
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
            logger.info("%s: its channels cancel each other; the loudest is heard.", shown(self._path))
        if self._channel is None or self._channel >= num_channels or energies[self._channel] < energies.max() / 4:
            self._channel = int(energies.argmax())  # kept: a change between blocks would be heard
        return np.ascontiguousarray(block.take(self._channel, axis=channel_axis))

    def _check(self, block: NDArray[np.float32]) -> None:
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


class _Decoder:
    """One file on its way to samples."""

    def __init__(self, path: Path, track: int | None, span: tuple[int, int] | None = None) -> None:
        self.path, self.name, self.track, self.span = path, shown(path), track, span
        try:
            status = path.stat()
            self.survey = _survey(path, span, status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise AudioError(f"{self.name} cannot be opened: {_reason(error)}.") from error
        self.decoded, self.rate = 0, 0
        self.problem = ""  # why decoding ended, or what was left out
        self.mix = _Mixdown(path)

    def blocks(self) -> Iterator[tuple[int, Waveform]]:
        if self.survey.links and self.span is None:
            yield from self._blocks_of_links()
            return
        with self.path.open("rb") as opened:
            file = _PatchedFile(opened, self.survey.patches, self.span)
            sound = self._open_by_soundfile(file)
            if sound is not None:
                with sound:
                    yield from self._blocks_by_soundfile(sound)
            if (sound is None or self.problem) and file.error is None:
                file.seek(0)
                yield from self._blocks_by_av(file)
            if file.error is not None:
                raise AudioError(f"{self.name} cannot be read: {_reason(file.error)}.") from file.error
        self._conclude()

    def _blocks_of_links(self) -> Iterator[tuple[int, Waveform]]:
        """Each of several chained streams as if it were a file of its own."""
        seconds = 0.0
        for link in self.survey.links:
            decoder = _Decoder(self.path, self.track, link)
            try:
                yield from decoder.blocks()
            except AudioError as error:
                if decoder.decoded or not seconds:
                    raise
                logger.warning("%s is damaged after %.1f s: %s", self.name, seconds, error)
                continue
            seconds += decoder.seconds
            if seconds > MAX_DECODED_S:
                raise self._too_long()

    def duration_s(self) -> float | None:
        with self.path.open("rb") as opened:
            file = _PatchedFile(opened, self.survey.patches)
            sound = self._open_by_soundfile(file)
            if sound is not None:
                with sound:
                    held = self.survey.held_samples
                    return float(min(sound.frames, held) if held else sound.frames) / sound.samplerate
            if self.survey.duration_s:
                return self.survey.duration_s
            file.seek(0)
            with self._open_container(file) as container:
                return _container_duration_s(container, self._choose_track(container))

    def _open_by_soundfile(self, file: _PatchedFile) -> soundfile.SoundFile | None:
        """The open file, or None where FFmpeg is to read it."""
        if self.survey.by_ffmpeg or (self.track or 1) != 1:
            return None
        try:
            with _SILENCER.quiet():
                sound = soundfile.SoundFile(file)
        except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError, OSError, AttributeError):
            return None
        held = self.survey.held_samples
        unread = held is not None and (sound.frames < held - _MPEG_SLACK or (held > 0 and not sound.frames))
        # libsndfile 1.2.2 breaks the phase of Opus where one read ends and the next begins; FFmpeg does not.
        if sound.subtype == "OPUS" or unread:
            sound.close()
            return None
        return sound

    def _blocks_by_soundfile(self, sound: soundfile.SoundFile) -> Iterator[tuple[int, Waveform]]:
        self._set_rate(sound.samplerate, sound.channels)
        frames_at_once = max(1, _BLOCK_FRAMES // sound.channels)
        while True:
            try:
                with _SILENCER.quiet():
                    block = sound.read(frames_at_once, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                self.problem = _reason(error)
                return
            if not len(block):
                return
            self._count(len(block))
            yield self.rate, self.mix(block, 1)

    def _blocks_by_av(self, file: _PatchedFile) -> Iterator[tuple[int, Waveform]]:
        """All samples, or those behind the ones that libsndfile could decode."""
        skipped, position = self.decoded, 0
        try:
            container = self._open_container(file)
        except AudioError:
            if skipped:
                return
            raise
        with container:
            stream = self._choose_track(container)
            if stream.codec_context is None:
                raise AudioError(f"{self.name} has sound in a codec that is not known: {_REMEDY}.")
            self._tell_track(container, stream)
            self._set_rate(stream.rate or 0, stream.channels or 0)
            pieces: list[NDArray[np.float32]] = []
            for samples in self._frames(container, stream):  # (C, S)
                fresh = samples[:, max(0, skipped - position) :]
                position += samples.shape[1]
                if not fresh.shape[1]:
                    continue
                self._count(fresh.shape[1])
                if pieces and (
                    pieces[0].shape[0] != fresh.shape[0] or sum(piece.shape[1] for piece in pieces) >= _MIXED_FRAMES
                ):
                    yield self.rate, self.mix(np.concatenate(pieces, axis=1), 0)
                    pieces = []
                pieces.append(fresh)
            if pieces:
                yield self.rate, self.mix(np.concatenate(pieces, axis=1), 0)

    def _open_container(self, file: _PatchedFile) -> Any:
        import av  # takes as long to import as all else that a WAV file needs

        # The open file is handed over, so FFmpeg has no name from which to open others, and no protocol to do it with.
        av.logging.set_level(None)
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        try:
            return av.open(file, mode="r", options=options, metadata_errors="ignore")
        except Exception as error:
            raise (self._cut_short() if self.survey.cut else _undecodable(self.path, error)) from error

    def _frames(self, container: Any, stream: Any) -> Iterator[NDArray[np.float32]]:
        """Samples (C, S) at one rate, with silence for the time before a late track and in gaps of it."""
        import av

        clock = _Clock(container, stream, self.rate)
        resampler: Any = None
        made_for: tuple[Any, ...] = ()
        for frame in self._decoded_frames(container, stream):
            missing = clock.missing_before(frame)
            if missing:
                for start in range(0, missing, _BLOCK_FRAMES):
                    yield np.zeros((1, min(_BLOCK_FRAMES, missing - start)), np.float32)
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind != made_for:
                if resampler is not None:
                    yield from (_samples(part) for part in resampler.resample(None))
                resampler, made_for = av.AudioResampler(format="fltp", rate=self.rate), kind
            frame_samples = [_samples(part) for part in resampler.resample(frame)]
            clock.position += sum(samples.shape[1] for samples in frame_samples)
            yield from frame_samples
        if resampler is not None:
            yield from (_samples(part) for part in resampler.resample(None))

    def _decoded_frames(self, container: Any, stream: Any) -> Iterator[Any]:
        """Frames of all packets that can be decoded, as FFmpeg's command does it."""
        import av

        num_bad, last = 0, ""
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError, ValueError) as error:
                num_bad, last = num_bad + 1, _reason(error)
                break
            try:
                frames = packet.decode()
            except EOFError:
                continue
            except (av.FFmpegError, ValueError) as error:
                num_bad, last = num_bad + 1, _reason(error)
                continue
            yield from frames
        if num_bad and not self.problem:
            self.problem = last if num_bad == 1 else f"{last}, {num_bad} times"

    def _choose_track(self, container: Any) -> Any:
        tracks = container.streams.audio
        if not tracks:
            raise AudioError(f"{self.name} has no audio track: {_REMEDY}.")
        if self.track is not None and not 1 <= self.track <= len(tracks):
            raise AudioError(
                f"{self.name} has {len(tracks)} sound track{'s' * (len(tracks) > 1)}, track {self.track} was asked "
                f"for: choose one of 1 to {len(tracks)}."
            )
        return tracks[(self.track or 1) - 1]

    def _tell_track(self, container: Any, stream: Any) -> None:
        """Say which of several tracks is heard, unless it was chosen."""
        number = len(container.streams.audio)
        if number > 1 and self.track is None:
            about = [stream.language, stream.codec_context.name, stream.metadata.get("title")]
            named = ", ".join(str(part) for part in about if part)
            logger.warning(
                "%s has %d sound tracks; the first (%s) is heard: --track 2 takes another.", self.name, number, named
            )

    def _set_rate(self, rate: int, channels: int) -> None:
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{self.name} has a sample rate of {rate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are read."
            )
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(f"{self.name} has {channels} channels; 1 to {MAX_CHANNELS} are read.")
        if self.decoded and rate != self.rate:
            raise AudioError(f"{self.name} is damaged: its header is read as {self.rate} and as {rate} Hz.")
        self.rate = rate

    def _count(self, num_samples: int) -> None:
        self.decoded += num_samples
        if self.decoded > MAX_DECODED_S * self.rate:
            raise self._too_long()

    def _conclude(self) -> None:
        """Say what is missing of a file that was decoded to its end."""
        cut, promised = self.survey.cut, self.survey.promised_samples
        if not cut and promised and self.decoded < promised * _TRUNCATED_SHARE:
            cut = f"its header promises {promised:,} samples and {self.decoded:,} are there"
        if not self.decoded:
            if cut:
                raise self._cut_short()
            if self.problem:
                raise AudioError(f"{self.name} is no audio that can be decoded ({self.problem}): {_REMEDY}.")
            raise AudioError(f"{self.name} holds no audio samples.")
        if cut:
            logger.warning("%s is truncated: %s. The %.1f s that are there are used.", self.name, cut, self.seconds)
        elif self.problem:
            logger.warning("%s is damaged (%s): %.1f s could be decoded.", self.name, self.problem, self.seconds)
        elif self.survey.unclosed:
            logger.warning("%s may lack its end: the page that closes an Ogg stream is missing.", self.name)

    def _too_long(self) -> AudioError:
        return AudioError(f"{self.name} decodes to more than {MAX_DECODED_S / 3600:.0f} hours: cut it into parts.")

    def _cut_short(self) -> AudioError:
        return AudioError(f"{self.name} is truncated before its first sound ({self.survey.cut}): copy it again.")

    @property
    def seconds(self) -> float:
        return self.decoded / self.rate


class _Clock:
    """Compares a track's time stamps with the samples that came: where it starts late, and where it pauses."""

    def __init__(self, container: Any, stream: Any, rate: int) -> None:
        import av

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
    """(C, S) float32."""
    return np.asarray(frame.to_ndarray(), dtype=np.float32)


def _container_duration_s(container: Any, stream: Any) -> float | None:
    """Seconds from the file's beginning to the end of a track; None where it must be decoded."""
    import av

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
    import av

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

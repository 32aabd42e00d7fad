"""Decoding of a sound file to blocks of mono samples, by libsndfile if it reads the whole file, otherwise by FFmpeg.

Both libraries rely on headers, print to the terminal, and raise many types of exceptions. This module converts their
results to samples, warnings, or an `AudioError`.
"""

import errno
import io
import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from data.decoding.errors import REMEDY, AudioError, reason, shown, undecodable
from data.decoding.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MAX_CHANNELS, MAX_DECODED_S
from data.decoding.mixdown import Mixdown, Waveform
from data.decoding.patched_file import PatchedFile
from data.decoding.quiet import SILENCER
from data.recognition import CONTAINER, OTHER, SNIFFED_BYTES, SOUND, recognise, what_else
from data.survey.base import Survey
from data.survey.survey import survey_file

logger = logging.getLogger(__name__)
OnWarning = Callable[[str], object]
_BLOCK_FRAMES = 1 << 16  # samples per read by libsndfile, over all channels
_MIXED_FRAMES = 1 << 15  # samples per channel to which frames of FFmpeg are concatenated before mixing
_TRUNCATED_SHARE = 0.98  # decoded share below which a file counts as truncated; padding accounts for the rest
_MPEG_SLACK = 4 * 1152  # delay and padding: samples of MP3 frames that are not decoded


def decoded_blocks(
    path: Path, track: int | None = None, on_warning: OnWarning | None = None
) -> Iterator[tuple[int, Waveform]]:
    """Decode a regular file to mono.

    Args:
        path: The file.
        track: Audio track, counted from 1; None for the first, with a warning if there are several. Default: None.
        on_warning: Called with each warning, such as that the file is truncated, after it is logged. Default: None.

    Yields:
        Sample rate in hertz, and samples, shape (S,), float32, finite, with magnitudes up to HIGHEST_SAMPLE.

    Raises:
        AudioError: If the file cannot be opened or decoded, or exceeds a limit; possibly after the first blocks.
    """
    try:
        yield from Decoder(path, track, on_warning=on_warning).blocks()
    except AudioError:
        raise
    except MemoryError as error:
        raise AudioError(f"{shown(path)} needs more memory than available: cut it into parts.") from error
    except Exception as error:  # decoders raise undocumented exceptions for damaged files, such as AttributeError
        raise undecodable(path, error) from error


def declared_duration_s(path: Path, track: int | None = None) -> float | None:
    """Return the duration of a regular file from its headers and time stamps, without decoding.

    Args:
        path: The file.
        track: Audio track, counted from 1; None for the first. Default: None.

    Returns:
        Duration in seconds; None if the file must be decoded to determine it.

    Raises:
        AudioError: If the file cannot be opened, or has no such track.
    """
    try:
        return Decoder(path, track).duration_s()
    except AudioError:
        raise
    except Exception as error:
        raise undecodable(path, error) from error


@lru_cache(maxsize=64)
def _survey(path: Path, span: tuple[int, int] | None, size: int, changed_ns: int) -> Survey:
    """Return the cached survey of a file or byte range; size in bytes and modification time in ns are part of the key."""
    with path.open("rb") as file:
        return survey_file(file if span is None else io.BufferedReader(PatchedFile(file, {}, span)))


class Decoder:
    """Decoder of one file.

    Args:
        path: The file.
        track: Audio track, counted from 1; None for the first.
        span: Start and end offset in bytes of the part to decode; None for the whole file. Default: None.
        on_warning: Called with each warning after it is logged. Default: None.

    Attributes:
        survey: Properties from the structure of the file.
        decoded: Number of samples per channel decoded so far.
        rate: Sample rate in hertz; 0 before decoding.
        problem: Reason why decoding ended early, or description of skipped parts; empty if there is none.
        mix: Mixdown of the channels.

    Raises:
        AudioError: If the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        track: int | None,
        span: tuple[int, int] | None = None,
        on_warning: OnWarning | None = None,
    ) -> None:
        self._on_warning = on_warning
        self.path, self.name, self.track, self.span = path, shown(path), track, span
        try:
            status = path.stat()
            self.survey = _survey(path, span, status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise AudioError(f"{self.name} cannot be opened: {reason(error)}.") from error
        self.decoded, self.rate = 0, 0
        self.problem = ""
        if span is None and self.survey.end is not None:
            self.span = (0, self.survey.end)
        self.mix = Mixdown(path)

    def blocks(self) -> Iterator[tuple[int, Waveform]]:
        """Decode the file; see `decoded_blocks`."""
        if self.survey.links:
            yield from self._blocks_of_links()
            return
        with self.path.open("rb") as opened:
            file = PatchedFile(opened, self.survey.patches, self.span)
            sound = self._open_by_soundfile(file)
            if sound is not None:
                with sound:
                    yield from self._blocks_by_soundfile(sound)
            if (sound is None or self.problem) and file.error is None:
                file.seek(0)
                yield from self._blocks_by_av(file)
            if file.error is not None:
                raise AudioError(f"{self.name} cannot be read: {reason(file.error)}.") from file.error
        self._conclude()

    def _blocks_of_links(self) -> Iterator[tuple[int, Waveform]]:
        """Decode each of several chained streams as a separate file."""
        seconds = 0.0
        for link in self.survey.links:
            decoder = Decoder(self.path, self.track, link, self._on_warning)
            try:
                yield from decoder.blocks()
            except AudioError as error:
                if decoder.decoded or not seconds:
                    raise
                self._warn("%s is damaged after %.1f s: %s", self.name, seconds, error)
                continue
            seconds += decoder.seconds
            if seconds > MAX_DECODED_S:
                raise self._too_long()

    def duration_s(self) -> float | None:
        """Return the duration without decoding; see `declared_duration_s`."""
        with self.path.open("rb") as opened:
            file = PatchedFile(opened, self.survey.patches, self.span)
            sound = self._open_by_soundfile(file)
            if sound is not None:
                with sound:
                    held = self.survey.held_samples
                    return float(min(sound.frames, held) if held else sound.frames) / sound.samplerate
            if self.survey.duration_s:
                return self.survey.duration_s
            from data.decoding.tracks import container_duration_s

            file.seek(0)
            with self._open_container(file) as container:
                return container_duration_s(container, self._choose_track(container))

    def _open_by_soundfile(self, file: PatchedFile) -> soundfile.SoundFile | None:
        """Open a file with libsndfile; return None if FFmpeg must decode it."""
        if self.survey.by_ffmpeg or (self.track or 1) != 1:
            return None
        try:
            with SILENCER.quiet():
                sound = soundfile.SoundFile(file)
        except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError, OSError, AttributeError):
            return None
        held = self.survey.held_samples
        unread = held is not None and (sound.frames < held - _MPEG_SLACK or (held > 0 and not sound.frames))
        # libsndfile 1.2.2 produces discontinuities in Opus between consecutive reads; FFmpeg does not.
        if sound.subtype == "OPUS" or unread:
            sound.close()
            return None
        return sound

    def _blocks_by_soundfile(self, sound: soundfile.SoundFile) -> Iterator[tuple[int, Waveform]]:
        """Decode with libsndfile; a decoding error ends the iteration and is recorded in `problem`."""
        self._set_rate(sound.samplerate, sound.channels)
        frames_at_once = max(1, _BLOCK_FRAMES // sound.channels)
        while True:
            try:
                with SILENCER.quiet():
                    block = sound.read(frames_at_once, dtype="float32", always_2d=True)
            except (soundfile.LibsndfileError, RuntimeError) as error:
                self.problem = reason(error)
                return
            if not len(block):
                return
            self._count(len(block))
            yield self.rate, self.mix(block, 1)

    def _blocks_by_av(self, file: PatchedFile) -> Iterator[tuple[int, Waveform]]:
        """Decode with FFmpeg; samples that libsndfile has already decoded are skipped."""
        from data.decoding.tracks import TrackReader

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
                raise AudioError(f"{self.name} has audio in an unknown codec: {REMEDY}.")
            self._tell_track(container, stream)
            self._set_rate(stream.rate or 0, stream.channels or 0)
            reader = TrackReader(container, stream, self.rate)
            pieces: list[NDArray[np.float32]] = []
            num_joined = 0  # a running total: a damaged file can have frames of one sample
            for samples in reader.frames():  # (C, S)
                fresh = samples[:, max(0, skipped - position) :]
                position += samples.shape[1]
                if not fresh.shape[1]:
                    continue
                self._count(fresh.shape[1])
                if pieces and (pieces[0].shape[0] != fresh.shape[0] or num_joined >= _MIXED_FRAMES):
                    yield self.rate, self.mix(np.concatenate(pieces, axis=1), 0)
                    pieces, num_joined = [], 0
                pieces.append(fresh)
                num_joined += fresh.shape[1]
            if pieces:
                yield self.rate, self.mix(np.concatenate(pieces, axis=1), 0)
            self.problem = self.problem or reader.problem

    def _open_container(self, file: PatchedFile) -> Any:
        """Open a file with FFmpeg; all its exceptions are converted to an AudioError."""
        from data.decoding.tracks import open_container  # importing FFmpeg takes as long as decoding a WAV file

        try:
            return open_container(file)
        except Exception as error:
            if self.survey.cut:
                raise self._cut_short() from error
            if (described := self._unread(file)) is not None:
                raise described from error
            if (
                getattr(error, "errno", None) == errno.EINVAL
            ):  # FFmpeg knows the format, but it is not in FFMPEG_FORMATS
                raise AudioError(f"{self.name} is in a format that is not supported: {REMEDY}.") from error
            raise undecodable(self.path, error) from error

    def _unread(self, file: PatchedFile) -> AudioError | None:
        """Return the error for a known unsupported format, and for a file that is no recording; None for any other file."""
        file.seek(0)
        start = file.read(SNIFFED_BYTES) or b""
        kind = recognise(start)
        if kind == OTHER and (what := what_else(start)):
            return AudioError(f"{self.name} is {what}, not a recording: give a sound file.")
        if kind in (SOUND, CONTAINER, OTHER):
            return None
        return AudioError(f"{self.name} is {kind}, which is not supported: {REMEDY}.")

    def _choose_track(self, container: Any) -> Any:
        """Return the selected audio stream; raise an AudioError if there is none."""
        tracks = container.streams.audio
        if not tracks:
            raise AudioError(f"{self.name} has no audio track: {REMEDY}.")
        if self.track is not None and not 1 <= self.track <= len(tracks):
            raise AudioError(
                f"{self.name} has {len(tracks)} sound track{'s' * (len(tracks) > 1)}, track {self.track} was asked "
                f"for: choose one of 1 to {len(tracks)}."
            )
        return tracks[(self.track or 1) - 1]

    def _tell_track(self, container: Any, stream: Any) -> None:
        """Log a warning with the used track if there are several and none was selected."""
        number = len(container.streams.audio)
        if number > 1 and self.track is None:
            about = [stream.language, stream.codec_context.name, stream.metadata.get("title")]
            named = ", ".join(str(part) for part in about if part)
            self._warn(
                "%s has %d sound tracks; the first (%s) is used: --track 2 selects another.", self.name, number, named
            )

    def _set_rate(self, rate: int, channels: int) -> None:
        """Set the sample rate; raise an AudioError if it or the number of channels is outside its range, or it changed."""
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise AudioError(
                f"{self.name} has a sample rate of {rate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are supported."
            )
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(f"{self.name} has {channels} channels; 1 to {MAX_CHANNELS} are supported.")
        if self.decoded and rate != self.rate:
            raise AudioError(f"{self.name} is damaged: its sample rate is read as {self.rate} and as {rate} Hz.")
        self.rate = rate

    def _count(self, num_samples: int) -> None:
        """Add to the number of decoded samples; raise an AudioError beyond MAX_DECODED_S."""
        self.decoded += num_samples
        if self.decoded > MAX_DECODED_S * self.rate:
            raise self._too_long()

    def _conclude(self) -> None:
        """Log a warning if data is missing or damaged; raise an AudioError if no sample was decoded."""
        cut, promised = self.survey.cut, self.survey.promised_samples
        if not cut and promised and self.decoded < promised * _TRUNCATED_SHARE:
            cut = f"its header declares {promised:,} samples, of which {self.decoded:,} are present"
        if not self.decoded:
            if cut:
                raise self._cut_short()
            if self.problem:
                raise AudioError(f"{self.name} cannot be decoded as audio ({self.problem}): {REMEDY}.")
            raise AudioError(f"{self.name} contains no audio samples.")
        if self.survey.unread:
            self._warn(
                "%s has more than one part: after %.1f s %s, which is not read; cut it into files to caption all of it.",
                self.name, self.seconds, self.survey.unread,
            )  # fmt: skip
        if cut:
            self._warn("%s is truncated: %s. The first %.1f s are used.", self.name, cut, self.seconds)
        elif self.problem:
            self._warn("%s is damaged (%s): %.1f s could be decoded.", self.name, self.problem, self.seconds)
        elif self.survey.unclosed:
            self._warn("%s may be incomplete: the last page of its Ogg stream is missing.", self.name)

    def _warn(self, template: str, *values: object) -> None:
        logger.warning(template, *values)
        if self._on_warning is not None:
            self._on_warning(template % values)

    def _too_long(self) -> AudioError:
        return AudioError(f"{self.name} decodes to more than {MAX_DECODED_S / 3600:.0f} hours: cut it into parts.")

    def _cut_short(self) -> AudioError:
        return AudioError(f"{self.name} is truncated before its first sound ({self.survey.cut}): copy it again.")

    @property
    def seconds(self) -> float:
        """Duration decoded so far, in seconds."""
        return self.decoded / self.rate

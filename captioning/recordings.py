"""Caption recordings: threads read ahead, and clips of similar length share batches."""

import heapq
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from configs.schema import DecodingConfig
from data.audio import SILENCE_PEAK, AudioError, Waveform, audio_duration_s, is_silent, load_audio, stream_audio
from data.caption_formats import SILENCE, CaptionRecord, FailedRecording, ScoredCaption

if TYPE_CHECKING:
    from captioning.captioner import Captioner
    from generation.pipeline import Caption

logger = logging.getLogger(__name__)

BUFFER_BATCHES = 8  # clips are sorted by length within this many batches
BUFFER_SAMPLES = 2**24  # and within this many samples: 64 MB, nine minutes at 32 kHz
_WINDOWS_AHEAD = 16  # windows decoded ahead, with --timeline

NamedFile = tuple[str, Path, tuple[str, ...]]  # (name to print, path, references)
_Read = tuple[Waveform, list[str]]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Clip:
    """A waveform (S,) to caption.

    Attributes:
        number: index among all clips, from 0.
        file: name of its recording.
        start_s: start within the recording, in seconds.
        end_s: end within the recording, in seconds.
        waveform: float32 samples (S,).
        references: reference captions, if known.
        recording: index of its recording among the files, from 0.
        window: index within the recording, from 0.
        warning: problems found while it was read, such as that its file is truncated; empty for none.
    """

    number: int
    file: str
    start_s: float
    end_s: float
    waveform: Waveform
    references: tuple[str, ...] = ()
    recording: int = 0
    window: int = 0
    warning: str = ""


class Reader:
    """Reads clips from files, in order; files that cannot be read are logged and counted.

    Args:
        sample_rate: sample rate in hertz.
        max_duration_s: longest clip without a timeline, in seconds.
        timeline_s: window length in seconds; None for one clip per file.
        num_workers: number of files decoded in parallel; with a timeline, one thread decodes ahead.
        start_s: seconds to skip at the start of each file.
        end_s: end position in each file, in seconds; None for the end of the file.
        track: audio track of a container, from 1; None for the first, with a log message if there are several.
        is_done: function of recording and window index that returns whether the window is captioned already (and skipped).
        ended: function called after the last clip of each file with the index of the file, its number of clips, and the
            reason why it could not be read completely (empty on success).

    Attributes:
        errors: messages for files that could not be read completely; only collected without `ended`.
        num_bad: number of such files.
    """

    def __init__(
        self,
        sample_rate: int,
        max_duration_s: float,
        timeline_s: float | None = None,
        num_workers: int = 1,
        start_s: float = 0.0,
        end_s: float | None = None,
        track: int | None = None,
        *,
        is_done: Callable[[int, int], bool] = lambda recording, window: False,
        ended: Callable[[int, int, str], object] | None = None,
    ) -> None:
        self.track = track
        self.sample_rate, self.max_duration_s, self.timeline_s = sample_rate, max_duration_s, timeline_s
        self.num_workers = num_workers
        self.start_s, self.end_s = start_s, end_s
        self.errors: list[FailedRecording] = []
        self.num_bad = 0
        self._is_done, self._ended = is_done, ended
        self._number = 0

    def clips(self, files: Iterable[NamedFile]) -> Iterator[Clip]:
        """Yield the clips of (name to print, path, references) triples."""
        if self.timeline_s:
            yield from _in_thread(self._windows(files, self.timeline_s), _WINDOWS_AHEAD)
            return
        for recording, ((name, _path, references), reading) in enumerate(self._read_ahead(files)):
            try:
                waveform, warnings = reading.result()
            except AudioError as error:
                self._end(name, recording, 0, str(error))
                continue
            yield self._clip(name, self.start_s, waveform, references, recording, warnings=warnings)
            self._end(name, recording, 1)

    def _windows(self, files: Iterable[NamedFile], timeline_s: float) -> Iterator[Clip]:
        for recording, (name, path, references) in enumerate(files):
            number, error = 0, ""
            warnings: list[str] = []
            last: Clip | None = None  # given when the next one is read, so that it has the warnings of the file's end
            try:
                windows = stream_audio(
                    path, self.sample_rate, timeline_s, start_s=self.start_s, end_s=self.end_s, track=self.track,
                    on_warning=warnings.append,
                )  # fmt: skip
                for window, (start_s, waveform) in enumerate(windows):
                    if last is not None:
                        yield last
                        last = None
                    if not self._is_done(recording, window):
                        number += 1
                        last = self._clip(name, start_s, waveform, references, recording, window, warnings)
                        warnings.clear()
            except AudioError as trouble:
                error = str(trouble)
            if last is not None:
                yield replace(last, warning=" ".join(filter(None, [last.warning, *warnings])))
            self._end(name, recording, number, error)

    def _read_ahead(self, files: Iterable[NamedFile]) -> Iterator[tuple[NamedFile, "Future[_Read]"]]:
        waiting: deque[tuple[NamedFile, Future[_Read]]] = deque()
        pool = ThreadPoolExecutor(self.num_workers)  # the decoders release the GIL
        try:
            for file in files:
                waiting.append((file, pool.submit(self._read, file[1])))
                if len(waiting) > self.num_workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # stopping does not wait for an hour-long recording

    def _read(self, path: Path) -> "_Read":
        """Return the waveform of a file and the warnings about it."""
        warnings: list[str] = []
        longest = self.max_duration_s if self.end_s is None else min(self.max_duration_s, self.end_s - self.start_s)
        waveform = load_audio(
            path, self.sample_rate, start_s=self.start_s, max_duration_s=longest, track=self.track,
            on_warning=warnings.append,
        )  # fmt: skip
        if self.end_s is None and len(waveform) >= self.max_duration_s * self.sample_rate:
            duration_s = audio_duration_s(path, self.track)
            if duration_s - self.start_s > self.max_duration_s + 0.05:
                logger.warning(
                    "%s is %.0f s long; its first %.0f s are captioned: --timeline 10 captions all of it in windows.",
                    path, duration_s, self.max_duration_s,
                )  # fmt: skip
        return waveform, warnings

    def _clip(
        self,
        name: str,
        start_s: float,
        waveform: Waveform,
        references: tuple[str, ...],
        recording: int,
        window: int = 0,
        warnings: Sequence[str] = (),
    ) -> Clip:
        self._number += 1
        end_s = start_s + len(waveform) / self.sample_rate
        warning = " ".join(warnings)
        return Clip(self._number - 1, name, start_s, end_s, waveform, references, recording, window, warning)

    def _end(self, name: str, recording: int, num_clips: int, error: str = "") -> None:
        self.num_bad += bool(error)
        if self._ended is not None:
            self._ended(recording, num_clips, error)
        elif error:
            self.errors.append(FailedRecording(name, error))
            logger.error("%s", error)


def _in_thread(items: Iterator[Item], most: int) -> Iterator[Item]:
    """Yield items that a thread prefetches, at most `most` at a time."""
    ahead: queue.Queue[list[Item] | BaseException | None] = queue.Queue(most)
    stopped = threading.Event()

    def put(what: "list[Item] | BaseException | None") -> None:
        while not stopped.is_set():
            try:
                return ahead.put(what, timeout=0.2)
            except queue.Full:
                continue

    def take() -> None:
        try:
            for item in items:
                put([item])
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # raised again in the consumer
            put(error)

    threading.Thread(target=take, name="decoding", daemon=True).start()
    try:
        while (found := ahead.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield from found
    finally:
        stopped.set()


def scored(captions: "Iterable[Caption]") -> tuple[ScoredCaption, ...]:
    """Convert captions of a captioner to captions of records."""
    return tuple(ScoredCaption(caption.text, caption.log_probability, caption.probability) for caption in captions)


class Found(NamedTuple):
    """Captions of a clip, identified by the indices of `Clip`."""

    number: int
    recording: int
    window: int
    record: CaptionRecord


def caption_batches(
    captioner: "Captioner",
    clips: Iterable[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float = SILENCE_PEAK,
) -> Iterator[list[Found]]:
    """Yield captions of clips, batch by batch, in any order.

    Within a buffer of several batches, clips of similar length share a batch. Silent clips are not passed to the model.

    Args:
        captioner: captioning model.
        clips: clips to caption.
        decoding: decoding settings.
        batch_size: number of clips per batch.
        silence_peak: a clip is silent if all its magnitudes are below this value, 0 to 1.
    """
    buffer: list[Clip] = []
    num_samples = 0
    for clip in clips:
        buffer.append(clip)
        num_samples += len(clip.waveform)
        if len(buffer) == batch_size * BUFFER_BATCHES or num_samples >= BUFFER_SAMPLES:
            yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak)
            buffer, num_samples = [], 0
    yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak)


def caption_clips(
    captioner: "Captioner",
    clips: Iterable[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float = SILENCE_PEAK,
    *,
    advance: Callable[[int], object] = lambda count: None,
) -> Iterator[CaptionRecord]:
    """Yield captions of clips in order, each as soon as the preceding ones are available.

    Args:
        captioner: captioning model.
        clips: clips to caption, numbered consecutively from any number.
        decoding: decoding settings.
        batch_size: number of clips per batch.
        silence_peak: a clip is silent if all its magnitudes are below this value, 0 to 1.
        advance: function called with the number of clips after each batch, for a progress bar.
    """
    waiting: list[tuple[int, CaptionRecord]] = []
    following: int | None = None

    def numbered() -> Iterator[Clip]:
        nonlocal following
        for clip in clips:
            following = clip.number if following is None else following
            yield clip

    for batch in caption_batches(captioner, numbered(), decoding, batch_size, silence_peak):
        advance(len(batch))
        for found in batch:
            heapq.heappush(waiting, (found.number, found.record))
        while waiting and waiting[0][0] == following:
            yield heapq.heappop(waiting)[1]
            following += 1


def _caption_buffer(
    captioner: "Captioner", buffer: Sequence[Clip], decoding: DecodingConfig, batch_size: int, silence_peak: float
) -> Iterator[list[Found]]:
    silent = [clip for clip in buffer if is_silent(clip.waveform, silence_peak)]
    if silent:
        yield [_found(clip, SILENCE) for clip in silent]
    quiet = {clip.number for clip in silent}
    audible = sorted((clip for clip in buffer if clip.number not in quiet), key=lambda clip: len(clip.waveform))
    for start in range(0, len(audible), batch_size):
        part = audible[start : start + batch_size]
        captions = captioner.caption([clip.waveform for clip in part], decoding)
        yield [_found(clip, scored(ones)) for clip, ones in zip(part, captions, strict=True)]


def _found(clip: Clip, captions: tuple[ScoredCaption, ...]) -> Found:
    record = CaptionRecord(clip.file, clip.start_s, clip.end_s, captions, clip.references, warning=clip.warning)
    return Found(clip.number, clip.recording, clip.window, record)

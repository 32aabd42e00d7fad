"""Recordings to captions: read ahead by several threads, captioned in batches of like length."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from configs.schema import DecodingConfig
from data.audio import SILENCE_PEAK, AudioError, Waveform, audio_duration_s, is_silent, load_audio, stream_audio
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption

if TYPE_CHECKING:
    from models.captioner import AudioCaptioner
    from models.generation.pipeline import Caption

logger = logging.getLogger(__name__)

BUFFER_BATCHES = 8  # clips are sorted by length within this many batches

NamedFile = tuple[str, Path, tuple[str, ...]]  # name to print, path, references


@dataclass(frozen=True)
class Clip:
    """A waveform (S,) that waits for its captions, with its place in the output."""

    number: int
    file: str
    start_s: float
    end_s: float
    waveform: Waveform
    references: tuple[str, ...] = ()


class Reader:
    """Clips of files in their order; those that cannot be read are named and counted.

    Args:
        sample_rate: hertz.
        max_duration_s: longest clip without a timeline.
        timeline_s: window length in seconds, or None for one clip a file.
        num_workers: files decoded at once; a timeline is streamed by one.
        start_s: seconds to leave out at each file's beginning.
        end_s: where to stop in each file, seconds; None: at its end.
        track: which of a container's sound tracks, from 1; None: the first, and where there are several that is said.
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
    ) -> None:
        self.track = track
        self.sample_rate, self.max_duration_s, self.timeline_s = sample_rate, max_duration_s, timeline_s
        self.num_workers = num_workers
        self.start_s, self.end_s = start_s, end_s
        self.errors: list[str] = []
        self._number = 0

    @property
    def num_bad(self) -> int:
        """Files that could not be read, or not to their end."""
        return len(self.errors)

    def clips(self, files: Iterable[NamedFile]) -> Iterator[Clip]:
        """Clips of (name to print, path, references) triples."""
        if self.timeline_s:
            for name, path, references in files:
                try:
                    windows = stream_audio(
                        path,
                        self.sample_rate,
                        self.timeline_s,
                        start_s=self.start_s,
                        end_s=self.end_s,
                        track=self.track,
                    )
                    for start_s, waveform in windows:
                        yield self._clip(name, start_s, waveform, references)
                except AudioError as error:
                    self._count_bad(error)
            return
        for (name, _path, references), reading in self._read_ahead(files):
            try:
                waveform = reading.result()
            except AudioError as error:
                self._count_bad(error)
                continue
            yield self._clip(name, self.start_s, waveform, references)

    def _read_ahead(self, files: Iterable[NamedFile]) -> Iterator[tuple[NamedFile, "Future[Waveform]"]]:
        waiting: deque[tuple[NamedFile, Future[Waveform]]] = deque()
        pool = ThreadPoolExecutor(self.num_workers)  # the decoders release Python's lock
        try:
            for file in files:
                waiting.append((file, pool.submit(self._read, file[1])))
                if len(waiting) > self.num_workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops does not wait for an hour-long recording

    def _read(self, path: Path) -> Waveform:
        longest = self.max_duration_s if self.end_s is None else min(self.max_duration_s, self.end_s - self.start_s)
        waveform = load_audio(path, self.sample_rate, start_s=self.start_s, max_duration_s=longest, track=self.track)
        if self.end_s is None and len(waveform) >= self.max_duration_s * self.sample_rate:
            duration_s = audio_duration_s(path, self.track)
            if duration_s - self.start_s > self.max_duration_s + 0.05:
                logger.warning(
                    "%s is %.0f s long; its first %.0f s are captioned: --timeline 10 captions all of it in windows.",
                    path, duration_s, self.max_duration_s,
                )  # fmt: skip
        return waveform

    def _clip(self, name: str, start_s: float, waveform: Waveform, references: tuple[str, ...]) -> Clip:
        self._number += 1
        return Clip(self._number - 1, name, start_s, start_s + len(waveform) / self.sample_rate, waveform, references)

    def _count_bad(self, error: AudioError) -> None:
        self.errors.append(str(error))
        logger.error("%s", error)


def scored(captions: "Iterable[Caption]") -> tuple[ScoredCaption, ...]:
    """A captioner's captions as records hold them."""
    return tuple(ScoredCaption(caption.text, caption.log_probability, caption.probability) for caption in captions)


class Finished(NamedTuple):
    """What is known after a batch.

    Attributes:
        num_clips: clips captioned since the last time.
        ready: records since the last time, in the order of the clips, up to the first clip that is not captioned.
        ahead: all records behind that clip, in the order of the clips; they come again once they are ready.
    """

    num_clips: int
    ready: list[CaptionRecord]
    ahead: list[CaptionRecord]


def caption_batches(
    captioner: "AudioCaptioner",
    clips: Iterable[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float = SILENCE_PEAK,
    *,
    finish: Callable[[CaptionRecord], CaptionRecord] = lambda record: record,
) -> Iterator[Finished]:
    """Captions of clips, batch by batch.

    Within a buffer of some batches, clips of like length share a batch. Nothing is guessed about silence.

    Args:
        captioner: the model.
        clips: what to caption.
        decoding: how to search.
        batch_size: clips at once.
        silence_peak: a clip whose samples all stay under this, 0 to 1, is called silence.
        finish: called once with each record, which it may change.
    """
    buffer: list[Clip] = []
    for clip in clips:
        buffer.append(clip)
        if len(buffer) == batch_size * BUFFER_BATCHES:
            yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak, finish)
            buffer = []
    yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak, finish)


def caption_clips(
    captioner: "AudioCaptioner",
    clips: Iterable[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float = SILENCE_PEAK,
    *,
    advance: Callable[[int], object] = lambda count: None,
) -> Iterator[CaptionRecord]:
    """Captions of clips in their order, each as soon as those before it are there.

    Args:
        captioner: the model.
        clips: what to caption.
        decoding: how to search.
        batch_size: clips at once.
        silence_peak: a clip whose samples all stay under this, 0 to 1, is called silence.
        advance: called with the number of clips after each batch, which is earlier than their captions come in order.
    """
    for finished in caption_batches(captioner, clips, decoding, batch_size, silence_peak):
        advance(finished.num_clips)
        yield from finished.ready


def _caption_buffer(
    captioner: "AudioCaptioner",
    buffer: Sequence[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float,
    finish: Callable[[CaptionRecord], CaptionRecord],
) -> Iterator[Finished]:
    found: dict[int, CaptionRecord] = {}
    num_ready = 0

    def finished(part: Sequence[Clip], captions: Iterable[tuple[ScoredCaption, ...]]) -> Finished:
        nonlocal num_ready
        for clip, ones in sorted(zip(part, captions, strict=True), key=lambda pair: pair[0].number):
            found[clip.number] = finish(CaptionRecord(clip.file, clip.start_s, clip.end_s, ones, clip.references))
        start = num_ready
        while num_ready < len(buffer) and buffer[num_ready].number in found:
            num_ready += 1
        ready = [found[clip.number] for clip in buffer[start:num_ready]]
        return Finished(len(part), ready, [found[clip.number] for clip in buffer[num_ready:] if clip.number in found])

    silent = [clip for clip in buffer if is_silent(clip.waveform, silence_peak)]
    if silent:
        yield finished(silent, [SILENCE] * len(silent))
    heard = sorted((clip for clip in buffer if clip.number not in found), key=lambda clip: len(clip.waveform))
    for start in range(0, len(heard), batch_size):
        part = heard[start : start + batch_size]
        yield finished(part, map(scored, captioner.caption([clip.waveform for clip in part], decoding)))

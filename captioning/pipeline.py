"""The work of one process: read, caption and optionally re-rank recordings."""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from captioning.jobs import Captioned, Ended, Event, Job
from captioning.options import choose_decoding, load_captioner
from captioning.recordings import Reader, caption_batches
from captioning.rerank_clap import load_reranker
from data.caption_formats import CaptionRecord


class CaptionerInfo(NamedTuple):
    """Properties of a captioner.

    Attributes:
        max_duration_s: longest clip in seconds.
        sample_rate: sample rate in hertz.
        calibrated: whether its captions have probabilities.
    """

    max_duration_s: float
    sample_rate: int
    calibrated: bool


class Pipeline:
    """A reader of recordings and a captioner.

    Args:
        options: options of the command line: those of `captioning.options`, `timeline`, `track` and re-ranking.
        num_readers: number of recordings decoded in parallel.

    Raises:
        ValueError: the captioner does not support a setting.
        CheckpointError: the captioner cannot be loaded.
    """

    def __init__(self, options: argparse.Namespace, num_readers: int) -> None:
        self._captioner = captioner = load_captioner(options)
        decoding = choose_decoding(captioner.config.decoding, options, captioner.config.captioner.styles)
        self._reranker = load_reranker(options, decoding)
        candidates = self._reranker.candidates if self._reranker else decoding.num_captions
        self._decoding = dataclasses.replace(decoding, num_captions=candidates)
        self._options, self._num_readers = options, num_readers
        self.info = CaptionerInfo(captioner.max_duration_s, captioner.sample_rate, captioner.calibration is not None)

    def events(self, jobs: Sequence[Job]) -> Iterator[list[Event]]:
        """Caption recordings and yield the events of each batch."""
        work = _Work(jobs)
        reader = Reader(
            self._captioner.sample_rate,
            self._captioner.max_duration_s,
            self._options.timeline,
            self._num_readers,
            track=self._options.track,
            is_done=lambda recording, window: window in jobs[recording].windows_done,
            ended=work.read,
        )
        clips = reader.clips((job.name, job.path, job.references) for job in jobs)
        for batch in caption_batches(self._captioner, clips, self._decoding, self._options.batch_size):
            events: list[Event] = []
            for found in batch:
                record, error = self._ranked(found.record, jobs[found.recording].path)
                events.append(Captioned(jobs[found.recording].number, found.window, record))
                work.captioned(found.recording, error)
            yield events + work.ended()
        if rest := work.ended():
            yield rest

    def _ranked(self, record: CaptionRecord, path: Path) -> tuple[CaptionRecord, str]:
        if self._reranker is None:
            return record, ""
        record = self._reranker.rerank_one(record, path)
        return record, f"not re-ranked: {self._reranker.errors.pop()}" if self._reranker.errors else ""


class _Work:
    """Progress of several recordings."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._num_captioned = [0] * len(jobs)
        self._errors = [""] * len(jobs)
        self._num_clips: dict[int, int] = {}  # for recordings that have been read completely

    def read(self, recording: int, num_clips: int, error: str) -> None:
        self._errors[recording] = self._errors[recording] or error
        self._num_clips[recording] = num_clips

    def captioned(self, recording: int, error: str) -> None:
        self._num_captioned[recording] += 1
        self._errors[recording] = self._errors[recording] or error

    def ended(self) -> list[Event]:
        """Return the recordings completed since the last call."""
        read = list(self._num_clips.items())  # copied in one step, since another thread may add entries
        over = [recording for recording, num_clips in read if self._num_captioned[recording] == num_clips]
        for recording in over:
            del self._num_clips[recording]
        return [
            Ended(self._jobs[recording].number, self._jobs[recording].name, self._errors[recording])
            for recording in over
        ]

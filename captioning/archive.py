"""Caption any number of recordings: list them, skip those already captioned, caption the others, write the output."""

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from captioning.cluster.team import RayTeam
from captioning.jobs import Event, Job
from captioning.pipeline import CaptionerInfo
from captioning.progress import ProgressBar, Tally
from captioning.recordings import BUFFER_BATCHES
from captioning.shown import NO_PROBABILITY
from captioning.source import Source
from captioning.team import OneProcess, Team
from configs.checks import Range, outside, refuse

_LOOKED_UP_TOGETHER = 256
_RECORDINGS_A_PROCESS = 100  # recordings per process from which loading another captioner pays off
_WORKERS_OF_A_CLUSTER = 64  # processes assumed while the total number of recordings is unknown
_WINDOWED_TOGETHER = 8  # recordings, with --timeline


class Store(Protocol):
    """Destination of caption records."""

    def begin(self, info: CaptionerInfo) -> None:
        """Called once the captioner is loaded."""

    def pending(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return those of `jobs`, the next ones in order, that are not captioned yet."""

    def take(self, events: Sequence[Event]) -> None:
        """Write new records and ends of recordings."""

    def finish(self) -> None:
        """Called after the last recording."""


def usable_cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_workers(options: argparse.Namespace, source: Source) -> int:
    """Number of processes that caption: as given, else as many as there are cores, where the recordings are worth it."""
    if options.engine == "ray":
        return _WORKERS_OF_A_CLUSTER
    if options.workers is not None:
        return min(options.workers, source.at_least(options.workers))
    if options.engine != "onnx" and not _on_cpu(options.device):
        return 1  # processes would share the device
    cores = usable_cores()
    return max(1, min(cores, source.at_least(_RECORDINGS_A_PROCESS * cores) // _RECORDINGS_A_PROCESS))


def _on_cpu(device: str) -> bool:
    if device != "auto":
        return device == "cpu"
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


class Run:
    """Caption all recordings of a source.

    Args:
        options: options of the command line.
        source: recordings to caption.
        store: destination of the records.
        tally: counters of captioned, silent and failed recordings.
    """

    def __init__(self, options: argparse.Namespace, source: Source, store: Store, tally: Tally) -> None:
        self._options, self._source, self._store, self._tally = options, source, store, tally
        self._num_workers = choose_workers(options, source)
        self._bar: ProgressBar | None = None
        cores = usable_cores()
        self._team: OneProcess | Team | RayTeam
        if options.engine == "ray":
            self._team = RayTeam(options, self._ready)
        elif self._num_workers == 1:
            self._team = OneProcess(options, min(4, cores), self._ready)
        else:
            self._team = Team(options, self._num_workers, max(1, cores // self._num_workers), self._ready)

    def caption(self) -> None:
        """Caption all recordings and write them to the store.

        Raises:
            ValueError: a setting does not fit the captioner, an output cannot be written.
            RuntimeError: a captioner cannot be loaded.
        """
        many = self._source.at_least(2) > 1
        with ProgressBar(many) as bar:
            self._bar = bar
            for events in self._team.events(self._chunks(bar)):
                self._store.take(events)
                self._tally.add(events)
                bar.update(self._tally, self._source.num_listed, self._source.all_listed)
        self._store.finish()

    def stop(self) -> None:
        """Terminate the captioning processes immediately."""
        self._team.stop()

    def _chunks(self, bar: ProgressBar) -> Iterator[list[Job]]:
        """Yield the recordings not captioned yet, in chunks whose clips share batches."""
        most = _WINDOWED_TOGETHER if self._options.timeline else self._options.batch_size * BUFFER_BATCHES
        share = -(-self._source.at_least(4 * most * self._num_workers) // (4 * self._num_workers))
        size = max(1, min(most, share)) if self._num_workers > 1 else most
        jobs = iter(self._source)
        waiting: list[Job] = []
        while group := list(islice(jobs, _LOOKED_UP_TOGETHER)):
            waiting += self._store.pending(group)
            bar.update(self._tally, self._source.num_listed, self._source.all_listed)
            while len(waiting) >= size:
                bar.load()
                yield waiting[:size]
                waiting = waiting[size:]
        if waiting:
            bar.load()
            yield waiting

    def _ready(self, info: CaptionerInfo) -> None:
        check_captioner(self._options, info)
        self._store.begin(info)
        if self._bar:
            self._bar.start()


def check_captioner(options: argparse.Namespace, info: CaptionerInfo) -> None:
    """Raise an error for options that the captioner does not support.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    refuse(timeline_problems(options, info.max_duration_s))
    if options.min_probability and not info.calibrated:
        raise ValueError(NO_PROBABILITY)


def timeline_problems(options: argparse.Namespace, max_duration_s: float = math.inf) -> list[str]:
    """Return an error message if the --timeline window is not in (0, `max_duration_s`] seconds."""
    allowed = Range(0, max_duration_s, low_open=True)
    return [] if options.timeline is None else outside("--timeline", options.timeline, allowed)

"""A run over any number of recordings: list, look up what is done, caption the rest, write."""

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
_RECORDINGS_A_PROCESS = 100  # for so many it pays to load one captioner more
_WORKERS_OF_A_CLUSTER = 64  # among whom a list is shared out, as long as nobody knows how many there are
_WINDOWED_TOGETHER = 8  # recordings of a timeline


class Store(Protocol):
    """Where records go."""

    def begin(self, info: CaptionerInfo) -> None:
        """The captioner is loaded."""

    def pending(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Those of these recordings, the next ones in order, that are still to be captioned."""

    def take(self, events: Sequence[Event]) -> None:
        """Write what became known."""

    def finish(self) -> None:
        """All is captioned."""


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_workers(options: argparse.Namespace, source: Source) -> int:
    """Number of processes that caption: as given, else as many as there are cores, where the recordings are worth it."""
    if options.engine == "ray":
        return _WORKERS_OF_A_CLUSTER
    if options.workers is not None:
        return min(options.workers, source.at_least(options.workers))
    if not _on_cpu(options.device):
        return 1  # processes would share the device
    cores = usable_cores()
    return max(1, min(cores, source.at_least(_RECORDINGS_A_PROCESS * cores) // _RECORDINGS_A_PROCESS))


def _on_cpu(device: str) -> bool:
    if device != "auto":
        return device == "cpu"
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


class Run:
    """Captions all recordings of a source.

    Args:
        options: of the command line.
        source: what to caption.
        store: where records go.
        tally: counts what becomes of them.
    """

    def __init__(self, options: argparse.Namespace, source: Source, store: Store, tally: Tally) -> None:
        self._options, self._source, self._store, self._tally = options, source, store, tally
        self._num_workers = choose_workers(options, source)
        cores = usable_cores()
        self._team: OneProcess | Team | RayTeam
        if options.engine == "ray":
            self._team = RayTeam(options, self._ready)
        elif self._num_workers == 1:
            self._team = OneProcess(options, min(4, cores), self._ready)
        else:
            self._team = Team(options, self._num_workers, max(1, cores // self._num_workers), self._ready)

    def caption(self) -> None:
        """Caption everything; the store has it all afterwards.

        Raises:
            ValueError: a setting does not fit the captioner, an output cannot be written.
            RuntimeError: a captioner cannot be loaded.
        """
        many = self._source.at_least(2) > 1
        with ProgressBar(many) as bar:
            for events in self._team.events(self._chunks(bar)):
                self._store.take(events)
                self._tally.add(events)
                bar.update(self._tally, self._source.num_listed, self._source.all_listed)
        self._store.finish()

    def stop(self) -> None:
        """End the processes that caption, at once."""
        self._team.stop()

    def _chunks(self, bar: ProgressBar) -> Iterator[list[Job]]:
        """Recordings that are still to be captioned, as many at a time as share batches."""
        most = _WINDOWED_TOGETHER if self._options.timeline else self._options.batch_size * BUFFER_BATCHES
        share = -(-self._source.at_least(4 * most * self._num_workers) // (4 * self._num_workers))
        size = max(1, min(most, share)) if self._num_workers > 1 else most
        jobs = iter(self._source)
        waiting: list[Job] = []
        while group := list(islice(jobs, _LOOKED_UP_TOGETHER)):
            waiting += self._store.pending(group)
            bar.update(self._tally, self._source.num_listed, self._source.all_listed)
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]
        if waiting:
            yield waiting

    def _ready(self, info: CaptionerInfo) -> None:
        check_captioner(self._options, info)
        self._store.begin(info)


def check_captioner(options: argparse.Namespace, info: CaptionerInfo) -> None:
    """Refuse options that a captioner cannot meet.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    refuse(timeline_problems(options, info.max_duration_s))
    if options.min_probability and not info.calibrated:
        raise ValueError(NO_PROBABILITY)


def timeline_problems(options: argparse.Namespace, max_duration_s: float = math.inf) -> list[str]:
    """The problem of a window length of --timeline that is not above 0, or above a captioner's longest clip."""
    allowed = Range(0, max_duration_s, low_open=True)
    return [] if options.timeline is None else outside("--timeline", options.timeline, allowed)

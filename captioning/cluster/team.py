"""Caption on a cluster: Ray Data tasks decode, and actors with a captioner each caption.

Ray reassigns the work of a lost machine. Duplicate results are ignored; missing results are captioned again, one recording at
a time, and a recording whose process ends repeatedly is recorded as failed. A recording that cannot be read is an ordinary
result, so Ray need not tolerate errors for it.
"""

import argparse
import copy
import functools
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from captioning.cluster.stages import CaptionActor, Read, decode, describe_captioner, objects_of, to_table
from captioning.jobs import Captioned, Ended, Event, Job
from captioning.pipeline import CaptionerInfo
from captioning.settings import checkpoint_sha256

logger = logging.getLogger(__name__)

RECORDINGS_A_ROUND = 100_000  # recordings given to Ray at a time, whose names are in memory
DECODING_CPUS = 0.25  # CPUs of a decoding task; an actor takes the rest of the core
_RETRIES = 2  # retries of a decoding task whose process or machine is lost
ACTOR_RETRIES = 10  # with Ray's exponential delays 100 s, more than Ray needs to notice that an actor's machine is lost
_GRACE_S = 20.0  # time for Ray to end by itself
_MOST_LOST = 8  # recordings suspected of ending a process; with more, the cluster is considered broken


@dataclass
class _Recording:
    """A recording given to the cluster."""

    job: Job
    windows: set[int] = field(default_factory=set)  # windows captioned in this run
    read: Read | None = None


class RayTeam:
    """Captions on a Ray cluster, or on this machine with a local Ray.

    Args:
        options: options of the command line: `ray_address`, `workers` (most actors), `stall_s`, and those of `Pipeline`.
        ready: function called once the properties of the captioner are known.
    """

    def __init__(self, options: argparse.Namespace, ready: Callable[[CaptionerInfo], object]) -> None:
        self._options, self._ready = options, ready
        self._outstanding: dict[int, _Recording] = {}
        self._num_ended = 0

    def events(self, chunks: Iterator[Sequence[Job]]) -> Iterator[list[Event]]:
        """Caption recordings and yield their events.

        Raises:
            ValueError: Ray is not installed, or no cluster is at the address.
            RuntimeError: the captioner cannot be loaded there, there is no progress, or the cluster is broken.
        """
        first = next(chunks, None)
        if first is None:
            return
        info = describe_captioner(self._options)
        self._ready(info)
        self._connect()
        try:
            options, cpus, gpus, num_actors = self._resources()
            plan = functools.partial(self._dataset, options, info, cpus, gpus, num_actors)
            for part in _rounds(chain([first], chunks)):
                yield from self._round(part, plan)
        finally:
            self.stop()

    def stop(self) -> None:
        """Disconnect from the cluster, which cancels its tasks."""
        import ray

        leaving = threading.Thread(target=ray.shutdown, name="leaving the cluster", daemon=True)
        leaving.start()
        leaving.join(_GRACE_S)

    def _connect(self) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("--engine ray needs Ray: run `bash env.sh --scale`.") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
        address = self._options.ray_address
        try:
            if address is None:
                ray.init("local", include_dashboard=False, logging_level=logging.WARNING)
            else:
                ray.init(address, logging_level=logging.WARNING)
        except (ConnectionError, TimeoutError, ValueError) as error:
            raise ValueError(f"no Ray cluster answers at --ray_address {address} ({error}).") from error
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = self._options.stall_s
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # exceptions are reported below as one sentence

    def _resources(self) -> tuple[argparse.Namespace, float, int, int]:
        """Return the actors' options, CPUs and GPUs per actor, and their maximum number: one per GPU, or per core."""
        import ray

        there = ray.cluster_resources()
        options = copy.copy(self._options)
        num_gpus = int(there.get("GPU", 0)) if options.device == "auto" or options.device.startswith("cuda") else 0
        options.device = "cuda" if num_gpus else "cpu"
        most = num_gpus or max(1, int(there.get("CPU", 1)))
        return options, 1.0 if num_gpus else 1 - DECODING_CPUS, int(bool(num_gpus)), options.workers or most

    def _dataset(
        self,
        options: argparse.Namespace,
        info: CaptionerInfo,
        cpus: float,
        gpus: int,
        num_actors: int,
        chunks: Sequence[Sequence[Job]],
        tasks_per_actor: int | None,
    ) -> Any:
        import ray

        tables = [to_table(chunk) for chunk in chunks]
        decoding = functools.partial(decode, info=info, options=options)
        return (
            ray.data.from_blocks(tables)  # one block per table, however small, made without a task that needs a core
            .map_batches(
                decoding,
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=1 if gpus else DECODING_CPUS,
                max_retries=_RETRIES,  # unlimited by default
            )
            .map_batches(
                CaptionActor,
                fn_constructor_args=(options, checkpoint_sha256(options.ckpt_path)),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=min(num_actors, len(tables)), max_tasks_in_flight_per_actor=tasks_per_actor
                ),
                num_cpus=cpus,
                num_gpus=gpus,
                max_task_retries=ACTOR_RETRIES,  # unlimited by default: a clip that ends its actor would be tried forever
            )
        )

    def _round(
        self, chunks: Sequence[Sequence[Job]], plan: Callable[[Sequence[Sequence[Job]], int | None], Any]
    ) -> Iterator[list[Event]]:
        import ray

        self.expect([job for chunk in chunks for job in chunk])
        error: Exception | None = None
        for one_by_one in (False, True):
            # Ray may drop failed blocks only now: a dead actor can then block it, until --stall_s.
            ray.data.DataContext.get_current().max_errored_blocks = -1 if one_by_one else 0
            try:
                # One task per actor, since those that wait in a process that ends are lost with it.
                for table in self._tables(functools.partial(plan, chunks, 1 if one_by_one else None)):
                    if events := self.take(objects_of(table)):
                        yield events
            except (ray.data.exceptions.ExecutionTimeoutError, queue.Empty) as stalled:
                raise RuntimeError(
                    f"the cluster made no progress for {self._options.stall_s:g} s: check that its machines and storage respond, "
                    "or set a longer --stall_s; the same command resumes."
                ) from stalled
            except ray.exceptions.RayError as lost:
                error = lost
            if not self._outstanding:
                return
            if not one_by_one:
                logger.warning(
                    "%d recordings were lost in the cluster; they are captioned again, one by one.",
                    len(self._outstanding),
                )
                self.stop()  # ends all actors: Ray restarts those of a failed data set, which would keep their cores
                self._connect()
            chunks = [[recording.job] for recording in self._outstanding.values()]
        if len(self._outstanding) > _MOST_LOST or not self._num_ended:
            raise RuntimeError(
                f"{len(self._outstanding)} recordings were lost in the cluster twice ({_first_line(error)}): "
                "the same command resumes."
            )
        reason = f"the process that read or captioned it ended ({_first_line(error)})"
        yield [
            Ended(number, lost.job.name, f"{lost.job.name}: {reason}.") for number, lost in self._outstanding.items()
        ]

    def _tables(self, plan: Callable[[], Any]) -> Iterator[Any]:
        """Yield the tables of a data set, made and consumed by a thread, since Ray itself may block after a machine is lost.

        Raises:
            Empty: there was no table for longer than --stall_s seconds.
        """
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def consume() -> None:
            try:
                for table in plan().iter_batches(batch_size=None, batch_format="pyarrow"):
                    found.put(table)
                found.put(None)
            except Exception as error:  # raised again in the consumer
                found.put(error)

        threading.Thread(target=consume, name="cluster", daemon=True).start()
        while (table := found.get(timeout=self._options.stall_s + _GRACE_S)) is not None:
            if isinstance(table, Exception):
                raise table
            yield table

    def expect(self, jobs: Sequence[Job]) -> None:
        """Register the jobs given to the cluster next."""
        self._outstanding = {job.number: _Recording(job) for job in jobs}

    def take(self, found: Sequence[Captioned | Read]) -> list[Event]:
        """Return new events: records, and ends of recordings that are complete."""
        events: list[Event] = []
        for one in found:
            recording = self._outstanding.get(one.number)
            if recording is None:
                continue  # already finished
            if isinstance(one, Read):
                recording.read = one
            elif one.window not in recording.windows:
                recording.windows.add(one.window)
                events.append(one)
            if recording.read is not None and len(recording.windows) == recording.read.num_clips:
                events.append(Ended(one.number, recording.job.name, recording.read.error))
                del self._outstanding[one.number]
                self._num_ended += 1
        return events


def _rounds(chunks: Iterator[Sequence[Job]]) -> Iterator[list[Sequence[Job]]]:
    part: list[Sequence[Job]] = []
    size = 0
    for chunk in chunks:
        part.append(chunk)
        size += len(chunk)
        if size >= RECORDINGS_A_ROUND:
            yield part
            part, size = [], 0
    if part:
        yield part


def _first_line(error: Exception | None) -> str:
    lines = str(error or "").strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__

"""Caption in several processes, each with its own captioner.

If a process ends unexpectedly (a decoder crashes, out of memory), its remaining recordings are given to another process, one
at a time; a recording that ends a process again is recorded as failed.
"""

import argparse
import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from captioning.jobs import Ended, Event, Job
from captioning.pipeline import CaptionerInfo, Pipeline

logger = logging.getLogger(__name__)

_CHUNKS_AHEAD = 2  # chunks per process, so that it never waits for the next one
_PRELOADED = {"local": ["models.captioner"], "onnx": ["runtime.captioner"]}  # by engine


class OneProcess:
    """Captions in this process.

    Args:
        options: options of the command line, as for `Pipeline`.
        num_readers: number of recordings decoded in parallel.
        ready: function called once the captioner is loaded.
    """

    def __init__(self, options: argparse.Namespace, num_readers: int, ready: Callable[[CaptionerInfo], object]) -> None:
        self._options, self._num_readers, self._ready = options, num_readers, ready

    def events(self, chunks: Iterator[Sequence[Job]]) -> Iterator[list[Event]]:
        """Caption recordings and yield their events; the captioner is loaded for the first chunk."""
        pipeline: Pipeline | None = None
        for chunk in chunks:
            if pipeline is None:
                pipeline = Pipeline(self._options, self._num_readers)
                self._ready(pipeline.info)
            yield from pipeline.events(chunk)

    def stop(self) -> None:
        """Do nothing: there are no other processes."""


class Team:
    """Captions in several processes.

    Args:
        options: options of the command line, as for `Pipeline`; they are pickled.
        num_processes: number of processes, 1 or more.
        num_threads: number of threads per process.
        ready: function called once the first captioner is loaded.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        num_processes: int,
        num_threads: int,
        ready: Callable[[CaptionerInfo], object],
    ) -> None:
        self._options, self._num_threads, self._ready = options, num_threads, ready
        self._num_processes = num_processes
        self._members: list[_Member] = []
        self._suspects: deque[Job] = deque()  # in progress when a process ended
        self._chunks: Iterator[Sequence[Job]] | None = None

    def events(self, chunks: Iterator[Sequence[Job]]) -> Iterator[list[Event]]:
        """Caption recordings and yield their events; the processes are started for the first chunk.

        Raises:
            RuntimeError: a captioner cannot be loaded.
        """
        self._chunks = chunks
        first = next(chunks, None)
        if first is None:
            return
        try:
            for _ in range(self._num_processes):
                self._members.append(_Member(self._options, self._num_threads))
            self._members[0].give(first)
            self._feed()
            while any(member.outstanding for member in self._members):
                for member in self._ready_members():
                    yield from self._receive(member)
                self._feed()
        finally:
            self.stop()

    @property
    def process_ids(self) -> list[int]:
        """Return the ids of the captioning processes."""
        return [pid for member in self._members if (pid := member.process.pid) is not None]

    def stop(self) -> None:
        """Terminate all processes immediately."""
        for member in self._members:
            member.process.kill()

    def _feed(self) -> None:
        for member in self._members:
            while len(member.chunks) < _CHUNKS_AHEAD:
                if self._suspects:
                    if member.chunks:  # a suspected recording is processed alone
                        break
                    member.give([self._suspects.popleft()])
                    break
                if member.holds_suspect:
                    break
                chunk = next(self._chunks, None) if self._chunks is not None else None
                if chunk is None:
                    self._chunks = None
                    break
                member.give(chunk)

    def _ready_members(self) -> list["_Member"]:
        handles: dict[Any, _Member] = {}
        for member in self._members:
            handles[member.connection] = handles[member.process.sentinel] = member
        found = [handles[handle] for handle in wait(list(handles))]
        return list(dict.fromkeys(found))

    def _receive(self, member: "_Member") -> Iterator[list[Event]]:
        try:
            while member.connection.poll():
                kind, content = member.connection.recv()
                if kind == "events":
                    member.note(content)
                    yield content
                elif kind == "ready":
                    member.is_ready = True
                    self._ready(content)
                elif kind == "log":
                    name, level, template, message = content
                    logging.getLogger(name).log(level, "%s", message, extra={"kind": template})
                else:
                    raise RuntimeError(content)
        except (EOFError, ConnectionResetError):  # it has ended, and all its messages have been read
            member.process.join()
            yield from self._replace(member)

    def _replace(self, member: "_Member") -> Iterator[list[Event]]:
        code = member.process.exitcode or 0
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        if not member.is_ready:
            raise RuntimeError(
                f"a process ended {how} while it loaded its captioner: use fewer --workers, or free memory."
            )
        left = list(member.outstanding.values())
        member.connection.close()
        self._members[self._members.index(member)] = _Member(self._options, self._num_threads)
        if len(left) == 1 and member.holds_suspect:
            reason = f"the process that captioned {left[0].name} ended {how}: leave this file out, or free memory."
            yield [Ended(left[0].number, left[0].name, reason)]
            return
        logger.warning("a process ended %s; its %d recordings are captioned one by one.", how, len(left))
        self._suspects.extend(left)


def _context(engine: str) -> Any:
    """Return the multiprocessing context: a fork server with preloaded libraries where available, else spawn."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED[engine])
    return context


class _Member:
    """A process and its jobs."""

    def __init__(self, options: argparse.Namespace, num_threads: int) -> None:
        context = _context(getattr(options, "engine", "local"))
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, options, num_threads), daemon=True)
        self.process.start()
        theirs.close()
        self.chunks: list[dict[int, Job]] = []  # unfinished jobs of each
        self.holds_suspect = self.is_ready = False

    @property
    def outstanding(self) -> dict[int, Job]:
        """Return its unfinished jobs, by number."""
        return {number: job for chunk in self.chunks for number, job in chunk.items()}

    def give(self, chunk: Sequence[Job]) -> None:
        self.holds_suspect = len(chunk) == 1
        self.chunks.append({job.number: job for job in chunk})
        with contextlib.suppress(BrokenPipeError):  # it has ended, which is detected next
            self.connection.send(list(chunk))

    def note(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Ended):
                for chunk in self.chunks:
                    chunk.pop(event.number, None)
        self.chunks = [chunk for chunk in self.chunks if chunk]
        self.holds_suspect = self.holds_suspect and bool(self.chunks)


class _Sender(logging.Handler):
    """Sends messages and log records to the parent process; thread-safe."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection, self._turn = connection, threading.Lock()

    def send(self, kind: str, content: object) -> None:
        with self._turn:
            self._connection.send((kind, content))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            self.send("log", (record.name, record.levelno, str(record.msg), record.getMessage()))


def _work(connection: Connection, options: argparse.Namespace, num_threads: int) -> None:
    """Run a captioning process until its parent ends or kills it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends this process
    sender = _Sender(connection)
    logging.basicConfig(level=logging.INFO, handlers=[sender], force=True)
    chunks: queue.Queue[list[Job]] = queue.Queue()

    def receive() -> None:
        try:
            while True:
                chunks.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)  # the parent has ended

    threading.Thread(target=receive, name="jobs", daemon=True).start()
    try:
        if getattr(options, "engine", "local") == "onnx":
            options.num_threads = num_threads
        else:
            import torch

            torch.set_num_threads(num_threads)
        pipeline = Pipeline(options, num_readers=1)
        sender.send("ready", pipeline.info)
        while True:
            for events in pipeline.events(chunks.get()):
                sender.send("events", events)
    except Exception as error:  # raised again in the parent process
        sender.send("error", str(error) or type(error).__name__)

"""Client of the captioner's process, used by the window's process.

A thread would not do: importing PyTorch and generating captions hold the GIL long enough to block the event loop, a
captioner that runs out of memory would end the recording too, and a thread cannot be stopped when the window closes.
"""

import logging
import multiprocessing
import queue
import threading
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from data.audio import Waveform
from data.caption_formats import CaptionRecord
from ui.engine.requests import (
    Cancelled,
    CaptionerChoice,
    CaptionerInfo,
    CaptionRequest,
    Captions,
    EngineError,
    OnProgress,
)
from ui.engine.server import serve

logger = logging.getLogger(__name__)
Outbox = queue.SimpleQueue[tuple[int, str, Any] | None]
DIED = (
    "The captioner's process ended, most likely because memory ran out: close other programs or choose shorter windows. "
    "Recordings are kept; the next caption starts it again."
)
CLOSED = "The captioner was closed."


class EngineProcess:
    """An `ui.engine.requests.Engine` whose captioner runs in a child process, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._outbox: Outbox | None = None  # None ends the writing thread
        self._answers: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}
        self._next_number = 1
        self._job: int | None = None
        self._choice: CaptionerChoice | None = None
        self._loaded = False
        self._closed = False

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        """Load a captioner unless it is already loaded."""
        self._choice = choice
        info: CaptionerInfo = self._ask("load", choice)
        self._loaded = True
        return info

    def caption_file(self, request: CaptionRequest, on_progress: OnProgress) -> list[CaptionRecord]:
        """Caption a recording; `cancel` makes this call raise immediately, the process stops after its current windows."""
        self._load_again()
        records: list[CaptionRecord] = self._ask("file", request, on_progress)
        return records

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        """Caption a waveform (S,) at the captioner's sample rate, also between the steps of a recording."""
        self._load_again()
        captions: Captions = self._ask("waveform", (waveform, decoding))
        return captions

    def cancel(self) -> None:
        """Cancel captioning of the current recording."""
        with self._lock:
            job = self._job
            if job is None:
                return
            if job in self._answers:
                self._answers[job].put(("cancelled", None))
            if self._outbox is not None:
                self._outbox.put((0, "cancel", job))

    def close(self) -> None:
        """Terminate the process."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.join(timeout=1.0)
        self._fail_all(CLOSED)

    def _load_again(self) -> None:
        """Load the captioner again if the process has ended since it was loaded."""
        if not self._loaded and self._choice is not None:
            self.load(self._choice)

    def _ask(self, kind: str, content: Any, on_progress: OnProgress | None = None) -> Any:
        answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        with self._lock:
            outbox = self._running()
            number, self._next_number = self._next_number, self._next_number + 1
            self._answers[number] = answers
            if kind == "file":
                self._job = number
        try:
            outbox.put((number, kind, content))
            while True:
                answer, value = answers.get()
                if answer == "result":
                    return value
                if answer == "error":
                    raise EngineError(value)
                if answer == "cancelled":
                    raise Cancelled
                if on_progress is not None:
                    on_progress(*value)
        finally:
            with self._lock:
                self._answers.pop(number, None)
                if self._job == number:
                    self._job = None

    def _running(self) -> Outbox:
        """Return the queue of outgoing messages, starting the process if necessary; the caller holds the lock."""
        if self._closed:
            raise EngineError(CLOSED)
        if self._outbox is None or self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs,), name="captioner", daemon=True)
            self._process.start()
            theirs.close()  # so that the pipe closes when the process ends
            self._loaded = False
            self._outbox = queue.SimpleQueue()
            for target in (self._write, self._listen):
                arguments = (connection, self._outbox)
                threading.Thread(target=target, args=arguments, name="captioner pipe", daemon=True).start()
        return self._outbox

    @staticmethod
    def _write(connection: Connection, outbox: Outbox) -> None:
        """Write outgoing messages in a thread, since a full pipe would block the window while the process captions."""
        while (message := outbox.get()) is not None:
            try:
                connection.send(message)
            except OSError:
                return  # the process has ended, which the reading thread reports

    def _listen(self, connection: Connection, outbox: Outbox) -> None:
        while True:
            try:
                number, kind, content = connection.recv()
            except (EOFError, OSError):
                outbox.put(None)
                with self._lock:
                    current = self._outbox is outbox
                    if current:
                        self._outbox, self._loaded = None, False
                if current:
                    self._fail_all(CLOSED if self._closed else DIED)
                return
            if kind == "log":
                logger.warning("%s", content)
                continue
            with self._lock:
                answers = self._answers.get(number)  # no waiting call: it was cancelled
            if answers is not None:
                answers.put((kind, content))

    def _fail_all(self, message: str) -> None:
        with self._lock:
            for answers in self._answers.values():
                answers.put(("error", message))

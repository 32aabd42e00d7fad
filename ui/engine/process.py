"""The captioner in a process of its own, seen from the window's.

Why not a thread: importing PyTorch and generating captions hold Python's lock for longer than a window may stand still, a
captioner that runs out of memory would take the recording with it, and a thread cannot be stopped when the window closes.
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
    "The captioner's process ended, most likely for want of memory: close other programs or choose shorter windows. "
    "Recordings are kept; the next caption starts it again."
)
CLOSED = "The captioner was closed."


class EngineProcess:
    """An `ui.engine.requests.Engine` whose captioner runs in a child process, started on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._outbox: Outbox | None = None  # a message None ends its thread
        self._answers: dict[int, queue.SimpleQueue[tuple[str, Any]]] = {}
        self._next_number = 1
        self._job: int | None = None
        self._choice: CaptionerChoice | None = None
        self._loaded = False
        self._closed = False

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        """Load a captioner, unless it is the one that is loaded."""
        self._choice = choice
        info: CaptionerInfo = self._ask("load", choice)
        self._loaded = True
        return info

    def caption_file(self, request: CaptionRequest, on_progress: OnProgress) -> list[CaptionRecord]:
        """Caption a recording; `cancel` ends the wait at once, the process after the windows that it is at."""
        self._load_again()
        records: list[CaptionRecord] = self._ask("file", request, on_progress)
        return records

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        """Caption samples (S,) at the captioner's rate, also between the steps of a recording."""
        self._load_again()
        captions: Captions = self._ask("waveform", (waveform, decoding))
        return captions

    def cancel(self) -> None:
        """Give up the recording that is being captioned."""
        with self._lock:
            job = self._job
            if job is None:
                return
            if job in self._answers:
                self._answers[job].put(("cancelled", None))
            if self._outbox is not None:
                self._outbox.put((0, "cancel", job))

    def close(self) -> None:
        """End the process now."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            process.join(timeout=1.0)
        self._fail_all(CLOSED)

    def _load_again(self) -> None:
        """After a death the captioner is loaded anew by whoever asks next."""
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
        """What goes to the process, which is started where it does not run; the lock is held."""
        if self._closed:
            raise EngineError(CLOSED)
        if self._outbox is None or self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs,), name="captioner", daemon=True)
            self._process.start()
            theirs.close()  # so that the pipe ends with the process
            self._loaded = False
            self._outbox = queue.SimpleQueue()
            for target in (self._write, self._listen):
                arguments = (connection, self._outbox)
                threading.Thread(target=target, args=arguments, name="captioner pipe", daemon=True).start()
        return self._outbox

    @staticmethod
    def _write(connection: Connection, outbox: Outbox) -> None:
        """Send; a thread of its own, since a pipe may be full while the process captions and a window must not wait."""
        while (message := outbox.get()) is not None:
            try:
                connection.send(message)
            except OSError:
                return  # the process is gone, which the listening thread tells

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
                answers = self._answers.get(number)  # none: it was cancelled
            if answers is not None:
                answers.put((kind, content))

    def _fail_all(self, message: str) -> None:
        with self._lock:
            for answers in self._answers.values():
                answers.put(("error", message))

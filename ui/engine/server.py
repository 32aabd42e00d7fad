"""Main loop of the captioner's process: handles messages from a pipe and sends replies.

A recording is captioned step by step. The pipe is polled between steps, so that cancel requests and microphone windows are
handled while a long recording is being captioned.
"""

import logging
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

LOWER_PRIORITY = 5  # low priority, so that audio and the window stay responsive under load


class _PipeHandler(logging.Handler):
    """Logging handler that sends warnings to the window's log."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send((0, "log", record.getMessage()))


def serve(connection: Connection) -> None:
    """Reply to (number, kind, content) messages with (number, kind, content) until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # SIGINT reaches both processes; the window's process ends this one
    if hasattr(os, "nice"):
        os.nice(LOWER_PRIORITY)
    for name in ("data", "captioning", "models"):
        logging.getLogger(name).addHandler(_PipeHandler(connection))
    try:
        _Server(connection).run()
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        return  # the window's process has ended


class _Server:
    def __init__(self, connection: Connection) -> None:
        import torch  # imported only in this process: takes up to 30 s on a slow disk

        from ui.engine.captioning import CaptioningEngine, Step, sentence

        torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 2) - 1)))
        self._connection, self._sentence = connection, sentence
        self._engine = CaptioningEngine()
        self._job: tuple[int, Iterator[Step]] | None = None

    def run(self) -> None:
        while True:
            while self._job is None or self._connection.poll(0):
                self._answer(*self._connection.recv())
            self._advance()

    def _answer(self, number: int, kind: str, content: Any) -> None:
        try:
            if kind == "load":
                self._connection.send((number, "result", self._engine.load(content)))
            elif kind == "waveform":
                self._connection.send((number, "result", self._engine.caption_waveform(*content)))
            elif kind == "file":
                self._job = (number, self._engine.steps(content))
            elif kind == "cancel" and self._job is not None and self._job[0] == content:
                self._job = None
        except Exception as error:  # any error is reported to the window, and the process continues
            self._connection.send((number, "error", self._sentence(error)))

    def _advance(self) -> None:
        assert self._job is not None
        number, steps = self._job
        try:
            step = next(steps)
        except Exception as error:  # as above
            self._job = None
            self._connection.send((number, "error", self._sentence(error)))
            return
        if step.records is None:
            self._connection.send((number, "progress", (step.share, step.new)))
        else:
            self._job = None
            self._connection.send((number, "result", step.records))

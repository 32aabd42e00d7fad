"""Ctrl-C, SIGTERM and a closed terminal end a command at once, with what is done kept."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from configs.atomic_files import drop_unfinished

logger = logging.getLogger(__name__)

_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "the end of its terminal (SIGHUP)"}
LONGEST_STOP_S = 1.5  # after which the process ends, whatever still hangs


def end_quietly() -> None:
    """Let Ctrl-C end this process at once, without a traceback, until `StopSignals` is entered.

    Commands call it before they import what takes long. A signal that is ignored (nohup, a job in the background) stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def leave_to_parent(*_: object) -> None:
    """In a process that loads data for this one: a stop signal is the parent's, which ends its children."""
    signal.set_wakeup_fd(-1)  # the parent's, after a fork
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class StopSignals:
    """While it is entered, a stop signal calls `keep`, tells what it returns in one line and ends the process.

    A thread of its own waits for the signals: the main thread may be in native code for seconds, and an exception that
    is raised between any two of its steps may be swallowed. The exit status is 128 and the signal's number, as shells
    have it. Signals that were ignored when the command started (nohup) stay ignored. Processes that were started with
    multiprocessing are killed.

    Args:
        longest_s: seconds that `keep` may take; the process ends after them, whatever still hangs.

    Attributes:
        keep: puts on disk what is done and returns a sentence about it; it must end soon, and the process ends then.
    """

    def __init__(self, longest_s: float = LONGEST_STOP_S) -> None:
        self.keep: Callable[[], str] = lambda: "nothing was done yet"
        self.longest_s = longest_s
        self._ending = threading.Event()
        self._handlers: dict[int, Any] = {}
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._wakeup = -1

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is not threading.main_thread():
            return self  # signals belong to the main thread
        numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
        wanted = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        receiver, sender = self._pair = socket.socketpair()  # a pipe would not do on Windows
        sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._wait, args=(receiver, set(wanted)), name="stop signals", daemon=True).start()
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ending.is_set():  # what the block ended with comes of the stop, which is not to be cut short
            threading.Event().wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._pair is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._pair[1].close()  # which ends the thread
            self._pair, self._handlers = None, {}

    def _wait(self, receiver: socket.socket, wanted: set[int]) -> None:
        with receiver:
            while number := receiver.recv(1):
                if number[0] in wanted:
                    self._end(number[0])

    def _end(self, number: int) -> None:
        self._ending.set()
        last_resort = threading.Timer(self.longest_s, os._exit, (128 + number,))
        last_resort.daemon = True
        last_resort.start()
        name = _NAMES[signal.Signals(number).name]
        try:
            logger.warning("stopped by %s: %s.", name, self.keep())
        except Exception as error:
            logger.error("stopped by %s, and what was done could not be kept: %s", name, error)
        finally:
            for process in multiprocessing.active_children():
                process.kill()
            drop_unfinished()
            os._exit(128 + number)  # other threads may be reading a recording for seconds yet

"""Handling of Ctrl-C, SIGTERM and SIGHUP: commands save finished work and exit immediately."""

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
LONGEST_STOP_S = 1.5  # maximum time for saving; afterwards the process exits


def end_quietly() -> None:
    """Let Ctrl-C end the process immediately and without a traceback until `StopSignals` is entered.

    Commands call it before slow imports. Ignored signals (nohup, background jobs) stay ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def leave_to_parent(*_: object) -> None:
    """Ignore stop signals in a data-loading process; its parent handles them and ends its children."""
    signal.set_wakeup_fd(-1)  # inherited from the parent by a fork
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class StopSignals:
    """Context manager in which a stop signal calls `keep`, logs its result in one line and ends the process.

    A separate thread waits for signals, because the main thread may spend seconds in native code, and exceptions raised
    at arbitrary lines may be swallowed. The exit status is 128 plus the signal number. Signals that are ignored at the
    start (nohup) stay ignored. Child processes of multiprocessing are killed.

    Args:
        longest_s: maximum duration of `keep` in seconds; afterwards the process exits.

    Attributes:
        keep: function that saves finished work and returns a sentence about it. It has to be fast; the process exits
            when it returns.
    """

    def __init__(self, longest_s: float = LONGEST_STOP_S) -> None:
        self.keep: Callable[[], str] = lambda: "nothing was done yet"
        self.longest_s = longest_s
        self._ending = threading.Event()
        self._handlers: dict[int, Any] = {}
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._wakeup = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread can handle signals
        numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
        wanted = [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]
        receiver, sender = self._pair = socket.socketpair()  # pipes do not work on Windows
        sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(
            target=self._wait, args=(receiver, set(wanted)), name="stop signals", daemon=True
        )
        self._thread.start()
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ending.is_set():  # the block ended because of the stop; wait for the process to exit
            threading.Event().wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._pair is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._pair[1].shutdown(socket.SHUT_RDWR)  # ends the thread, also where a forked process has the socket too
            self._pair[1].close()
            self._pair, self._handlers = None, {}
        if self._thread is not None:
            # It refers to `keep`, and through it to a whole training. If it ended after the interpreter, it would free tensors
            # there, and PyTorch aborts a process that needs the interpreter's lock at that time.
            self._thread.join()
            self._thread = None

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
            logger.error("stopped by %s, and finished work could not be saved: %s", name, error)
        finally:
            for process in multiprocessing.active_children():
                process.kill()
            drop_unfinished()
            os._exit(128 + number)  # other threads may still be busy for seconds

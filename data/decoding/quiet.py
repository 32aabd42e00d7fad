"""Suppression of messages that C libraries write to the terminal."""

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Silencer:
    """Redirect the C library's `stderr` to /dev/null while libmpg123, which writes messages to it, is called.

    Python's `sys.stderr` is not affected. Thread-safe; contexts can overlap. Has no effect on platforms where the variable
    cannot be replaced (all except macOS and Linux with glibc).
    """

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._slot: ctypes.c_void_p | None = None
        self._null: int | None = None
        self._loud: int | None = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Return a context manager that suppresses messages of C libraries."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._switch(quiet=True)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._switch(quiet=False)

    def _switch(self, quiet: bool) -> None:
        """Replace `stderr` of the C library by /dev/null, or restore it."""
        if self._slot is None:
            name = _c_stderr_name()
            if name is None:
                return
            libc = ctypes.CDLL(None)
            libc.fopen.restype = ctypes.c_void_p
            self._slot, self._null = ctypes.c_void_p.in_dll(libc, name), libc.fopen(b"/dev/null", b"w")
        if self._null is None:
            return
        if quiet:
            self._loud, self._slot.value = self._slot.value, self._null
        else:
            self._slot.value = self._loud


def _c_stderr_name() -> str | None:
    """Return the name of the C library's `stderr` variable; None on platforms where it cannot be replaced."""
    if sys.platform == "darwin":
        return "__stderrp"
    return "stderr" if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" else None


SILENCER = Silencer()

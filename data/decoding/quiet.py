"""Keep a C library from writing to the terminal."""

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Silencer:
    """libmpg123 complains to C's `stderr`; meanwhile that is /dev/null. Python's own is another."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._slot: ctypes.c_void_p | None = None
        self._null: int | None = None
        self._loud: int | None = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Suppress the output of C libraries in a context."""
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
    """The C library's variable, where it may be written to; None elsewhere, and its messages stay."""
    if sys.platform == "darwin":
        return "__stderrp"
    return "stderr" if sys.platform == "linux" and platform.libc_ver()[0] == "glibc" else None


SILENCER = Silencer()

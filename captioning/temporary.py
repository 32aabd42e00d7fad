"""Temporary files of names, which have no name of their own that an error could give."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


class TemporaryFileError(ValueError):
    """The temporary file cannot be written; the message is one sentence with its folder. It is no OSError of the listed files."""


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn an OSError of a temporary file into a sentence that names its folder."""
    try:
        yield
    except OSError as error:
        raise TemporaryFileError(
            f"the list of recordings cannot be stored in {_folder()} ({error.strerror or error}): free space there, "
            "or set TMPDIR to another folder."
        ) from error


def _folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # no folder for temporary files is writable
        return "a temporary file"


MEMORY_BYTES = 1 << 20  # content up to this size is kept in memory, so that short lists need no temporary folder


class TemporaryBytes:
    """A temporary file, removed when it is closed.

    Raises:
        TemporaryFileError: it cannot be made.
    """

    def __init__(self) -> None:
        with _named_errors():
            self._file: IO[bytes] = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115 (open as long as this is)
        self.size = 0

    def append(self, content: bytes) -> None:
        """Write bytes at the end.

        Raises:
            TemporaryFileError: no space, or another error of the file.
        """
        with _named_errors():
            self._file.seek(self.size)
            self._file.write(content)
            self._file.flush()
        self.size += len(content)

    def read(self, place: int, length: int) -> bytes:
        """Return at most `length` bytes from a place.

        Raises:
            TemporaryFileError: an error of the file.
        """
        with _named_errors():
            self._file.seek(place)
            return self._file.read(length)

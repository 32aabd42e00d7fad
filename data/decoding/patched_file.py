"""Read-only file object that restricts a file to a byte range and replaces incorrect size fields."""

import io
from typing import Any, BinaryIO


class PatchedFile(io.RawIOBase):
    """Read-only view of a file, or of a byte range of it, with some bytes replaced.

    The methods do not raise OSError: cffi and PyAV would print the exception and not propagate it. A failed read returns 0
    bytes and sets `error`; an invalid seek returns -1.

    Args:
        file: Seekable binary file.
        patches: Maps an offset in bytes to the bytes to return in place of those in the file.
        span: Start and end offset of the range in bytes; None for the whole file. Default: None.

    Attributes:
        error: Exception of the last failed read; None if no read failed.
    """

    def __init__(self, file: BinaryIO, patches: dict[int, bytes], span: tuple[int, int] | None = None) -> None:
        self._file, self._patches = file, patches
        self._begin: int = span[0] if span else 0
        self._end: int | None = span[1] if span else None
        self._file.seek(self._begin)
        self.error: OSError | None = None

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`; returns 0 and sets `error` if the file cannot be read."""
        view = memoryview(buffer).cast("B")
        try:
            begin = self._file.tell()
            if self._end is not None:
                view = view[: max(0, self._end - begin)]
            count = int(self._file.readinto(view) or 0)  # type: ignore[attr-defined]
        except OSError as error:
            self.error = error
            return 0
        for offset, patch in self._patches.items():
            for place, value in enumerate(patch, start=offset - begin):
                if 0 <= place < count:
                    view[place] = value
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        """See `io.RawIOBase`; returns -1 for an invalid position."""
        try:
            if whence == 0:
                offset += self._begin
            elif whence == 2 and self._end is not None:
                offset, whence = offset + self._end, 0
            return self._file.seek(offset, whence) - self._begin
        except (OSError, ValueError, OverflowError):
            return -1

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._file.tell() - self._begin

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

"""Atomic writing of files: under a hidden name, synced to the disk, then renamed."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # on Windows a file is not locked against other processes
    fcntl = None  # type: ignore[assignment]

_PREFIX, _SUFFIX = ".writing-", ".part"
_ABANDONED_S = 3600.0  # no file takes this long to write
_unfinished: set[Path] = set()


class FileNotWrittenError(OSError):
    """A file could not be written; the message is one sentence with its name. An existing file is unchanged."""

    def __str__(self) -> str:
        return (
            f"{self.filename} cannot be written ({self.strerror}): free space or choose another path. "
            "An existing file of that name is unchanged."
        )


class _Noting:
    """A binary file that records write errors, which libraries wrap in their own exceptions."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = self.error or error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def new_file(path: Path, *, synced: bool = True) -> Iterator[BinaryIO]:
    """Open a binary file for writing that replaces `path` when the context ends without an error.

    Until then an existing file is unchanged. Its permissions are replaced too; if `path` is a link, its target is replaced. The
    folder must exist.

    Args:
        path: final path of the file.
        synced: whether to flush the content to the disk first; otherwise a power failure can leave an empty file.

    Raises:
        FileNotWrittenError: no space, no permission, or no folder; other errors in the context are passed on.
    """
    path = path.resolve() if path.is_symlink() else path
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}")
    noting: _Noting | None = None
    _unfinished.add(temporary)
    try:
        with temporary.open("xb") as file:
            noting = _Noting(file)
            yield noting  # type: ignore[misc]
            file.flush()
            if synced:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if synced:
            with suppress(OSError):  # the file is complete; some file systems cannot sync folders
                sync(path.parent)
    except OSError as error:
        raise _sentence(path, error) from error
    except Exception as error:
        if noting is not None and noting.error is not None:
            raise _sentence(path, noting.error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def _sentence(path: Path, error: OSError) -> FileNotWrittenError:
    return FileNotWrittenError(error.errno, error.strerror or str(error), str(path))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically.

    Args:
        path: path of the file; its folder must exist.
        content: bytes, or text, which is written as UTF-8 with unchanged line breaks and escapes for unencodable characters.

    Raises:
        FileNotWrittenError: as for `new_file`.
    """
    with new_file(path) as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def drop_unfinished() -> None:
    """Remove unfinished files of `new_file` before the process ends."""
    for temporary in list(_unfinished):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep_abandoned(folder: Path) -> None:
    """Remove unfinished files of killed processes that are over an hour old."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def open_locked(path: Path) -> int | None:
    """Open a file for reading and writing and lock it for this process; a missing file is created.

    Returns:
        File descriptor, or None if another process has locked the file. On systems without locks the file is always opened.

    Raises:
        OSError: it cannot be opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # replaced by the process that had locked it


def sync(path: Path) -> None:
    """Flush a file or folder to the disk.

    Raises:
        OSError: it cannot be opened or synced.
    """
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

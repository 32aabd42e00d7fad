"""Files that appear whole or not at all: written under a hidden name, synced to the disk, then renamed."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # on Windows two processes that write one file are not kept apart
    fcntl = None  # type: ignore[assignment]

_PREFIX, _SUFFIX = ".writing-", ".part"
_ABANDONED_S = 3600.0  # no file takes so long to write
_unfinished: set[Path] = set()


class FileNotWrittenError(OSError):
    """A file that could not be written; as text, one sentence with its name. An older file of that name is as it was."""

    def __str__(self) -> str:
        return (
            f"{self.filename} cannot be written ({self.strerror}): make room or give another place. "
            "Nothing of it was kept under that name."
        )


class _Noting:
    """A binary file that remembers why it could not be written: libraries wrap that in errors of their own."""

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
    """A binary file to write to, which gets its name when the block ends without an error.

    Until then an older file of that name stays; its permissions, and the file that a link leads to, are replaced by the new
    file's. The folder must exist.

    Args:
        path: the file's name.
        synced: have the disk hold the content first; without it a power failure may leave an empty file.

    Raises:
        FileNotWrittenError: no space, no permission, no folder; whatever else the block raises passes through.
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
            with suppress(OSError):  # the file is there; some file systems cannot sync a folder
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
    """Write a file whole or not at all.

    Args:
        path: its name; its folder must exist.
        content: text, written as UTF-8 with its line breaks as they are (what UTF-8 cannot hold becomes escapes), or
            bytes.

    Raises:
        FileNotWrittenError: as of `new_file`.
    """
    with new_file(path) as file:
        file.write(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def drop_unfinished() -> None:
    """Remove what `new_file` was writing, because the process is about to end."""
    for temporary in list(_unfinished):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep_abandoned(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder, over an hour ago."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def open_locked(path: Path) -> int | None:
    """Open a file, made if missing, for reading and writing by this process alone.

    Returns:
        Its descriptor, or None where another process has it. Where the system or the file system has no locks, everyone gets it.

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
        os.close(descriptor)  # renamed by the process that had it until now


def sync(path: Path) -> None:
    """Have the disk hold a file's or a folder's content before going on.

    Raises:
        OSError: it cannot be opened or synced.
    """
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder for syncing
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

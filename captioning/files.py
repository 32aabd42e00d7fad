"""Find the files to caption. Does not import PyTorch, so that the desktop window opens quickly."""

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from captioning.cluster.object_storage import is_url, list_url
from captioning.external_sort import sorted_bytes
from captioning.path_lists import is_list, read_list
from captioning.sniffing import why_not
from data.decoding.errors import shown

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "any_sound"

_MOST_NAMED = 10  # skipped files named in the summary line
_FILE, _FOLDER, _LINK = b"f", b"d", b"l"
_LeaveOut = Callable[[Path, str], object]


class Recordings:
    """Recordings given as paths, folders or glob patterns.

    Iteration yields names one by one and stores none, so memory use does not grow with the number of recordings. The order
    is that of the arguments, sorted within a folder. In a folder, a recording is recognised by its suffix, or by its
    content if the suffix is unknown. Symbolic links to folders are followed last, each folder once; hidden files and
    folders are skipped.

    Args:
        inputs: files, folders and patterns.

    Attributes:
        num_left_out: number of files in folders that have been skipped so far.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = inputs
        self._forget()

    def _forget(self) -> None:
        self.num_left_out = 0
        self._named: list[str] = []  # the first media files of unsupported formats, and files that cannot be opened
        self._others: list[str] = []  # the first files that are not audio
        self._num_others: Counter[str] = Counter()  # number of skipped files by suffix

    def __iter__(self) -> Iterator[str]:
        """Yield the names of recordings.

        Raises:
            ValueError: a folder without recordings, or a pattern that no file matches.
        """
        self._forget()
        for argument in self.inputs:
            yield from self._of(argument)

    def check(self) -> None:
        """Check early that each argument gives at least one recording.

        Raises:
            ValueError: a folder without recordings, or a pattern that no file matches.
        """
        for argument in self.inputs:
            self._forget()
            next(self._of(argument))

    def _of(self, argument: str) -> Iterator[str]:
        if not argument:
            raise ValueError(
                "one of the file names is empty: remove it, or check the shell's expansion of the arguments."
            )
        if is_url(argument):
            yield from list_url(argument)
            return
        if is_list(argument):
            yield from read_list(argument)
            return
        if not os.path.isdir(argument) and (os.path.lexists(argument) or not glob.has_magic(argument)):
            yield argument
            return
        found = self._in_folder(argument) if os.path.isdir(argument) else _matches(argument)
        first = next(found, None)
        if first is None and os.path.isdir(argument):
            raise ValueError(
                f"the folder {argument} contains no audio files.{' ' if self.skipped_summary() else ''}{self.skipped_summary()}"
            )
        if first is None:
            raise ValueError(f"no file matches {argument}.")
        yield first
        yield from found

    def _in_folder(self, folder: str) -> Iterator[str]:
        for path in _files_below(folder, self._leave_out):
            reason = why_not(path)
            if reason is None:
                yield str(path)
            else:
                self._leave_out(path, reason)

    def skipped_summary(self) -> str:
        """Return one line with the number and names of skipped files; empty if there are none."""
        if not self.num_left_out:
            return ""
        named = [*self._named, *self._others[: max(0, _MOST_NAMED - len(self._named))]]
        more = self.num_left_out - len(named)
        kinds = ", ".join(
            f"{number} {suffix or 'without suffix'}" for suffix, number in self._num_others.most_common(5)
        )
        rest = f" and {more} more" + (f" (not audio: {kinds})" if kinds else "") if more else ""
        files = "1 file was" if self.num_left_out == 1 else f"{self.num_left_out} files were"
        return f"{files} left out: {', '.join(named)}{rest}."

    def _leave_out(self, path: Path, reason: str) -> None:
        self.num_left_out += 1
        if not reason:
            self._num_others[path.suffix.lower()] += 1
            if len(self._others) < _MOST_NAMED:
                self._others.append(shown(path))
        elif len(self._named) < _MOST_NAMED:
            self._named.append(f"{shown(path)} ({reason})")


def expand(inputs: Sequence[str]) -> list[str]:
    """Return all recordings given by the arguments as a list.

    Raises:
        ValueError: as `Recordings`.
    """
    return list(Recordings(inputs))


def shown_name(name: str) -> str:
    r"""Return a file name as UTF-8 text; invalid bytes become escapes such as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def common_folder(inputs: Sequence[str]) -> str:
    """Return the absolute path of the innermost folder that contains all arguments that are no URLs.

    Raises:
        ValueError: they are on different drives.
    """
    folders = []
    for argument in inputs:
        if is_url(argument):
            continue
        while not os.path.isdir(argument):
            argument = os.path.dirname(argument) or os.curdir  # for a pattern, the part before its first wildcard
        folders.append(os.path.abspath(argument))
    return os.path.commonpath(folders) if folders else os.getcwd()


def _matches(pattern: str) -> Iterator[str]:
    found = sorted_bytes(os.fsencode(name) for name in glob.iglob(pattern, recursive=True))
    return map(os.fsdecode, found)


def _files_below(folder: str, leave_out: _LeaveOut) -> Iterator[Path]:
    """Yield all non-folders; real folders come before links, so that files get their real path rather than a link's."""
    seen: set[tuple[int, int]] = set()
    linked = [os.fsencode(folder)]
    while linked:
        open_folders = [_entries(linked.pop(0), seen, leave_out)]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
                continue
            path, kind = entry
            if kind == _FOLDER:
                open_folders.append(_entries(path, seen, leave_out))
            elif kind == _LINK:
                linked.append(path)
            else:
                yield Path(os.fsdecode(path))


def _entries(folder: bytes, seen: set[tuple[int, int]], leave_out: _LeaveOut) -> Iterator[tuple[bytes, bytes]]:
    """Return paths and kinds of a folder's entries, sorted by name; empty if the folder was listed before."""
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:  # names end with a byte that no name contains
            found = sorted_bytes(entry.name + b"\0" + _kind(entry) for entry in entries if entry.name[:1] != b".")
    except OSError as error:
        leave_out(Path(os.fsdecode(folder)), f"a folder that cannot be read: {error.strerror}")
        return
    for item in found:
        name, _, kind = item.partition(b"\0")
        yield os.path.join(folder, name), kind


def _kind(entry: "os.DirEntry[bytes]") -> bytes:
    if entry.is_dir(follow_symlinks=False):
        return _FOLDER
    # Unlike the entry's own method, this returns False for circular links.
    return _LINK if os.path.isdir(entry.path) else _FILE

"""Which files to caption and with what; light to import, so that a window can open before PyTorch is there."""

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

_MOST_NAMED = 10  # files left out, in the line that names them
_FILE, _FOLDER, _LINK = b"f", b"d", b"l"
_LeaveOut = Callable[[Path, str], object]


class Recordings:
    """Recordings that arguments name: themselves, those in a folder, or those a pattern matches.

    Iterating lists them one by one and keeps none, so that ten million take no more memory than ten. They come in the
    order of the arguments and sorted within a folder. In a folder a recording is told by its suffix, and by its content
    where the suffix does not tell. Linked folders are followed behind the others, each folder once; hidden files and
    folders are not looked at.

    Args:
        inputs: files, folders and patterns.

    Attributes:
        num_left_out: files of folders that were not captioned, so far.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = inputs
        self._forget()

    def _forget(self) -> None:
        self.num_left_out = 0
        self._named: list[str] = []  # the first media that are not read, and what cannot be opened
        self._others: list[str] = []  # the first that are no sound at all
        self._num_others: Counter[str] = Counter()  # by suffix

    def __iter__(self) -> Iterator[str]:
        """Names of recordings.

        Raises:
            ValueError: a folder without recordings, or a pattern that no file matches.
        """
        self._forget()
        for argument in self.inputs:
            yield from self._of(argument)

    def check(self) -> None:
        """Look for one recording behind each argument, before anything long begins.

        Raises:
            ValueError: a folder without recordings, or a pattern that no file matches.
        """
        for argument in self.inputs:
            self._forget()
            next(self._of(argument))

    def _of(self, argument: str) -> Iterator[str]:
        if not argument:
            raise ValueError(
                "one of the names of recordings is empty: leave it out, or look at what the shell made of it."
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
            raise ValueError(f"the folder {argument} holds no audio files.{' ' if self.told() else ''}{self.told()}")
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

    def told(self) -> str:
        """One line that counts and names what is left out; empty where that is nothing."""
        if not self.num_left_out:
            return ""
        named = [*self._named, *self._others[: max(0, _MOST_NAMED - len(self._named))]]
        more = self.num_left_out - len(named)
        kinds = ", ".join(
            f"{number} {suffix or 'without suffix'}" for suffix, number in self._num_others.most_common(5)
        )
        rest = f" and {more} more" + (f" (no sound: {kinds})" if kinds else "") if more else ""
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
    """All recordings that arguments name, in one list.

    Raises:
        ValueError: as `Recordings`.
    """
    return list(Recordings(inputs))


def shown_name(name: str) -> str:
    r"""A file's name as UTF-8 text; bytes that are none become escapes such as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def common_folder(inputs: Sequence[str]) -> str:
    """The innermost folder that holds all that arguments name, as an absolute path.

    Raises:
        ValueError: they are on different drives.
    """
    folders = []
    for argument in inputs:
        while not os.path.isdir(argument):
            argument = os.path.dirname(argument) or os.curdir  # a pattern's part before its first wildcard, too
        folders.append(os.path.abspath(argument))
    return os.path.commonpath(folders)


def _matches(pattern: str) -> Iterator[str]:
    found = sorted_bytes(os.fsencode(name) for name in glob.iglob(pattern, recursive=True))
    return map(os.fsdecode, found)


def _files_below(folder: str, leave_out: _LeaveOut) -> Iterator[Path]:
    """All that is no folder; real folders come first, so that each has its own name rather than a link's."""
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
    """Paths and kinds of what is in a folder, sorted by name; nothing the second time."""
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:  # a name ends with the byte that no name has
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
    # Unlike the entry's own method, this one says no of links that lead in a circle.
    return _LINK if os.path.isdir(entry.path) else _FILE

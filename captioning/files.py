"""Which files to caption and with what; light to import, so that a window can open before PyTorch is there."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.audio import AudioError, stream_audio
from data.recognition import AUDIO_SUFFIXES, CONTAINER, OTHER, SNIFFED_BYTES, SOUND, recognise

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "any_sound"

_MOST_NAMED = 10  # files left out, in the line that names them


@dataclass
class Recordings:
    """What arguments name.

    Attributes:
        files: in the order of the arguments, and sorted within a folder.
        left_out: files of folders that are not captioned, and why: media that are not read, and what cannot be opened.
        num_others: number of files of folders that are no sound at all, by suffix.
        others: the first of these.
    """

    files: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    num_others: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @property
    def num_left_out(self) -> int:
        """Files of folders that are not captioned."""
        return len(self.left_out) + self.num_others.total()

    def told(self) -> str:
        """One line that counts and names what is left out; empty where that is nothing."""
        if not self.num_left_out:
            return ""
        named = [f"{path} ({reason})" for path, reason in self.left_out[:_MOST_NAMED]]
        named += self.others[: max(0, _MOST_NAMED - len(named))]
        more = self.num_left_out - len(named)
        kinds = ", ".join(f"{number} {suffix or 'without suffix'}" for suffix, number in self.num_others.most_common(5))
        rest = f" and {more} more" + (f" (no sound: {kinds})" if kinds else "") if more else ""
        files = "1 file was" if self.num_left_out == 1 else f"{self.num_left_out} files were"
        return f"{files} left out: {', '.join(named)}{rest}."

    def _leave_out(self, path: Path, reason: str) -> None:
        if reason:
            self.left_out.append((str(path), reason))
        else:
            self.num_others[path.suffix.lower()] += 1
            if len(self.others) < _MOST_NAMED:
                self.others.append(str(path))


def expand(inputs: Sequence[str]) -> list[str]:
    """Files that arguments name: themselves, those in a folder, or those a pattern matches."""
    return list_recordings(inputs).files


def list_recordings(inputs: Sequence[str]) -> Recordings:
    """Recordings that arguments name: themselves, those in a folder, or those a pattern matches.

    In a folder a recording is told by its suffix, and by its content where the suffix does not tell. Linked folders are
    followed, each folder once; hidden files and folders are not looked at.

    Raises:
        ValueError: a folder without recordings, or a pattern that no file matches.
    """
    found = Recordings()
    for argument in inputs:
        if os.path.isdir(argument):
            number = len(found.files)
            _add_folder(found, Path(argument))
            if len(found.files) == number:
                raise ValueError(
                    f"the folder {argument} holds no audio files.{' ' if found.told() else ''}{found.told()}"
                )
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matches = sorted(glob.glob(argument, recursive=True))
            if not matches:
                raise ValueError(f"no file matches {argument}.")
            found.files += matches
        else:
            found.files.append(argument)
    return found


def shown_name(name: str) -> str:
    r"""A file's name as UTF-8 text; bytes that are none become escapes such as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _add_folder(found: Recordings, folder: Path) -> None:
    taken = []
    for path in sorted(_files_below(folder, found)):
        reason = _why_not(path)
        if reason is None:
            taken.append(str(path))
        else:
            found._leave_out(path, reason)
    found.files += taken


def _files_below(folder: Path, found: Recordings) -> Iterator[Path]:
    """All that is no folder; real folders come first, so that each has its own name rather than a link's."""
    seen: set[tuple[int, int]] = set()
    linked = [folder]
    while linked:
        folders = [linked.pop(0)]
        while folders:
            current = folders.pop()
            try:
                status = os.stat(current)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(current), key=lambda entry: entry.name)
            except OSError as error:
                found._leave_out(current, f"a folder that cannot be read: {error.strerror}")
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_dir():
                    linked.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _why_not(path: Path) -> str | None:
    """None for a recording; else why it is left out, which is empty for what is no sound at all."""
    by_name = path.suffix.lower() in AUDIO_SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "no regular file" if by_name else ""
        if by_name:
            return None
        with path.open("rb") as file:
            kind = recognise(file.read(SNIFFED_BYTES))
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return "its link leads nowhere" if by_name else ""
        return f"it cannot be opened: {error.strerror}"
    if kind == CONTAINER:
        return _why_no_sound(path)
    return {SOUND: None, OTHER: ""}.get(kind, f"{kind}, which is not read")


def _why_no_sound(path: Path) -> str | None:
    """Of a video: None if it has a sound track, or is damaged, which its reader tells."""
    try:
        next(stream_audio(path, 16000, 0.1), None)
    except AudioError as error:
        return "a video without sound" if "no audio track" in str(error) else None
    return None

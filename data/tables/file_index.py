"""Lookup of the files that a table names."""

import re
import unicodedata
from pathlib import Path, PurePosixPath


class FileIndex:
    """Lookup of the files of a table in a folder, tolerant of differences between file systems.

    Names match if they are equal except for characters that Windows does not allow (archive programs replace them by `_`),
    Unicode normalization (macOS stores decomposed characters), and surrounding spaces and periods.

    Args:
        folder: Folder that contains the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_key: dict[Path, dict[str, list[Path]]] = {}

    def find(self, cell: str) -> Path | None:
        """Find the file for a cell of a table.

        Args:
            cell: File name or relative path.

        Returns:
            Path of the file; None if there is no match or more than one.
        """
        for name in (cell, cell.strip()):
            try:
                if (path := self._folder / name).is_file():
                    return path
                if path.exists() and name:
                    return path
            except (OSError, ValueError):  # the name is too long, or contains NUL
                continue
        if found := self._alike(self._folder, cell):
            return found
        folder: Path | None = self._folder  # match each part of a relative path
        for part in PurePosixPath(cell.strip()).parts:
            if part == ".." or folder is None or not folder.is_dir():
                return None
            folder = self._alike(folder, part)
        return folder

    def _alike(self, folder: Path, name: str) -> Path | None:
        """Return the only entry of a folder whose normalized name matches; None if there is none or more than one."""
        if not folder.is_dir():
            return None
        if folder not in self._by_key:
            entries: dict[str, list[Path]] = {}
            for path in sorted(folder.iterdir()):
                entries.setdefault(_key(path.name), []).append(path)
            self._by_key[folder] = entries
        found = self._by_key[folder].get(_key(name), [])
        return found[0] if len(found) == 1 else None


def _key(name: str) -> str:
    """Return a file name normalized for comparison across file systems."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", unicodedata.normalize("NFC", name)).strip(" .")

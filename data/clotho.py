"""Captioned clips from tables: Clotho's own layouts, and any folder with a CSV of file names and captions.

Layouts of a data set's root, tried in this order:

- `clotho_captions_<split>.csv` beside `clotho_audio_<split>/` or `<split>/`, for the splits development, validation
  and evaluation (Clotho v2.1, Zenodo record 4783391; Drossos, Lipping, Virtanen, ICASSP 2020). Without a validation
  split a seeded share of the development clips is held out instead; evaluation clips are never used for that.
- `captions.csv` (or the only CSV there is) with columns `file_name,caption_1..caption_N` and maybe `split`, beside
  audio files in `audio/`, `clips/` or the root itself.

`labels.csv` in the root, if present, has the sound labels of each clip (`split,file_name,kind,labels,source_id`).
"""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.audio import AudioError, load_audio
from data.decoding.errors import shown
from data.tables import DatasetError, FileIndex, Row, TableReport, read_rows, read_table, same_name

__all__ = ["SPLITS", "Clip", "DatasetError", "FileClip", "TableReport", "load_split", "load_table", "split_name"]

logger = logging.getLogger(__name__)

SPLITS = ("development", "validation", "evaluation")
LABELS_FILE = "labels.csv"

# Other names that tables in the field give to the three splits.
_ALIASES = {
    "dev": "development",
    "train": "development",
    "training": "development",
    "val": "validation",
    "valid": "validation",
    "eval": "evaluation",
    "test": "evaluation",
    "testing": "evaluation",
}


class Clip(Protocol):
    """A sound with its captions, from a file or mixed on demand."""

    @property
    def name(self) -> str:
        """Name of the clip in messages and tables."""

    @property
    def captions(self) -> tuple[str, ...]:
        """Reference captions, not normalised."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the sounds in the clip; empty if unknown."""

    @property
    def style(self) -> str:
        """Style of the captions; empty if unknown."""

    @property
    def identity(self) -> str:
        """Cache key, which changes when the sound may have changed."""

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Load the mono waveform (S,) float32 at `sample_rate` hertz, at most `max_duration_s` seconds long."""


@dataclass(frozen=True)
class FileClip:
    """A clip in a file of its own.

    Attributes:
        path: path of the audio file.
        captions: reference captions, as in the table.
        labels: labels of its sounds; empty if unknown.
        source_id: id of the original recording, which must not be in several splits; empty if unknown.
        style: style of the captions, the column `corpus` of a table; empty where unknown.
    """

    path: Path
    captions: tuple[str, ...]
    labels: tuple[str, ...] = ()
    source_id: str = ""
    style: str = ""

    @property
    def name(self) -> str:
        """File name without folder, in NFC, as compared with names in tables."""
        return same_name(self.path.name)

    @property
    def identity(self) -> str:
        """Resolved path, size in bytes and time of last change.

        Raises:
            AudioError: the file is gone.
        """
        try:
            resolved = self.path.resolve()
            status = resolved.stat()
        except OSError as error:
            raise AudioError(f"{shown(self.path)} cannot be opened: {error.strerror}.") from error
        # File names need not be valid Unicode on Linux, but a key that is hashed or printed must be.
        printable = str(resolved).encode("utf-8", "backslashreplace").decode("utf-8")
        return f"{printable}|{status.st_size}|{status.st_mtime_ns}"

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Read the waveform.

        Args:
            sample_rate: wanted rate in hertz.
            max_duration_s: seconds to read at most, from the start; None reads all.

        Returns:
            Mono float32 samples (S,).

        Raises:
            AudioError: the file is missing or is not audio.
        """
        return load_audio(self.path, sample_rate, max_duration_s=max_duration_s)


def load_split(
    dataset_root: str | Path,
    split: str,
    validation_share: float = 0.1,
    seed: int = 0,
    check: bool = True,
    report: TableReport | None = None,
) -> list[FileClip]:
    """Return the clips of one split, in the order of the table.

    Args:
        dataset_root: folder in one of the layouts that this module's docstring lists.
        split: "development", "validation" or "evaluation".
        validation_share: share of the development clips, 0 to 1, that "validation" gets (and "development" loses)
            where the layout has no validation split.
        seed: chooses which clips are held out; the same seed gives the same clips, whatever else the folder holds.
        check: whether clips without an audio file are looked for and left out; off saves a look at each file.
        report: filled with everything that was wrong; a warning with the counts is logged in any case.

    Returns:
        At least one clip.

    Raises:
        DatasetError: no such data set or split, a table with wrong columns, or no usable clip.
    """
    if split not in SPLITS:
        raise DatasetError(f"found split {split!r}, expected one of {', '.join(SPLITS)}.")
    if not 0 <= validation_share < 1:
        raise DatasetError(f"found validation_share {validation_share}, expected at least 0 and below 1.")
    root = Path(dataset_root)
    if not root.is_dir():
        raise DatasetError(
            f"no data set folder at {root}: give the path of one, or get Clotho there with "
            f"`python -m data.download clotho --output {root}`."
        )
    report = report if report is not None else TableReport()
    if any((root / f"clotho_captions_{name}.csv").is_file() for name in SPLITS):
        clips = _load_clotho(root, split, validation_share, seed, check, report)
    else:
        clips = _load_folder(root, split, validation_share, seed, check, report)
    _finish(clips, report)
    return clips


def load_table(
    csv_path: str | Path, audio_dir: str | Path, check: bool = True, report: TableReport | None = None
) -> list[FileClip]:
    """Return all clips of a table, regardless of their split.

    Args:
        csv_path: CSV with columns `file_name,caption_1..caption_N`; others are ignored.
        audio_dir: folder of the audio files that it names.
        check: as in `load_split`.
        report: as in `load_split`.

    Returns:
        At least one clip, in the table's order.

    Raises:
        DatasetError: no such table or folder, wrong columns, or no usable clip.
    """
    report = report if report is not None else TableReport()
    table = read_table(Path(csv_path), report)
    clips = _find_clips(table.rows, _audio_folder([Path(audio_dir)]), check, report)
    _finish(clips, report)
    return clips


def _load_clotho(root: Path, split: str, share: float, seed: int, check: bool, report: TableReport) -> list[FileClip]:
    has_validation = (root / "clotho_captions_validation.csv").is_file() or any(
        folder.is_dir() for folder in _clotho_folders(root, "validation")
    )
    stored = "development" if split == "validation" and not has_validation else split
    table_path = root / f"clotho_captions_{stored}.csv"
    if not table_path.is_file():
        there = sorted(path.name for path in root.glob("clotho_captions_*.csv"))
        raise DatasetError(
            f"{root} has {', '.join(there)} but not {table_path.name}: "
            f"`python -m data.download clotho --output {root}` gets what is missing."
        )
    folder = _audio_folder(_clotho_folders(root, stored))
    rows = read_table(table_path, report).rows
    labels = _read_labels(root)
    if not has_validation and split != "evaluation":
        rows = _hold_out(rows, split, share, seed, lambda row: _source_of(labels, stored, row))
    return _find_clips(rows, folder, check, report, lambda row: labels.get((stored, row.name)))


def _clotho_folders(root: Path, split: str) -> list[Path]:
    # The published archives hold a folder named after the split, which some unpack inside a folder of the seed's name.
    audio = root / f"clotho_audio_{split}"
    return [audio / split, audio, root / split]


def _load_folder(root: Path, split: str, share: float, seed: int, check: bool, report: TableReport) -> list[FileClip]:
    table = read_table(_only_table(root), report)
    folder = _audio_folder([root / "audio", root / "clips", root])
    labels = _read_labels(root)
    by_split: dict[str, list[Row]] = {name: [] for name in SPLITS}
    for row in table.rows:
        name = split_name(row.split) if table.has_split else "development"
        if name in by_split:
            by_split[name].append(row)
        else:
            report.add("unknown split", row.name, row.line)
    stored = "development" if split == "validation" and not by_split["validation"] else split
    if not by_split[stored]:
        raise DatasetError(
            f"{table.path} has no {stored} clips: expected a column `split` with {stored} in some rows"
            f" (rows without that column are all development clips)."
        )
    rows = by_split[stored]
    if not by_split["validation"] and split != "evaluation":
        rows = _hold_out(rows, split, share, seed, lambda row: _source_of(labels, stored, row))
    return _find_clips(rows, folder, check, report, lambda row: labels.get((stored, row.name)))


def _only_table(root: Path) -> Path:
    if (root / "captions.csv").is_file():
        return root / "captions.csv"
    tables = [path for path in sorted(root.glob("*.csv")) if path.name != LABELS_FILE]
    if len(tables) != 1:
        raise DatasetError(
            f"{root} has {len(tables)} caption tables: expected clotho_captions_development.csv or captions.csv;"
            f" `python -m data.download clotho --output {root}` gets Clotho."
        )
    return tables[0]


def _audio_folder(candidates: list[Path]) -> Path:
    for folder in candidates:
        if folder.is_dir():
            return folder
    names = " or ".join(str(folder) for folder in candidates)
    raise DatasetError(f"the table's audio folder is missing: expected {names}; unpack or link the audio files there.")


def split_name(cell: str) -> str:
    """Map names of splits in tables ("train", "dev", "test" ...) to SPLITS; other names are returned in lower case."""
    name = cell.strip().lower()
    return _ALIASES.get(name, name)


def _hold_out(rows: list[Row], split: str, share: float, seed: int, source_of: Callable[[Row], str]) -> list[Row]:
    """The development or the validation part of rows; clips cut from one recording stay together.

    Recordings are ranked by a hash of seed and name rather than shuffled, so that the choice does not depend on the
    table's order, the platform or the library, and hardly changes when a clip is added.
    """
    sources = {source_of(row) for row in rows}
    ranked = sorted(sources, key=lambda source: hashlib.sha256(f"{seed}/{source}".encode("utf-8", "replace")).digest())
    count = round(share * len(ranked))
    if share > 0 and len(ranked) > 1:
        count = min(max(count, 1), len(ranked) - 1)
    if split == "validation" and count == 0:
        raise DatasetError(
            f"found no validation split and a validation_share of {share} of {len(ranked)} development recordings:"
            f" raise data.validation_share or add a validation split."
        )
    held_out = set(ranked[:count])
    return [row for row in rows if (source_of(row) in held_out) == (split == "validation")]


@dataclass(frozen=True)
class _Labels:
    labels: tuple[str, ...]
    source_id: str


def _read_labels(root: Path) -> dict[tuple[str, str], _Labels]:
    """Labels and source of each (split, file name); empty where the data set has no labels.csv."""
    path = root / LABELS_FILE
    if not path.is_file():
        return {}
    report = TableReport()
    columns, records = read_rows(path, report)
    wanted = ("split", "file_name", "labels", "source_id")
    if missing := [name for name in wanted if name not in columns]:
        raise DatasetError(
            f"{path} has the columns {', '.join(columns)} but no {', '.join(missing)}: "
            f"expected split,file_name,kind,labels,source_id; add them or remove the file."
        )
    found = {}
    for _line, record in records:
        names = tuple(label.strip() for label in record["labels"].split(";") if label.strip())
        found[split_name(record["split"]), same_name(record["file_name"])] = _Labels(names, record["source_id"].strip())
    report.num_clips = len(found)
    if report.problems:
        logger.warning("%s", report.summary())
    return found


def _source_of(labels: dict[tuple[str, str], _Labels], split: str, row: Row) -> str:
    known = labels.get((split, row.name))
    return known.source_id if known and known.source_id else f"file/{row.name}"


def _find_clips(
    rows: Iterable[Row],
    folder: Path,
    check: bool,
    report: TableReport,
    labels_of: Callable[[Row], _Labels | None] = lambda row: None,
) -> list[FileClip]:
    index = FileIndex(folder)
    clips = []
    for row in rows:
        path = index.find(row.cell) if check else folder / row.cell.strip()
        if path is None or not _within(path, folder):
            report.add("missing file", row.name, row.line)
            continue
        if check:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                report.add("not a regular file", row.name, row.line)
                continue
            if status.st_size == 0:
                report.add("empty file", row.name, row.line)
                continue
        clip = FileClip(path, row.captions, style=row.style)
        if known := labels_of(row):
            clip = replace(clip, labels=known.labels, source_id=known.source_id)
        clips.append(clip)
    report.num_clips += len(clips)
    return clips


def _within(path: Path, folder: Path) -> bool:
    # Tables come from others: a name may lead into a subfolder, not out of the data set.
    inside = os.path.relpath(os.path.normpath(path), os.path.normpath(folder))
    return not inside.startswith(os.pardir)


def _finish(clips: list[FileClip], report: TableReport) -> None:
    if report.problems:
        logger.warning("%s", report.summary())
    if not clips:
        raise DatasetError(
            f"no usable clip: found {report.summary()}; expected rows with captions and audio files of those names,"
            f" so correct the table or the folder."
        )

"""Captioned clips from tables: Clotho's layouts, and folders with a CSV of file names and captions.

Layouts of a data set's root, tried in this order:

- `clotho_captions_<split>.csv` beside `clotho_audio_<split>/` or `<split>/`, for the splits development, validation
  and evaluation (Clotho v2.1, Zenodo record 4783391; Drossos, Lipping, Virtanen, ICASSP 2020). Without a validation
  split, a random part of the development clips is held out; evaluation clips are never used for validation.
- `captions.csv` (or the only CSV in the root) with the columns `file_name,caption_1..caption_N` and optionally `split`, and
  audio files in `audio/`, `clips/` or the root itself.

An optional `labels.csv` in the root contains the sound labels of each clip (`split,file_name,kind,labels,source_id`).
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

# Common aliases of the three splits.
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
    """Audio clip with captions, read from a file or computed on demand."""

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
        """Cache key, which differs if the audio may have changed."""

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Load the mono waveform (S,) float32 at `sample_rate` hertz, at most `max_duration_s` seconds long."""


@dataclass(frozen=True)
class FileClip:
    """Clip stored in an audio file.

    Attributes:
        path: path of the audio file.
        captions: reference captions, not normalised.
        labels: labels of the sounds in the clip; empty if unknown.
        source_id: id of the original recording, whose clips must be in the same split; empty if unknown.
        style: style of the captions, from the table's column `corpus`; empty if unknown.
    """

    path: Path
    captions: tuple[str, ...]
    labels: tuple[str, ...] = ()
    source_id: str = ""
    style: str = ""

    @property
    def name(self) -> str:
        """File name without folder, in Unicode normalisation form NFC."""
        return same_name(self.path.name)

    @property
    def identity(self) -> str:
        """Resolved path, size in bytes and modification time.

        Raises:
            AudioError: the file does not exist.
        """
        try:
            resolved = self.path.resolve()
            status = resolved.stat()
        except OSError as error:
            raise AudioError(f"{shown(self.path)} cannot be opened: {error.strerror}.") from error
        # File names on Linux may be invalid Unicode, whereas keys must be encodable for hashing and printing.
        printable = str(resolved).encode("utf-8", "backslashreplace").decode("utf-8")
        return f"{printable}|{status.st_size}|{status.st_mtime_ns}"

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Read the waveform.

        Args:
            sample_rate: sample rate of the result, in hertz.
            max_duration_s: maximum duration to read from the start, in seconds; None to read the whole file.

        Returns:
            Mono float32 samples (S,).

        Raises:
            AudioError: the file is missing or not an audio file.
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
    """Return the clips of a split, in the order of the table.

    Args:
        dataset_root: root folder of the data set, in a layout described in this module's docstring.
        split: "development", "validation" or "evaluation".
        validation_share: fraction of the development clips, 0 to 1, that are held out for validation if the data set has no
            validation split.
        seed: seed of the choice of held-out clips, which does not depend on other files in the folder.
        check: whether to omit clips without an audio file; False avoids one file system access per clip.
        report: report to which all problems are added; a warning with their counts is logged in any case.

    Returns:
        At least one clip.

    Raises:
        DatasetError: the data set or split is missing, a table has wrong columns, or no clip is usable.
    """
    if split not in SPLITS:
        raise DatasetError(f"found split {split!r}, expected one of {', '.join(SPLITS)}.")
    if not 0 <= validation_share < 1:
        raise DatasetError(f"found validation_share {validation_share}, expected at least 0 and below 1.")
    root = Path(dataset_root)
    if not root.is_dir():
        raise DatasetError(
            f"no data set folder at {root}: give the path of a data set, or download Clotho with `python -m data.download clotho "
            f"--output {root}`."
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
    """Return all clips of a table, of any split.

    Args:
        csv_path: CSV file with the columns `file_name,caption_1..caption_N`; other columns are ignored.
        audio_dir: folder of the audio files.
        check: as for `load_split`.
        report: as for `load_split`.

    Returns:
        At least one clip, in the order of the table.

    Raises:
        DatasetError: the table or folder is missing, columns are wrong, or no clip is usable.
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
            f"`python -m data.download clotho --output {root}` downloads the missing files."
        )
    folder = _audio_folder(_clotho_folders(root, stored))
    rows = read_table(table_path, report).rows
    labels = _read_labels(root)
    if not has_validation and split != "evaluation":
        rows = _hold_out(rows, split, share, seed, lambda row: _source_of(labels, stored, row))
    return _find_clips(rows, folder, check, report, lambda row: labels.get((stored, row.name)))


def _clotho_folders(root: Path, split: str) -> list[Path]:
    # The published archives contain a folder named after the split, which may have been extracted into another one of that name.
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
            " (rows without that column are all development clips)."
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
            f" `python -m data.download clotho --output {root}` downloads Clotho."
        )
    return tables[0]


def _audio_folder(candidates: list[Path]) -> Path:
    for folder in candidates:
        if folder.is_dir():
            return folder
    names = " or ".join(str(folder) for folder in candidates)
    raise DatasetError(f"the table's audio folder is missing: expected {names}; unpack or link the audio files there.")


def split_name(cell: str) -> str:
    """Map the name of a split in a table ("train", "dev", "test" ...) to a name in SPLITS; return other names in lower case."""
    name = cell.strip().lower()
    return _ALIASES.get(name, name)


def _hold_out(rows: list[Row], split: str, share: float, seed: int, source_of: Callable[[Row], str]) -> list[Row]:
    """Return the development or validation part of rows; all clips of a recording are in the same part.

    Recordings are ranked by a hash of seed and name rather than shuffled, so that the choice is independent of the table's
    order, the platform and library versions, and nearly unchanged when clips are added.
    """
    sources = {source_of(row) for row in rows}
    ranked = sorted(sources, key=lambda source: hashlib.sha256(f"{seed}/{source}".encode("utf-8", "replace")).digest())
    count = round(share * len(ranked))
    if share > 0 and len(ranked) > 1:
        count = min(max(count, 1), len(ranked) - 1)
    if split == "validation" and count == 0:
        raise DatasetError(
            f"found no validation split and a validation_share of {share} of {len(ranked)} development recordings:"
            " raise data.validation_share or add a validation split."
        )
    held_out = set(ranked[:count])
    return [row for row in rows if (source_of(row) in held_out) == (split == "validation")]


@dataclass(frozen=True)
class _Labels:
    labels: tuple[str, ...]
    source_id: str


def _read_labels(root: Path) -> dict[tuple[str, str], _Labels]:
    """Return the labels and source of each (split, file name); empty without a labels.csv."""
    path = root / LABELS_FILE
    if not path.is_file():
        return {}
    report = TableReport()
    columns, records = read_rows(path, report)
    wanted = ("split", "file_name", "labels", "source_id")
    if missing := [name for name in wanted if name not in columns]:
        raise DatasetError(
            f"{path} has the columns {', '.join(columns)} but no {', '.join(missing)}: "
            "expected split,file_name,kind,labels,source_id; add them or remove the file."
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
    # Tables are untrusted: a file name may refer to a subfolder, but not to a path outside the data set.
    inside = os.path.relpath(os.path.normpath(path), os.path.normpath(folder))
    return not inside.startswith(os.pardir)


def _finish(clips: list[FileClip], report: TableReport) -> None:
    if report.problems:
        logger.warning("%s", report.summary())
    if not clips:
        raise DatasetError(
            f"no usable clip: found {report.summary()}; expected rows with captions and audio files of those names,"
            " so correct the table or the folder."
        )

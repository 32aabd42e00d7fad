"""Captioned clips from tables: Clotho's own layouts, and any folder with a CSV of file names and captions.

Layouts of a data set's root, tried in this order:

- `clotho_captions_<split>.csv` beside `clotho_audio_<split>/` or `<split>/`, for the splits development, validation
  and evaluation (Clotho v2.1, Zenodo record 4783391; Drossos, Lipping, Virtanen, ICASSP 2020). Without a validation
  split a seeded share of the development clips is held out instead; evaluation clips are never used for that.
- `captions.csv` (or the only CSV there is) with columns `file_name,caption_1..caption_N` and maybe `split`, beside
  audio files in `audio/`, `clips/` or the root itself.

`labels.csv` in the root, if present, names what sounds in each clip (`split,file_name,kind,labels,source_id`).
"""

import csv
import hashlib
import io
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.audio import load_audio

__all__ = ["SPLITS", "Clip", "DatasetError", "FileClip", "TableReport", "load_split", "load_table"]

logger = logging.getLogger(__name__)

SPLITS = ("development", "validation", "evaluation")
LABELS_FILE = "labels.csv"
NAMES_SHOWN = 3

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


class DatasetError(ValueError):
    """A data set that cannot be used; the message says in one sentence what was found, expected and how to mend it."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a table.

    Attributes:
        kind: what is wrong, such as "missing file" or "duplicate name".
        name: file name of the clip, as in the table.
        line: line of the table, counted from 1.
    """

    kind: str
    name: str
    line: int


@dataclass
class TableReport:
    """Everything that was wrong with a table.

    Attributes:
        table: the table's path.
        num_rows: rows below the header.
        num_clips: clips that can be used.
        problems: one entry for each problem, in the order found.
    """

    table: Path | None = None
    num_rows: int = 0
    num_clips: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind."""
        return dict(Counter(problem.kind for problem in self.problems))

    def add(self, kind: str, name: str, line: int) -> None:
        """Note one problem."""
        self.problems.append(Problem(kind, name, line))

    def names(self, kind: str) -> list[str]:
        """File names that have a problem of this kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]

    def summary(self) -> str:
        """One line: how many clips can be used, and each kind of problem with its count and first names."""
        parts = []
        for kind, count in self.counts.items():
            shown = ", ".join(repr(name) for name in self.names(kind)[:NAMES_SHOWN])
            parts.append(f"{kind}: {count} ({shown}{', ...' if count > NAMES_SHOWN else ''})")
        problems = f"; {'; '.join(parts)}" if parts else ""
        return f"{self.table}: {self.num_rows} rows, {self.num_clips} usable clips{problems}"


class Clip(Protocol):
    """A sound with its captions, whether it lies in a file or is mixed when asked for."""

    @property
    def name(self) -> str:
        """What messages and tables call the clip."""

    @property
    def captions(self) -> tuple[str, ...]:
        """Reference captions as people wrote them."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of what sounds in the clip, where known."""

    @property
    def identity(self) -> str:
        """Key for caches, which changes whenever the sound may have changed."""

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Waveform (S,) float32, mono, at `sample_rate` hertz and at most `max_duration_s` seconds long."""


@dataclass(frozen=True)
class FileClip:
    """A clip in a file of its own.

    Attributes:
        path: the audio file.
        captions: reference captions, as written in the table.
        labels: names of what sounds in it; empty where unknown.
        source_id: the recording it was cut from, which must not be spread over splits; empty where unknown.
    """

    path: Path
    captions: tuple[str, ...]
    labels: tuple[str, ...] = ()
    source_id: str = ""

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name

    @property
    def identity(self) -> str:
        """Resolved path, size in bytes and time of last change.

        Raises:
            OSError: the file is gone.
        """
        resolved = self.path.resolve()
        status = resolved.stat()
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
    """The clips of one split, in the table's order.

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
    """Every clip of a table, whatever split it may name.

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
    table = _read_table(Path(csv_path), report)
    clips = _find_clips(table.rows, _audio_folder([Path(audio_dir)]), check, report)
    _finish(clips, report)
    return clips


def _load_clotho(
    root: Path, split: str, share: float, seed: int, check: bool, report: TableReport
) -> list[FileClip]:
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
    rows = _read_table(table_path, report).rows
    labels = _read_labels(root)
    if not has_validation and split != "evaluation":
        rows = _hold_out(rows, split, share, seed, lambda row: _source_of(labels, stored, row))
    return _find_clips(rows, folder, check, report, lambda row: labels.get((stored, row.name)))


def _clotho_folders(root: Path, split: str) -> list[Path]:
    # The published archives hold a folder named after the split, which some unpack inside a folder of the seed's name.
    audio = root / f"clotho_audio_{split}"
    return [audio / split, audio, root / split]


def _load_folder(
    root: Path, split: str, share: float, seed: int, check: bool, report: TableReport
) -> list[FileClip]:
    table = _read_table(_only_table(root), report)
    folder = _audio_folder([root / "audio", root / "clips", root])
    labels = _read_labels(root)
    by_split: dict[str, list[_Row]] = {name: [] for name in SPLITS}
    for row in table.rows:
        name = _split_name(row.split) if table.has_split else "development"
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


def _split_name(cell: str) -> str:
    name = cell.strip().lower()
    return _ALIASES.get(name, name)


def _hold_out(
    rows: list[_Row], split: str, share: float, seed: int, source_of: Callable[[_Row], str]
) -> list[_Row]:
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
    columns, records = _read_rows(path, TableReport())
    wanted = ("split", "file_name", "labels", "source_id")
    if missing := [name for name in wanted if name not in columns]:
        raise DatasetError(
            f"{path} has the columns {', '.join(columns)} but no {', '.join(missing)}: "
            f"expected split,file_name,kind,labels,source_id; add them or remove the file."
        )
    found = {}
    for _line, record in records:
        names = tuple(label.strip() for label in record["labels"].split(";") if label.strip())
        found[_split_name(record["split"]), record["file_name"].strip()] = _Labels(names, record["source_id"].strip())
    return found


def _source_of(labels: dict[tuple[str, str], _Labels], split: str, row: _Row) -> str:
    known = labels.get((split, row.name))
    return known.source_id if known and known.source_id else f"file/{row.name}"


def _find_clips(
    rows: Iterable[_Row],
    folder: Path,
    check: bool,
    report: TableReport,
    labels_of: Callable[[_Row], _Labels | None] = lambda row: None,
) -> list[FileClip]:
    index = _FileIndex(folder)
    clips = []
    for row in rows:
        path = index.find(row.cell) if check else folder / row.name
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
        clip = FileClip(path, row.captions)
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


@dataclass(frozen=True)
class _Row:
    """One clip of a table.

    Attributes:
        cell: file name exactly as it stands in the table.
        name: the same without spaces around it.
        captions: captions that are not empty, at least one.
        split: what the column `split` says; empty without that column.
        line: line of the table, counted from 1.
    """

    cell: str
    name: str
    captions: tuple[str, ...]
    split: str
    line: int


@dataclass(frozen=True)
class _Table:
    """The usable rows of a table, each file name once."""

    path: Path
    rows: list[_Row]
    has_split: bool


def _read_table(path: Path, report: TableReport) -> _Table:
    """Read a table with columns `file_name,caption_1..caption_N`, `split` if it has one, and any others.

    Args:
        path: the CSV file.
        report: gets the table's problems: rows without a name or captions, single empty captions, names given twice
            (the first one stays), rows of too many cells, lines that are not UTF-8 (read as Latin-1).

    Raises:
        DatasetError: the file is missing or unreadable, or lacks `file_name` or every caption column.
    """
    columns, records = _read_rows(path, report)
    caption_columns = sorted((name for name in columns if re.fullmatch(r"caption_\d+", name)), key=lambda n: int(n[8:]))
    if "file_name" not in columns or not caption_columns:
        raise DatasetError(
            f"{path} has the columns {', '.join(map(repr, columns))[:200]} but needs file_name and caption_1"
            f" (to caption_N): rename them in the table's first line."
        )
    rows: dict[str, _Row] = {}
    for line, record in records:
        cell = record["file_name"]
        name = cell.strip()
        captions = tuple(caption for column in caption_columns if (caption := record[column].strip()))
        if not name:
            report.add("no file name", captions[0] if captions else "", line)
        elif name in rows:
            report.add("duplicate name", name, line)
        elif not captions:
            report.add("no captions", name, line)
        else:
            if len(captions) < len(caption_columns):
                report.add("empty caption", name, line)
            if name != cell:
                report.add("spaces around name", name, line)
            rows[name] = _Row(cell, name, captions, record.get("split", ""), line)
    return _Table(path, list(rows.values()), "split" in columns)


def _read_rows(path: Path, report: TableReport) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names (lower case, trimmed) of a CSV file, and its rows with their line numbers.

    Rows with fewer cells than columns are filled with empty ones; rows with more are reported and left out, since a
    comma without quotation marks has shifted what stands where.

    Raises:
        DatasetError: the file is missing, empty, or not CSV, or names a column twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"the table {path} cannot be read ({error.strerror}): give the path of a CSV file.") from error
    report.table = path
    text, latin_lines = _decode(content)
    reader = csv.reader(io.StringIO(text, newline=""))
    records: list[tuple[int, dict[str, str]]] = []
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if not columns or len(set(columns)) < len(columns):
            raise DatasetError(
                f"{path} has the first line {','.join(columns)[:200]!r}: expected column names, each once,"
                f" such as file_name,caption_1,caption_2."
            )
        start = reader.line_num + 1
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            report.num_rows += 1
            record = dict(zip(columns, cells + [""] * len(columns), strict=False))
            name = record.get("file_name", "").strip()
            if any(number in latin_lines for number in range(line, reader.line_num + 1)):
                report.add("not UTF-8", name, line)
            if any(cell.strip() for cell in cells[len(columns) :]):
                report.add("too many cells", name, line)
                continue
            records.append((line, record))
    except csv.Error as error:
        raise DatasetError(f"{path} is not a CSV table ({error}, line {reader.line_num}): save it as CSV.") from error
    return columns, records


def _decode(content: bytes) -> tuple[str, set[int]]:
    """Text of a table, and the numbers of the lines that were read as Latin-1.

    Line by line, because one line pasted from an old file does not make the others Latin-1.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), set()
    lines, latin_lines = [], set()
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1"))
            latin_lines.add(number)
    return "\n".join(lines), latin_lines


class _FileIndex:
    """Finds a table's files in a folder although archives and systems may have changed their names.

    Windows cannot hold some characters of Clotho's names and unpackers put `_` there; macOS stores accents apart from
    their letters; tables carry spaces that names have not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._by_key: dict[str, list[Path]] | None = None

    def find(self, cell: str) -> Path | None:
        """Path of the file that a table's cell names, or None when there is none, or no single one."""
        for name in (cell, cell.strip()):
            try:
                if (path := self._folder / name).is_file():
                    return path
                if path.exists() and name:
                    return path
            except (OSError, ValueError):  # too long for a name, or a NUL in it
                continue
        if self._by_key is None:
            self._by_key = {}
            for path in sorted(self._folder.iterdir()):
                self._by_key.setdefault(_key(path.name), []).append(path)
        found = self._by_key.get(_key(cell), [])
        return found[0] if len(found) == 1 else None


def _key(name: str) -> str:
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", unicodedata.normalize("NFC", name)).strip(" .")

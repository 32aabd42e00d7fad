"""Caption tables as people really write them: BOM, CRLF, Latin-1 bytes, stray spaces, duplicates, empty cells."""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NAMES_SHOWN = 3


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


@dataclass(frozen=True)
class Row:
    """One clip of a table.

    Attributes:
        cell: file name exactly as it stands in the table.
        name: the same without spaces around it.
        captions: captions that are not empty, at least one.
        split: what the column `split` says; empty without that column.
        style: what the column `corpus` says, in lower case; empty without it.
        line: line of the table, counted from 1.
    """

    cell: str
    name: str
    captions: tuple[str, ...]
    split: str
    line: int
    style: str = ""


@dataclass(frozen=True)
class Table:
    """The usable rows of a table, each file name once."""

    path: Path
    rows: list[Row]
    has_split: bool


def read_table(path: Path, report: TableReport) -> Table:
    """Read a table with columns `file_name,caption_1..caption_N`, `split` if it has one, and any others.

    Args:
        path: the CSV file.
        report: gets the table's problems: rows without a name or captions, single empty captions, names given twice
            (the first one stays), rows of too many cells, lines that are not UTF-8 (read as Latin-1).

    Raises:
        DatasetError: the file is missing or unreadable, or lacks `file_name` or every caption column.
    """
    columns, records = read_rows(path, report)
    caption_columns = sorted((name for name in columns if re.fullmatch(r"caption_\d+", name)), key=lambda n: int(n[8:]))
    if "file_name" not in columns or not caption_columns:
        raise DatasetError(
            f"{path} has the columns {', '.join(map(repr, columns))[:200]} but needs file_name and caption_1"
            f" (to caption_N): rename them in the table's first line."
        )
    rows: dict[str, Row] = {}
    for line, record in records:
        cell = record["file_name"]
        name = cell.strip()
        captions = tuple(caption for column in caption_columns if (caption := record[column].strip()))
        if not name:
            report.add("no file name", captions[0] if captions else "", line)
        elif is_usable(name, captions, len(caption_columns), rows, report, line):
            if name != cell:
                report.add("spaces around name", name, line)
            rows[name] = Row(
                cell, name, captions, record.get("split", ""), line, record.get("corpus", "").strip().lower()
            )
    return Table(path, list(rows.values()), "split" in columns)


def is_usable(
    name: str, captions: Sequence[str], num_cells: int, known: Container[str], report: TableReport, line: int
) -> bool:
    """Whether a row may be taken; what is wrong with it, or with some of its captions, is reported.

    Args:
        name: of its file, trimmed.
        captions: those that are not empty.
        num_cells: how many it has room for.
        known: names of the rows before it.
        report: gets the problems.
        line: where it stands.
    """
    if name in known:
        report.add("duplicate name", name, line)
        return False
    if not captions:
        report.add("no captions", name, line)
        return False
    if len(captions) < num_cells:
        report.add("empty caption", name, line)
    return True


def read_rows(path: Path, report: TableReport) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names (lower case, trimmed) of a CSV file, and its rows with their line numbers.

    Rows with fewer cells than columns are filled with empty ones; rows with more are reported and left out, since a
    comma without quotation marks has shifted what stands where.

    Raises:
        DatasetError: the file is missing, empty, or not CSV, or names a column twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"the table {path} cannot be read ({error.strerror}): give the path of a CSV file."
        ) from error
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


class FileIndex:
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


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)

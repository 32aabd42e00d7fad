"""Caption tables with common irregularities: BOM, CRLF, Latin-1 bytes, stray spaces, duplicates, empty cells, semicolons.

File names are compared in Unicode's composed form (NFC): macOS stores an accent apart from its letter, tables seldom do.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from configs.atomic_files import write_file
from data.recognition import AUDIO_SUFFIXES

NAMES_SHOWN = 3
SEPARATORS = (",", ";", "\t", "|")
LONG_CAPTION_WORDS = (
    60  # more than any caption of Clotho or AudioCaps has; what a lost line break or quotation mark makes
)
MAX_TABLE_BYTES = 1 << 29  # a hundred times WavCaps' captions; a device would never end
# Byte order marks; that of UTF-32 in little order begins with that of UTF-16.
ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # zero-width characters, which copying from web pages leaves


class DatasetError(ValueError):
    """A data set cannot be used; the message is one sentence: found, expected and remedy."""


def same_name(name: str) -> str:
    """Return a file name normalised for comparison: without surrounding space and zero-width characters, in NFC."""
    return unicodedata.normalize("NFC", name.strip().strip(_INVISIBLE).strip())


def has_words(caption: str) -> bool:
    """Return whether a caption has words; "..." has none."""
    return any(map(str.isalnum, caption))


@dataclass(frozen=True)
class Problem:
    """A problem of a table.

    Attributes:
        kind: kind of problem, such as "missing file" or "duplicate name".
        name: file name of the clip, as in the table.
        line: line of the table, counted from 1.
    """

    kind: str
    name: str
    line: int


@dataclass
class TableReport:
    """All problems of a table.

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
        """Add a problem."""
        self.problems.append(Problem(kind, name, line))

    def names(self, kind: str) -> list[str]:
        """File names that have a problem of this kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]

    def summary(self) -> str:
        """One line: how many clips can be used, and each kind of problem with its count and first names."""
        parts = []
        for kind, count in self.counts.items():
            parts.append(f"{kind}: {listed(self.names(kind), count)}")
        problems = f"; {'; '.join(parts)}" if parts else ""
        return f"{self.table}: {self.num_rows} rows, {self.num_clips} usable clips{problems}"


def listed(names: Sequence[str], count: int | None = None) -> str:
    """How many names there are, and the first ones, shortened to what any file's name may have."""
    count = len(names) if count is None else count
    shown = ", ".join(repr(name if len(name) < 256 else f"{name[:60]}...") for name in names[:NAMES_SHOWN])
    return f"{count} ({shown}{', ...' if count > NAMES_SHOWN else ''})"


@dataclass(frozen=True)
class Row:
    """One clip of a table.

    Attributes:
        cell: file name exactly as it stands in the table.
        name: the same without spaces around it, in NFC.
        captions: captions that have words, at least one.
        split: value of the column `split`; empty without that column.
        style: value of the column `corpus` in lower case; empty without that column.
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
        report: gets the table's problems: rows without a name or captions, single captions that are empty or have no words (left
            out) or are very long (kept), names given twice (the first one stays), rows of too many cells, lines that are not
            UTF-8 (read as Latin-1).

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
        name = same_name(cell)
        texts = [caption for column in caption_columns if (caption := record[column].strip())]
        captions = tuple(caption for caption in texts if has_words(caption))
        if not name:
            report.add("no file name", captions[0] if captions else "", line)
        elif is_usable(name, texts, len(caption_columns), rows, report, line):
            if cell != cell.strip():
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
        name: file name of the clip, trimmed.
        captions: those that are not empty; some may have no words.
        num_cells: number of caption columns.
        known: names of the rows before it.
        report: report to which problems are added.
        line: line of the table, counted from 1.
    """
    if name in known:
        report.add("duplicate name", name, line)
        return False
    if not any(map(has_words, captions)):
        report.add("captions without words" if captions else "no captions", name, line)
        return False
    if len(captions) < num_cells:
        report.add("empty caption", name, line)
    note_odd_captions(name, captions, report, line)
    return True


def note_odd_captions(name: str, captions: Sequence[str], report: TableReport, line: int) -> None:
    """Report captions that have no words, and those that have far more than a caption has."""
    for caption in captions:
        if not has_words(caption):
            report.add("caption without words", name, line)
        elif len(caption.split()) > LONG_CAPTION_WORDS:
            report.add(f"caption of more than {LONG_CAPTION_WORDS} words", name, line)


def read_rows(path: Path, report: TableReport) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Column names (lower case, trimmed) of a CSV file, and its rows with their line numbers.

    Commas, semicolons, tabs and vertical bars separate cells, whichever the first line has most of, or what an Excel line
    `sep=;` before it says. Rows with fewer cells than columns are filled with empty ones; rows with more are reported and left
    out, since a separator without quotation marks has shifted what stands where.

    Raises:
        DatasetError: the file is missing, empty, or not CSV, names a column twice, or has a quotation mark that is never closed.
    """
    report.table = path
    text, latin_lines = _decode(_content(path))
    lines = re.split("(?<=\n)|(?<=\r)(?!\n)", text)  # as the reader counts them
    separator, skipped = _separator(lines)
    reader = csv.reader(lines[skipped:], delimiter=separator)
    records: list[tuple[int, dict[str, str]]] = []
    start = skipped + 1
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_quotes(path, lines[skipped : skipped + reader.line_num], start, separator, [])
        if not any(columns) or len(set(columns)) < len(columns):
            raise DatasetError(
                f"{path} has the first line {separator.join(columns)[:200]!r}: expected column names, each once,"
                f" such as file_name,caption_1,caption_2."
            )
        start = skipped + reader.line_num + 1
        for cells in reader:
            line, start = start, skipped + reader.line_num + 1
            _check_quotes(path, lines[line - 1 : start - 1], line, separator, columns)
            if not any(cell.strip() for cell in cells):
                continue
            report.num_rows += 1
            record = dict(zip(columns, cells + [""] * len(columns), strict=False))
            name = record.get("file_name", "").strip()
            if any(number in latin_lines for number in range(line, start)):
                report.add("not UTF-8", name, line)
            if any(cell.strip() for cell in cells[len(columns) :]):
                report.add("too many cells", name, line)
                continue
            records.append((line, record))
    except csv.Error as error:
        if skipped + reader.line_num > start:  # a cell larger than the reader takes, lines long
            raise _unclosed(path, start) from error
        raise DatasetError(
            f"{path} is not a CSV table ({error}, line {skipped + reader.line_num}): save it as CSV."
        ) from error
    return columns, records


def _content(path: Path) -> bytes:
    try:
        content = table_bytes(path)
    except OSError as error:
        raise DatasetError(
            f"the table {path} cannot be read ({error.strerror}): give the path of a CSV file."
        ) from error
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DatasetError(f"{path} is a spreadsheet's or an archive's own file, not text: save the table as CSV.")
    if b"\0" in content and not content.startswith(tuple(ENCODINGS)):
        raise DatasetError(f"{path} has zero bytes, so it is not text in UTF-8: save the table as CSV in UTF-8.")
    return content


def table_bytes(path: Path) -> bytes:
    """Return all bytes of a table.

    Raises:
        OSError: it cannot be read.
        DatasetError: it has more than MAX_TABLE_BYTES, or does not end.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TABLE_BYTES + 1)
    if len(content) > MAX_TABLE_BYTES:
        raise DatasetError(
            f"{path} has more than {MAX_TABLE_BYTES:,} bytes: expected a table of captions; cut it into parts."
        )
    return content


def _separator(lines: Sequence[str]) -> tuple[str, int]:
    """Return a table's separator, and the number of lines before its column names: 1 with an Excel line `sep=`, else 0."""
    match = re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\r\n "), re.IGNORECASE)
    if match:
        return match[1], 1
    if lines[0].strip("\r\n ").lower() in ("sep=", '"sep="'):  # a tab, trimmed away
        return "\t", 1
    first = next((line for line in lines if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: _num_cells(first, separator)), 0


def _num_cells(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:  # a cell larger than the reader takes
        return 0


def _check_quotes(path: Path, lines: Sequence[str], start: int, separator: str, columns: Sequence[str]) -> None:
    """Refuse a record whose quotation mark is never closed, or closed by another row's, so that rows are inside its cell.

    Args:
        path: the table.
        lines: the record's.
        start: number of the first of them.
        separator: between cells.
        columns: the table's column names; empty for the record that holds them, which may have line breaks in a name.
    """
    if len(lines) == 1 and '"' not in lines[0]:
        return
    try:
        cells = next(csv.reader(lines, delimiter=separator, strict=True), [])
    except csv.Error as error:
        if len(lines) == 1 and "expected after" in str(error):
            return  # "Help" shouts a man: no row is lost, so it is read as it stands
        cells = next(csv.reader(lines, delimiter=separator), [])
        raise _unclosed(path, max([start, *(line for line, inside in _by_lines(cells, start) if inside)])) from error
    for place, (line, inside) in enumerate(_by_lines(cells, start)):
        rows = [*((text, len(columns)) for text in inside[:-1]), *((text, place + 1) for text in inside[-1:])]
        if any(_looks_like_row(text, separator, columns, num_cells) for text, num_cells in rows):
            raise _unclosed(path, line)


def _by_lines(cells: Sequence[str], start: int) -> list[tuple[int, list[str]]]:
    """Line at which each cell of a record begins, and the cell's lines after its first."""
    found = []
    for cell in cells:
        _, *inside = re.split(r"\r\n|\n|\r", cell)
        found.append((start, inside))
        start += len(inside)
    return found


def _looks_like_row(text: str, separator: str, columns: Sequence[str], num_cells: int) -> bool:
    """Whether a line inside a cell is a row of the table, or the beginning of one that has `num_cells` cells."""
    cells = next(csv.reader([text], delimiter=separator), [])
    if len(cells) < 2:
        return False
    place = columns.index("file_name") if "file_name" in columns else len(cells)
    if place < len(cells) and cells[place].strip().lower().endswith(tuple(AUDIO_SUFFIXES)):
        return True
    return len(cells) == num_cells and not any(cell.startswith(" ") for cell in cells[1:])


def _unclosed(path: Path, line: int) -> DatasetError:
    return DatasetError(
        f"{path} has a quotation mark in line {line} that is not closed in its cell, so that it takes the rows after it for a"
        f" part of its text: close it, or write it twice where it belongs to the text."
    )


def _decode(content: bytes) -> tuple[str, set[int]]:
    """Text of a table, and the numbers of the lines that were read as Latin-1.

    Line by line, because one line pasted from an old file does not make the others Latin-1.
    """
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace"), set()
    content = content.removesuffix(b"\x1a")  # the end of a file of DOS
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
        self._by_key: dict[Path, dict[str, list[Path]]] = {}

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
        if found := self._alike(self._folder, cell):
            return found
        folder: Path | None = self._folder  # a name in a folder: each part by itself
        for part in PurePosixPath(cell.strip()).parts:
            if part == ".." or folder is None or not folder.is_dir():
                return None
            folder = self._alike(folder, part)
        return folder

    def _alike(self, folder: Path, name: str) -> Path | None:
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
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", unicodedata.normalize("NFC", name)).strip(" .")


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A CSV table of a header and rows."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file, whole or not at all."""
    write_file(path, csv_text(columns, rows))

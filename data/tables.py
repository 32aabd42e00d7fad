"""Reading of caption tables with irregularities such as BOM, CRLF, Latin-1 bytes, spaces, duplicates and empty cells.

File names are compared in Unicode normalization form C (NFC), since macOS stores decomposed characters and most tables
contain composed ones.
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

NAMES_SHOWN = 3  # names per kind of problem in a summary
SEPARATORS = (",", ";", "\t", "|")
# Longer than all captions of Clotho and AudioCaps; typical of a missing line break or quotation mark.
LONG_CAPTION_WORDS = 60
MAX_TABLE_BYTES = 1 << 29  # a hundred times the size of WavCaps; prevents endless reading from a device
# Byte order marks; UTF-32 comes first because its little-endian mark begins with that of UTF-16.
ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # zero-width characters, common in text copied from web pages


class DatasetError(ValueError):
    """Raised if a data set cannot be used; the message is one sentence with the problem, the expectation and the remedy."""


def same_name(name: str) -> str:
    """Return a file name in NFC without surrounding spaces and zero-width characters, for comparison."""
    return unicodedata.normalize("NFC", name.strip().strip(_INVISIBLE).strip())


def has_words(caption: str) -> bool:
    """Return whether a caption contains a letter or digit."""
    return any(map(str.isalnum, caption))


@dataclass(frozen=True)
class Problem:
    """Problem of a table.

    Attributes:
        kind: Kind of problem, such as "missing file" or "duplicate name".
        name: File name of the clip, or other text that identifies the row.
        line: Line of the table, counted from 1.
    """

    kind: str
    name: str
    line: int


@dataclass
class TableReport:
    """All problems of a table.

    Attributes:
        table: Path of the table; None before it is read. Default: None.
        num_rows: Number of rows, without the header and empty rows. Default: 0.
        num_clips: Number of usable clips. Default: 0.
        problems: Problems in the order found. Default: empty.
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
        """Return the file names with problems of one kind."""
        return [problem.name for problem in self.problems if problem.kind == kind]

    def summary(self) -> str:
        """Return one line with the number of usable clips, and the count and first names of each kind of problem."""
        parts = []
        for kind, count in self.counts.items():
            parts.append(f"{kind}: {listed(self.names(kind), count)}")
        problems = f"; {'; '.join(parts)}" if parts else ""
        return f"{self.table}: {self.num_rows} rows, {self.num_clips} usable clips{problems}"


def listed(names: Sequence[str], count: int | None = None) -> str:
    """Format names for a message.

    Args:
        names: File names; at most NAMES_SHOWN are shown, and names of 256 characters or more are shortened to 60.
        count: Number to show; None for the number of names. Default: None.

    Returns:
        The count, followed by the first names in parentheses.
    """
    count = len(names) if count is None else count
    shown = ", ".join(repr(name if len(name) < 256 else f"{name[:60]}...") for name in names[:NAMES_SHOWN])
    return f"{count} ({shown}{', ...' if count > NAMES_SHOWN else ''})"


@dataclass(frozen=True)
class Row:
    """One clip of a table.

    Attributes:
        cell: File name as written in the table.
        name: File name normalized by `same_name`.
        captions: Captions that contain words, at least one.
        split: Value of the column `split`; empty if the table has no such column.
        line: Line of the table, counted from 1.
        style: Value of the column `corpus` in lower case; empty if the table has no such column. Default: "".
    """

    cell: str
    name: str
    captions: tuple[str, ...]
    split: str
    line: int
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Usable rows of a table.

    Attributes:
        path: Path of the table.
        rows: Rows with distinct file names.
        has_split: True if the table has the column `split`.
    """

    path: Path
    rows: list[Row]
    has_split: bool


def read_table(path: Path, report: TableReport) -> Table:
    """Read a table with the columns `file_name` and `caption_1` to `caption_N`, and optionally `split` and `corpus`.

    Args:
        path: The CSV file.
        report: Report to which problems are added: rows without a name or captions (skipped), captions that are empty or
            have no words (skipped), captions of more than LONG_CAPTION_WORDS words (kept), duplicate names (the first row is
            kept), rows with too many cells (skipped), and lines that are not UTF-8 (decoded as Latin-1).

    Returns:
        The usable rows.

    Raises:
        DatasetError: If the file is not a readable CSV table, or has no column `file_name` or no caption column.
    """
    columns, records = read_rows(path, report)
    caption_columns = sorted((name for name in columns if re.fullmatch(r"caption_\d+", name)), key=lambda n: int(n[8:]))
    if "file_name" not in columns or not caption_columns:
        raise DatasetError(
            f"{path} has the columns {', '.join(map(repr, columns))[:200]} but needs file_name and caption_1"
            " (to caption_N): rename them in the table's first line."
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
    """Return whether a row is usable, and report problems of the row and of its captions.

    Args:
        name: File name of the clip, normalized by `same_name`.
        captions: Captions that are not empty, with or without words.
        num_cells: Number of caption columns.
        known: Names of the preceding rows.
        report: Report to which problems are added.
        line: Line of the table, counted from 1.

    Returns:
        True if the name is new and at least one caption has words.
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
    """Report captions without words, and captions of more than LONG_CAPTION_WORDS words.

    Args:
        name: File name of the clip.
        captions: Captions that are not empty.
        report: Report to which problems are added.
        line: Line of the table, counted from 1.
    """
    for caption in captions:
        if not has_words(caption):
            report.add("caption without words", name, line)
        elif len(caption.split()) > LONG_CAPTION_WORDS:
            report.add(f"caption of more than {LONG_CAPTION_WORDS} words", name, line)


def read_rows(path: Path, report: TableReport) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a CSV file.

    The separator is the character in SEPARATORS that is most frequent in the first line, or the one in a preceding line
    such as `sep=;` (Excel). Rows with fewer cells than columns are padded with empty cells; rows with more cells are reported
    and skipped, since a separator in an unquoted cell has shifted their content.

    Args:
        path: The CSV file.
        report: Report to which problems are added; its `table` and `num_rows` are updated.

    Returns:
        Column names in lower case without surrounding spaces, and for each row its line number, counted from 1, and its
        cells by column name.

    Raises:
        DatasetError: If the file is missing, empty or not CSV, has duplicate column names, or has an unclosed quotation mark.
    """
    report.table = path
    text, latin_lines = _decode(_content(path))
    lines = re.split("(?<=\n)|(?<=\r)(?!\n)", text)  # line breaks as counted by csv.reader
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
                " such as file_name,caption_1,caption_2."
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
        if skipped + reader.line_num > start:  # a cell over several lines that exceeds the size limit of csv
            raise _unclosed(path, start) from error
        raise DatasetError(
            f"{path} is not a CSV table ({error}, line {skipped + reader.line_num}): save it as CSV."
        ) from error
    return columns, records


def _content(path: Path) -> bytes:
    """Return the content of a table; raise a DatasetError if it cannot be read, or is not text."""
    try:
        content = table_bytes(path)
    except OSError as error:
        raise DatasetError(
            f"the table {path} cannot be read ({error.strerror}): give the path of a CSV file."
        ) from error
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DatasetError(f"{path} is a spreadsheet or an archive, not text: save the table as CSV.")
    if b"\0" in content and not content.startswith(tuple(ENCODINGS)):
        raise DatasetError(f"{path} has zero bytes, so it is not text in UTF-8: save the table as CSV in UTF-8.")
    return content


def table_bytes(path: Path) -> bytes:
    """Return the content of a table.

    Args:
        path: Path of the table.

    Raises:
        OSError: If the file cannot be read.
        DatasetError: If the file has more than MAX_TABLE_BYTES bytes.
    """
    with path.open("rb") as file:
        content = file.read(MAX_TABLE_BYTES + 1)
    if len(content) > MAX_TABLE_BYTES:
        raise DatasetError(
            f"{path} has more than {MAX_TABLE_BYTES:,} bytes: expected a table of captions; cut it into parts."
        )
    return content


def _separator(lines: Sequence[str]) -> tuple[str, int]:
    """Return the separator of a table, and the number of lines before the header: 1 after a line `sep=` (Excel), else 0."""
    match = re.fullmatch(r'"?sep=(.)"?', lines[0].strip("\r\n "), re.IGNORECASE)
    if match:
        return match[1], 1
    if lines[0].strip("\r\n ").lower() in ("sep=", '"sep="'):  # the separator is a tab, removed by strip
        return "\t", 1
    first = next((line for line in lines if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: _num_cells(first, separator)), 0


def _num_cells(line: str, separator: str) -> int:
    """Return the number of cells of a line; 0 if it cannot be parsed."""
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:  # a cell exceeds the size limit of csv
        return 0


def _check_quotes(path: Path, lines: Sequence[str], start: int, separator: str, columns: Sequence[str]) -> None:
    """Check that no cell of a record contains other rows because of an unclosed quotation mark.

    Args:
        path: Path of the table, for the message.
        lines: Lines of the record.
        start: Line number of the first line, counted from 1.
        separator: Separator of the cells.
        columns: Column names of the table; empty if the record is the header, whose names can contain line breaks.

    Raises:
        DatasetError: If a quotation mark is not closed, or is closed by the quotation mark of another row.
    """
    if len(lines) == 1 and '"' not in lines[0]:
        return
    try:
        cells = next(csv.reader(lines, delimiter=separator, strict=True), [])
    except csv.Error as error:
        if len(lines) == 1 and "expected after" in str(error):
            return  # quotation marks within text, as in "Help" shouts a man: no row is lost
        cells = next(csv.reader(lines, delimiter=separator), [])
        raise _unclosed(path, max([start, *(line for line, inside in _by_lines(cells, start) if inside)])) from error
    for place, (line, inside) in enumerate(_by_lines(cells, start)):
        rows = [*((text, len(columns)) for text in inside[:-1]), *((text, place + 1) for text in inside[-1:])]
        if any(_looks_like_row(text, separator, columns, num_cells) for text, num_cells in rows):
            raise _unclosed(path, line)


def _by_lines(cells: Sequence[str], start: int) -> list[tuple[int, list[str]]]:
    """Return, for each cell of a record, the number of its first line, and the text of its further lines."""
    found = []
    for cell in cells:
        _, *inside = re.split(r"\r\n|\n|\r", cell)
        found.append((start, inside))
        start += len(inside)
    return found


def _looks_like_row(text: str, separator: str, columns: Sequence[str], num_cells: int) -> bool:
    """Return whether a line within a cell is a row of the table, or the first `num_cells` cells of a row."""
    cells = next(csv.reader([text], delimiter=separator), [])
    if len(cells) < 2:
        return False
    place = columns.index("file_name") if "file_name" in columns else len(cells)
    if place < len(cells) and cells[place].strip().lower().endswith(tuple(AUDIO_SUFFIXES)):
        return True
    return len(cells) == num_cells and not any(cell.startswith(" ") for cell in cells[1:])


def _unclosed(path: Path, line: int) -> DatasetError:
    """Return the error for an unclosed quotation mark."""
    return DatasetError(
        f"{path} has a quotation mark in line {line} that is not closed, so that the following rows become part of its cell: "
        "close it, or double it if it is part of the text."
    )


def _decode(content: bytes) -> tuple[str, set[int]]:
    """Decode a table line by line, as UTF-8 or else Latin-1; as UTF-16 or UTF-32 if it has their byte order mark.

    Returns:
        The text, and the numbers of the lines decoded as Latin-1, counted from 1.
    """
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace"), set()
    content = content.removesuffix(b"\x1a")  # end-of-file character of DOS
    lines, latin_lines = [], set()
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("latin-1"))
            latin_lines.add(number)
    return "\n".join(lines), latin_lines


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


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a CSV table with a header and rows as text."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file atomically.

    Args:
        path: Path of the file; an existing file is replaced.
        columns: Column names.
        rows: Cells of each row, in the order of the columns.
    """
    write_file(path, csv_text(columns, rows))

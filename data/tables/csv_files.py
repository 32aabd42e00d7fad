"""Reading and writing of CSV files, with any separator, encoding and line ends."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from configs.atomic_files import write_file
from data.recognition import AUDIO_SUFFIXES
from data.tables.report import DatasetError, TableReport

SEPARATORS = (",", ";", "\t", "|")
MAX_TABLE_BYTES = 1 << 29  # a hundred times the size of WavCaps; prevents endless reading from a device
# Byte order marks; UTF-32 comes first because its little-endian mark begins with that of UTF-16.
ENCODINGS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
_ESCAPED_MARK = re.compile(r'\\"\w')  # as other programs write a quotation mark within a cell
_FOREIGN = {
    (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"): "a spreadsheet or an archive",
    (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"): "compressed",
    (b"PAR1",): "Parquet",
}


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
    lines, problems = _decode(_content(path))
    separator, skipped = _separator(lines)
    reader = csv.reader(lines[skipped:], delimiter=separator)
    records: list[tuple[int, dict[str, str]]] = []
    start = skipped + 1
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_quotes(path, lines[skipped : skipped + reader.line_num], start, separator, [])
        named = [name for name in columns if name]  # a spreadsheet adds columns without a name
        if not named or len(set(named)) < len(named):
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
            for problem in dict.fromkeys(problems[number] for number in range(line, start) if number in problems):
                report.add(problem, name, line)
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
    for marks, kind in _FOREIGN.items():
        if content.startswith(marks):
            raise DatasetError(f"{path} is {kind}, not text: save the table as CSV.")
    if b"\0" in content and wide_encoding(content) is None:
        raise DatasetError(f"{path} has zero bytes, so it is not text in UTF-8: save the table as CSV in UTF-8.")
    return content


def wide_encoding(content: bytes) -> str | None:
    """Return the encoding of text in UTF-16 or UTF-32; None for other content.

    It is recognised by its byte order mark, or, for UTF-16 without one, by the zero bytes of four ASCII characters.

    Args:
        content: The first bytes of a file, 8 or more, or all.
    """
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            return encoding
    odd, even = content[1:8:2], content[:8:2]
    if odd == bytes(4) and all(even):
        return "utf-16-le"
    return "utf-16-be" if even == bytes(4) and all(odd) else None


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
    """Return the separator of a table, and the number of lines before the header: empty ones and a line `sep=` (Excel)."""
    blank = next((number for number, line in enumerate(lines) if line.strip()), 0)
    first = lines[blank].strip("\r\n ")
    match = re.fullmatch(r'"?sep=(.)"?', first, re.IGNORECASE)
    if match:
        return match[1], blank + 1
    if first.lower() in ("sep=", '"sep="'):  # the separator is a tab, removed by strip
        return "\t", blank + 1
    return max(SEPARATORS, key=lambda separator: _num_cells(first, separator)), blank


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
        if any(_ESCAPED_MARK.search(line) for line in lines) and "expected after" in str(error):
            raise DatasetError(
                f'{path} has quotation marks with a backslash in line {start}: write them twice, as in ""loud"".'
            ) from error
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


def _decode(content: bytes) -> tuple[list[str], dict[int, str]]:
    """Decode a table line by line, as UTF-8 or else Windows-1252 (Latin-1 with typographic marks); or all as UTF-16 or UTF-32.

    Returns:
        The lines with their line breaks, which are those that csv.reader counts, and the problem of each line with one, by its
        number, counted from 1.
    """
    if encoding := wide_encoding(content):
        lines = re.split("(?<=\n)|(?<=\r)(?!\n)", content.decode(encoding, "replace"))
        return lines, {number: "damaged characters" for number, line in enumerate(lines, start=1) if "\ufffd" in line}
    content = content.removesuffix(b"\x1a")  # end-of-file character of DOS
    while content.startswith(b"\xef\xbb\xbf"):  # programs that join files leave several
        content = content[3:]
    lines, problems = [], {}
    for number, line in enumerate(re.split(b"(?<=\n)|(?<=\r)(?!\n)", content), start=1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(_decode_line(line))
            problems[number] = "not UTF-8"
    return lines, problems


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("cp1252")
    except UnicodeDecodeError:  # five bytes have no character in it
        return line.decode("latin-1")


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

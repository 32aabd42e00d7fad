"""Reading of caption tables, with a report of duplicates, empty cells and unusual captions.

File names are compared in Unicode normalization form C (NFC), since macOS stores decomposed characters and most tables
contain composed ones.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.tables.csv_files import read_rows
from data.tables.report import DatasetError, TableReport, has_words, same_name

# Longer than all captions of Clotho and AudioCaps; typical of a missing line break or quotation mark.
LONG_CAPTION_WORDS = 60


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
            kept), rows with too many cells (skipped), and lines that are not UTF-8 (decoded as Windows-1252).

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

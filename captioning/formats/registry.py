"""Formats by name."""

from collections.abc import Iterable, Sequence

from captioning.formats.audacity import AudacityLabels
from captioning.formats.base import CaptionFormat, Layout, Row, TableColumns, TextFormat
from captioning.formats.csv_table import CsvTable
from captioning.formats.jsonl import JsonLines
from captioning.formats.parquet import Parquet
from captioning.formats.raven import RavenTable
from captioning.formats.subtitles import SubRip, WebVtt
from captioning.formats.text import PlainText

FORMATS: dict[str, type[CaptionFormat]] = {
    "text": PlainText,
    "jsonl": JsonLines,
    "csv": CsvTable,
    "srt": SubRip,
    "vtt": WebVtt,
    "audacity": AudacityLabels,
    "raven": RavenTable,
    "parquet": Parquet,
}


def check_one_recording(name: str, files: Iterable[str]) -> None:
    """Refuse several recordings in a format whose rows do not name theirs.

    Raises:
        ValueError: the format belongs to one recording, and the names of the files differ.
    """
    if FORMATS[name].for_one_recording and len(set(files)) > 1:
        raise ValueError(
            f"{name} belongs to one recording: caption one file at a time, or use --format jsonl, csv or parquet."
        )


def text_format(name: str, layout: Layout) -> TextFormat:
    """A format that is written as text, piece by piece.

    Raises:
        ValueError: it is unknown, or no text.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format {name}: one of {', '.join(FORMATS)}.")
    made = FORMATS[name](layout)
    if not isinstance(made, TextFormat):
        raise ValueError(f"{name} is no text: write it to a file, with --output.")
    return made


def records_text(rows: Sequence[Row], name: str, with_times: bool = False) -> str:
    """Rows as text in one of FORMATS, ending with a line break unless empty.

    Args:
        rows: in the order to write them.
        name: one of FORMATS that is text.
        with_times: put start and end before each line of text (a timeline).

    Raises:
        ValueError: an unknown format, or several recordings in a format that belongs to one.
    """
    layout = text_format(name, Layout(with_times, TableColumns.of(rows)))
    check_one_recording(name, (row.file for row in rows))
    return "".join(layout.pieces(rows))

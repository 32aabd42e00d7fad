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
    """Check that a format for one recording is not used for several.

    Raises:
        ValueError: the format belongs to one recording, and the names of the files differ.
    """
    if FORMATS[name].for_one_recording and len(set(files)) > 1:
        raise ValueError(
            f"{name} is a format for one recording: write one file for each (--per_recording), or use --format jsonl, csv or "
            "parquet."
        )


def text_format(name: str, layout: Layout) -> TextFormat:
    """Return the text format of a name.

    Raises:
        ValueError: the format is unknown, or not a text format.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format {name}: one of {', '.join(FORMATS)}.")
    made = FORMATS[name](layout)
    if not isinstance(made, TextFormat):
        raise ValueError(f"{name} is not a text format: write it to a file with --output.")
    return made


def records_text(rows: Sequence[Row], name: str, with_times: bool = False) -> str:
    """Return rows as text in one of FORMATS, ending with a line break unless empty.

    Args:
        rows: rows in output order.
        name: name of a text format of FORMATS.
        with_times: whether to write start and end before each line of text (a timeline).

    Raises:
        ValueError: the format is unknown, or is for one recording and there are several.
    """
    layout = text_format(name, Layout(with_times, TableColumns.of(rows)))
    check_one_recording(name, (row.file for row in rows))
    return "".join(layout.pieces(rows))

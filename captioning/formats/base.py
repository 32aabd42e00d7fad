"""Base classes and helpers of the caption formats.

A row is a `CaptionRecord` or a `FailedRecording`; formats without a representation of failures skip the latter.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import BinaryIO, ClassVar

from data.caption_formats import SILENCE, CaptionRecord, FailedRecording

Row = CaptionRecord | FailedRecording
# AudioMoth: 20240131_053000.WAV, with T where a sound triggered it. Song Meter: SITE_20240131_053000.wav.
_RECORDER_NAME = re.compile(r"(?:^|_)(\d{8})_(\d{6})T?(?:_\d+)?$")


@dataclass
class TableColumns:
    """Optional columns of a table.

    Attributes:
        num_references: number of columns of reference captions.
        probability: whether there is a column of calibrated probabilities.
        similarity: whether there is a column of similarities to the recording.
        start_time: whether there is a column of absolute times, parsed from recorders' file names.
        warning: whether there is a column of problems found while recordings were read.
        error: whether there is a column of failure reasons.
    """

    num_references: int = 0
    probability: bool = False
    similarity: bool = False
    start_time: bool = False
    warning: bool = False
    error: bool = False

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "TableColumns":
        """Return the columns needed for these rows."""
        finder = ColumnFinder()
        for row in rows:
            finder.see(row)
        return finder.columns


class ColumnFinder:
    """Determines the columns of a table from its rows, one at a time, without storing them.

    Attributes:
        num_audible: number of rows that are neither silent nor failed.
    """

    def __init__(self) -> None:
        self._columns = TableColumns()
        self.num_audible = self._num_probable = 0

    @property
    def columns(self) -> TableColumns:
        """Return the columns needed for the rows so far."""
        # Silence is measured, not captioned: it has no probability, and its cell is empty.
        self._columns.probability = 0 < self.num_audible == self._num_probable
        return self._columns

    def see(self, row: Row) -> None:
        """Add the next row."""
        found = self._columns
        found.start_time = found.start_time or start_time(row) is not None
        if isinstance(row, FailedRecording):
            found.error = True
            return
        found.num_references = max(found.num_references, len(row.references))
        found.similarity = found.similarity or bool(row.similarities)
        found.warning = found.warning or bool(row.warning)
        if row.captions != SILENCE:
            self.num_audible += 1
            self._num_probable += row.captions[0].probability is not None


@dataclass
class Layout:
    """Layout of rows.

    Attributes:
        with_times: whether to write start and end before each line of text (a timeline).
        columns: optional columns of a table.
        max_frequency_hz: half the captioner's sample rate, in hertz.
    """

    with_times: bool = False
    columns: TableColumns = field(default_factory=TableColumns)
    max_frequency_hz: float = 16000.0


class CaptionFormat(ABC):
    """Writer of rows.

    Attributes:
        suffix: suffix of its files.
        for_one_recording: whether a file can have only one recording, because rows do not name it.
        shows_failures: whether failed recordings are written.
    """

    suffix: ClassVar[str]
    for_one_recording: ClassVar[bool] = False
    shows_failures: ClassVar[bool] = False

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()

    @abstractmethod
    def write(self, stream: BinaryIO, rows: Iterable[Row]) -> None:
        """Write a complete file; rows are consumed one by one.

        Raises:
            OSError: the stream is not writable.
        """


class TextFormat(CaptionFormat):
    """Writer of UTF-8 text: the header, followed by one piece of text for each row."""

    def head(self) -> str:
        """Return the text before the first row."""
        return ""

    @abstractmethod
    def piece(self, record: CaptionRecord, number: int) -> str:
        """Return the text of a record, the `number`-th from 1."""

    def failure(self, failed: FailedRecording) -> str:
        """Return the text of a failed recording; empty if the format cannot represent it."""
        return ""

    def pieces(self, rows: Iterable[Row]) -> Iterable[str]:
        """Yield the header, then the text of each row."""
        yield self.head()
        number = 0
        for row in rows:
            if isinstance(row, FailedRecording):
                yield self.failure(row)
            else:
                number += 1
                yield self.piece(row, number)

    def write(self, stream: BinaryIO, rows: Iterable[Row]) -> None:
        """See `CaptionFormat`."""
        for piece in self.pieces(rows):
            stream.write(piece.encode("utf-8", "backslashreplace"))


def start_time(row: Row) -> datetime | None:
    """Return the start of a row by the recorder's clock, if the file name has date and time; else None.

    File names of AudioMoth and Song Meter recorders end with date and time: 20240131_053000.WAV, SITE_20240131_053000.wav.
    The time zone is not in the name; AudioMoth usually uses UTC.
    """
    match = _RECORDER_NAME.search(PurePath(row.file).stem)
    if not match:
        return None
    try:
        begin = datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S")
        return begin + timedelta(milliseconds=round(1000 * row.start_s))
    except (ValueError, OverflowError):  # digits that are not a date
        return None


def shown_time(row: Row) -> str:
    """Return `start_time` as ISO 8601 with milliseconds; empty if unknown."""
    found = start_time(row)
    return found.isoformat(timespec="milliseconds") if found else ""


def one_line(text: str) -> str:
    """Replace line breaks and tabs by spaces."""
    return " ".join(text.split())


def clock(seconds: float, point: str = ".") -> str:
    """Format a time in seconds as hh:mm:ss and milliseconds, separated by `point`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"

"""What writers of captions have in common.

A row is a `CaptionRecord`, or a `FailedRecording`, which formats without a place for it leave out.
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
    """Columns that a table has beside those that every one has.

    Attributes:
        num_references: columns of ground truths.
        probability: whether there is a column of calibrated probabilities.
        similarity: whether there is a column of likenesses to the recording.
        start_time: whether there is a column of absolute times, which recorders' file names tell.
        error: whether there is a column of reasons why recordings failed.
    """

    num_references: int = 0
    probability: bool = False
    similarity: bool = False
    start_time: bool = False
    error: bool = False

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "TableColumns":
        """Columns that show all that is known of these rows."""
        finder = ColumnFinder()
        for row in rows:
            finder.see(row)
        return finder.columns


class ColumnFinder:
    """Finds the columns of a table from its rows, one after the other, without keeping them.

    Attributes:
        num_heard: rows that are neither silent nor failed.
    """

    def __init__(self) -> None:
        self._columns = TableColumns()
        self.num_heard = self._num_probable = 0

    @property
    def columns(self) -> TableColumns:
        """Columns that show all that is known of the rows so far."""
        # Silence is measured, not captioned: it has no probability, and its cell stays empty.
        self._columns.probability = 0 < self.num_heard == self._num_probable
        return self._columns

    def see(self, row: Row) -> None:
        """Look at the next row."""
        found = self._columns
        found.start_time = found.start_time or start_time(row) is not None
        if isinstance(row, FailedRecording):
            found.error = True
            return
        found.num_references = max(found.num_references, len(row.references))
        found.similarity = found.similarity or bool(row.similarities)
        if row.captions != SILENCE:
            self.num_heard += 1
            self._num_probable += row.captions[0].probability is not None


@dataclass
class Layout:
    """How rows are shown.

    Attributes:
        with_times: put start and end before each line of text (a timeline).
        columns: of a table.
        max_frequency_hz: highest frequency that the captioner takes in, half its sample rate.
    """

    with_times: bool = False
    columns: TableColumns = field(default_factory=TableColumns)
    max_frequency_hz: float = 16000.0


class CaptionFormat(ABC):
    """Writes rows.

    Attributes:
        suffix: of its files.
        for_one_recording: whether a file belongs to one recording, because rows do not name theirs.
        shows_failures: whether failed recordings are in the file.
    """

    suffix: ClassVar[str]
    for_one_recording: ClassVar[bool] = False
    shows_failures: ClassVar[bool] = False

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()

    @abstractmethod
    def write(self, stream: BinaryIO, rows: Iterable[Row]) -> None:
        """Write a whole file; rows are taken one by one and not kept.

        Raises:
            OSError: the stream cannot be written.
        """


class TextFormat(CaptionFormat):
    """Rows as UTF-8 text, piece by piece: the head and all pieces one after the other are the whole text."""

    def head(self) -> str:
        """What stands before the first row."""
        return ""

    @abstractmethod
    def piece(self, record: CaptionRecord, number: int) -> str:
        """One record, the `number`-th from 1."""

    def failure(self, failed: FailedRecording) -> str:
        """A failed recording; empty where the format has no place for it."""
        return ""

    def pieces(self, rows: Iterable[Row]) -> Iterable[str]:
        """The head, then a piece for each row."""
        yield self.head()
        number = 0
        for row in rows:
            if isinstance(row, FailedRecording):
                yield self.failure(row)
            else:
                number += 1
                yield self.piece(row, number)

    def write(self, stream: BinaryIO, rows: Iterable[Row]) -> None:
        """As `CaptionFormat` has it."""
        for piece in self.pieces(rows):
            stream.write(piece.encode("utf-8", "backslashreplace"))


def start_time(row: Row) -> datetime | None:
    """When a row begins, by the recorder's clock, if the recording's name tells when that began.

    Names of AudioMoth and Song Meter recorders end with date and time: 20240131_053000.WAV, SITE_20240131_053000.wav.
    They do not tell the time zone: AudioMoth's are usually UTC.
    """
    match = _RECORDER_NAME.search(PurePath(row.file).stem)
    if not match:
        return None
    try:
        begin = datetime.strptime("".join(match.groups()), "%Y%m%d%H%M%S")
        return begin + timedelta(milliseconds=round(1000 * row.start_s))
    except (ValueError, OverflowError):  # digits that are no date
        return None


def shown_time(row: Row) -> str:
    """`start_time` as ISO 8601 with milliseconds; empty where it is unknown."""
    found = start_time(row)
    return found.isoformat(timespec="milliseconds") if found else ""


def one_line(text: str) -> str:
    """Text without line breaks and tabs."""
    return " ".join(text.split())


def clock(seconds: float, point: str = ".") -> str:
    """Time as hh:mm:ss and milliseconds behind `point`."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"

"""Captions without audio: which of AudioSet's classes a caption names, in which order and at which level.

Text-only training simulates the audio embeddings of captions (`training/text_only/simulation.py`), after Kouzelis, Katsouros,
"Weakly-supervised Automated Audio Captioning via text only training", DCASE 2023, arXiv 2309.12242.
"""

import logging
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.captions import normalize_caption
from data.tables import DatasetError, TableReport, note_odd_captions, read_rows
from vocabulary.turns import parts_of
from vocabulary.words import classes_of

logger = logging.getLogger(__name__)

CAPTION_COLUMN = r"caption(_\d+)?"  # AudioCaps' and Clotho's names
WEAK_DB = -12.0  # level of a faint or distant source relative to others

_WEAK = re.compile(
    r"\b(?:faint\w*|distan(?:t|ce)|background|far|soft\w*|quiet\w*|muffled|slight\w*|low|light|gentl[ey])\b"
)
_STRONG = re.compile(r"\b(?:loud\w*|nearby|close(?:by)?|foreground|heav\w*|blar\w*|roar\w*)\b")


@dataclass(frozen=True)
class Source:
    """A sound source that a caption names.

    Attributes:
        classes: AudioSet classes that it may be, 0 to 526, the most certain first.
        turn: 0 for sources that sound first, 1 for those that follow, and so on.
        level_db: level in decibels relative to the other sources.
    """

    classes: tuple[int, ...]
    turn: int
    level_db: float = 0.0


@dataclass(frozen=True)
class TextClip:
    """A caption without a recording.

    Attributes:
        name: name in messages, such as "train/17".
        captions: the caption, a tuple of one.
        style: style of the caption; empty where unknown.
        labels: always empty: the classes that a caption names are not annotations.
    """

    name: str
    captions: tuple[str, ...]
    style: str = ""
    labels: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The caption itself."""
        return f"text|{self.captions[0]}"

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The sound sources that the caption names."""
        return sources_of(self.captions[0])

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Raise an error, as a caption has no waveform.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self.name} is a caption without audio: it has no waveform at {sample_rate} Hz.")


def sources_of(caption: str) -> tuple[Source, ...]:
    """The sources that a caption names, in the order in which they begin; empty where it names no known class."""
    found = []
    for turn, part in parts_of(caption):
        if classes := classes_of(part):
            level = WEAK_DB * bool(_WEAK.search(part)) - WEAK_DB / 2 * bool(_STRONG.search(part))
            found.append(Source(classes, turn, level))
    if not found and (whole := classes_of(caption.lower())):  # patterns may reach over a connector
        found.append(Source(whole, 0))
    found.sort(key=lambda source: source.turn)
    return tuple(replace(source, turn=source.turn - found[0].turn) for source in found)


def read_captions(table: Path, id_column: str = "", report: TableReport | None = None) -> list[tuple[str, str]]:
    """All captions of a table: a column `caption` (AudioCaps), or `caption_1` to `caption_N` (Clotho).

    Args:
        table: CSV file.
        id_column: another column, which names the clip of a row; empty for none.
        report: filled with what is wrong with the table.

    Returns:
        For each caption, in the table's order, the clip's id ("" without an id column) and the caption, which may be empty.

    Raises:
        DatasetError: the table is missing, or has no column of captions or no such id column.
    """
    if not table.is_file():
        raise DatasetError(
            f"no caption table at {table}: `python -m data.download` fetches Clotho's and AudioCaps', or correct the path."
        )
    report = report if report is not None else TableReport()
    columns, records = read_rows(table, report)
    wanted = [name for name in columns if re.fullmatch(CAPTION_COLUMN, name)]
    if not wanted or (id_column and id_column not in columns):
        lacks = f"{id_column}, by which the label sets name clips" if wanted else "caption, or caption_1 and so on"
        raise DatasetError(f"{table} has the columns {', '.join(columns)}: expected {lacks}.")
    for line, record in records:
        note_odd_captions("", [text for name in wanted if (text := record[name].strip())], report, line)
    return [(record.get(id_column, ""), record[name].strip()) for _, record in records for name in wanted]


def read_text_clips(table: Path, style: str) -> list[TextClip]:
    """The captions of a table that name a known sound; problems of the table are logged as a warning.

    Args:
        table: CSV file, as `read_captions` takes it.
        style: style of its captions.

    Raises:
        DatasetError: as `read_captions`, or no caption names a known sound.
    """
    report = TableReport()
    captions = [text for _, text in read_captions(table, report=report)]
    clips = [
        TextClip(f"{table.stem}/{number}", (text,), style)
        for number, text in enumerate(captions)
        if normalize_caption(text)
    ]
    clips = [clip for clip in clips if clip.sources]
    if not clips:
        raise DatasetError(f"{table} has no caption that names a known sound: is it a table of English captions?")
    report.num_clips = len(clips)
    if report.problems:
        logger.warning("%s", report.summary())
    return clips

"""Captions without audio, and the AudioSet classes, order and levels of the sound sources that they name.

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

CAPTION_COLUMN = r"caption(_\d+)?"  # column names of AudioCaps and Clotho
WEAK_DB = -12.0  # level of a faint or distant source relative to other sources, in decibels

_WEAK = re.compile(
    r"\b(?:faint\w*|distan(?:t|ce)|background|far|soft\w*|quiet\w*|muffled|slight\w*|low|light|gentl[ey])\b"
)
_STRONG = re.compile(r"\b(?:loud\w*|nearby|close(?:by)?|foreground|heav\w*|blar\w*|roar\w*)\b")


@dataclass(frozen=True)
class Source:
    """Sound source named by a caption.

    Attributes:
        classes: possible AudioSet classes, 0 to 526, most certain first.
        turn: position in the order of events: 0 for the first sources, 1 for those that follow, and so on.
        level_db: level in decibels relative to the other sources.
    """

    classes: tuple[int, ...]
    turn: int
    level_db: float = 0.0


@dataclass(frozen=True)
class TextClip:
    """Caption without a recording.

    Attributes:
        name: name in messages, such as "train/17".
        captions: tuple of one caption.
        style: style of the caption; empty if unknown.
        labels: empty tuple, because classes named by a caption are not annotations.
    """

    name: str
    captions: tuple[str, ...]
    style: str = ""
    labels: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """Cache key: the caption itself."""
        return f"text|{self.captions[0]}"

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Sound sources named by the caption."""
        return sources_of(self.captions[0])

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Raise an error because a caption has no waveform.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self.name} is a caption without audio: it has no waveform at {sample_rate} Hz.")


def sources_of(caption: str) -> tuple[Source, ...]:
    """Return the sources that a caption names, in order of their onsets; empty if it names no known class."""
    found = []
    for turn, part in parts_of(caption):
        if classes := classes_of(part):
            level = WEAK_DB * bool(_WEAK.search(part)) - WEAK_DB / 2 * bool(_STRONG.search(part))
            found.append(Source(classes, turn, level))
    if not found and (whole := classes_of(caption.lower())):  # a pattern may include a connector
        found.append(Source(whole, 0))
    found.sort(key=lambda source: source.turn)
    return tuple(replace(source, turn=source.turn - found[0].turn) for source in found)


def read_captions(table: Path, id_column: str = "", report: TableReport | None = None) -> list[tuple[str, str]]:
    """Read all captions of a table with a column `caption` (AudioCaps) or columns `caption_1` to `caption_N` (Clotho).

    Args:
        table: CSV file.
        id_column: column of clip ids; empty for none.
        report: report to which problems of the table are added.

    Returns:
        Pairs of clip id ("" without an id column) and caption, which may be empty, in the order of the table.

    Raises:
        DatasetError: the table is missing, or lacks a caption column or the id column.
    """
    if not table.is_file():
        raise DatasetError(
            f"no caption table at {table}: download Clotho's or AudioCaps' with `python -m data.download`, or correct the path."
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
    """Read the captions of a table that name a known sound; problems of the table are logged as a warning.

    Args:
        table: CSV file, as for `read_captions`.
        style: style of the captions.

    Raises:
        DatasetError: as for `read_captions`, or no caption names a known sound.
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

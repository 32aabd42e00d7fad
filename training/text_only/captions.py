"""Captions without sound: which of AudioSet's classes a caption names, and when and how loud each sounds.

Text-only training turns captions into what an encoder would hear of them (`training/text_only/simulation.py`); the idea
is that of
Kouzelis, Katsouros, "Weakly-supervised Automated Audio Captioning via text only training", DCASE 2023, arXiv 2309.12242.
"""

import logging
import re
from collections.abc import Sequence
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
WEAK_DB = -12.0  # what is heard faintly or far away, against what is not

_WEAK = re.compile(
    r"\b(?:faint\w*|distan(?:t|ce)|background|far|soft\w*|quiet\w*|muffled|slight\w*|low|light|gentl[ey])\b"
)
_STRONG = re.compile(r"\b(?:loud\w*|nearby|close(?:by)?|foreground|heav\w*|blar\w*|roar\w*)\b")


@dataclass(frozen=True)
class Source:
    """One thing that a caption says is heard.

    Attributes:
        classes: AudioSet classes that it may be, 0 to 526, the surest first.
        turn: 0 for what is heard at first, 1 for what follows it, and so on.
        level_db: loudness against the other sources.
    """

    classes: tuple[int, ...]
    turn: int
    level_db: float = 0.0


@dataclass(frozen=True)
class TextClip:
    """A caption that has no recording.

    Attributes:
        name: what messages call it.
        captions: the caption, alone.
        style: the manner it is written in.
        labels: empty, so that nobody takes its classes for judged ones.
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
        """What the caption says is heard."""
        return sources_of(self.captions[0])

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """There is no waveform.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self.name} is a text: it has no sound at {sample_rate} Hz.")


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


def read_texts(paths: Sequence[str], styles: Sequence[str]) -> list[TextClip]:
    """Captions of tables: a column `caption` (AudioCaps' tables), or `caption_1` to `caption_N` (Clotho's).

    Args:
        paths: CSV files.
        styles: the manner of each.

    Raises:
        DatasetError: a table is missing, has no such column or no manner, or has no caption that names a known class.
    """
    if len(paths) != len(styles):
        raise DatasetError(f"{len(paths)} caption tables but {len(styles)} styles: name the manner of each table.")
    clips: list[TextClip] = []
    for path, style in zip(paths, styles, strict=True):
        if not Path(path).is_file():
            raise DatasetError(
                f"no caption table at {path}: `python -m data.download` fetches Clotho's and AudioCaps', or correct data.texts."
            )
        report = TableReport()
        columns, records = read_rows(Path(path), report)
        wanted = [name for name in columns if re.fullmatch(CAPTION_COLUMN, name)]
        if not wanted:
            raise DatasetError(
                f"{path} has the columns {', '.join(columns)}: expected caption, or caption_1 and so on."
            )
        texts = [record[name].strip() for _, record in records for name in wanted]
        for line, record in records:
            note_odd_captions("", [text for name in wanted if (text := record[name].strip())], report, line)
        made = [
            TextClip(f"{Path(path).stem}/{number}", (text,), style)
            for number, text in enumerate(texts)
            if normalize_caption(text)
        ]
        known = [clip for clip in made if clip.sources]
        if not known:
            raise DatasetError(f"{path} has no caption that names a known sound: is it a table of English captions?")
        clips += known
        report.num_clips = len(known)
        if report.problems:
            logger.warning("%s", report.summary())
    return clips

"""Documents: recordings with their captions, and undoable edits of these.

Captions are stored only in their `Document`. A captioning job holds a reference to the document that it was started for, so
that captions are never added to another recording. A listening session is a document that grows.
"""

import bisect
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours

MAX_UNDO = 100
EDGE_S = 0.05  # rows that exceed a span by less than this, seconds, count as inside it
_numbers = itertools.count(1)


class Kind(StrEnum):
    """Source of a document's sound."""

    FILE = "file"
    RECORDING = "recording"  # recorded by the app
    LIVE = "live"  # listening session: captioned live; the sound is not stored


class Review(StrEnum):
    """Review status of a caption."""

    FOUND = "found"
    ACCEPTED = "accepted"
    EDITED = "edited"


@dataclass(frozen=True)
class Row:
    """Captions of one span.

    Attributes:
        record: span and its captions, best first.
        review: review status.
        heard_at: local start time, ISO 8601; empty unless captioned live.
        number: identifier of the row within the running app; not stored.
    """

    record: CaptionRecord
    review: Review = Review.FOUND
    heard_at: str = ""
    number: int = field(default_factory=lambda: next(_numbers), compare=False)

    @property
    def is_kept(self) -> bool:
        """True if the user edited or accepted the row, so that captioning again must not replace it."""
        return self.review is not Review.FOUND


@dataclass(frozen=True)
class Change:
    """Undoable change.

    Attributes:
        name: display name, such as "Delete 2 Captions".
        removed: removed rows.
        added: rows added in their place.
    """

    name: str
    removed: tuple[Row, ...]
    added: tuple[Row, ...]


@dataclass
class Document:
    """Recording or listening session with its captions.

    Attributes:
        key: unique identifier.
        kind: source of the sound.
        created: local time of creation, ISO 8601.
        path: audio file; empty for a listening session.
        rows: captions in order of time.
        on_change: called after each change of the rows.
    """

    key: str
    kind: Kind
    created: str
    path: str
    rows: list[Row] = field(default_factory=list)
    on_change: Callable[["Document"], None] = field(default=lambda document: None, compare=False, repr=False)
    _undo: list[Change] = field(default_factory=list, compare=False, repr=False)
    _redo: list[Change] = field(default_factory=list, compare=False, repr=False)

    @property
    def name(self) -> str:
        """File name of the recording, or the time of the listening session."""
        return Path(self.path).name if self.path else f"Listening {self.created[:16].replace('T', ' ')}"

    @property
    def records(self) -> tuple[CaptionRecord, ...]:
        """Caption records of all rows, without review status."""
        return tuple(row.record for row in self.rows)

    @property
    def undo_name(self) -> str:
        """Name of the change that `undo` would revert; empty if there is none."""
        return self._undo[-1].name if self._undo else ""

    @property
    def redo_name(self) -> str:
        """Name of the change that `redo` would repeat; empty if there is none."""
        return self._redo[-1].name if self._redo else ""

    def row(self, number: int) -> Row | None:
        """Return the row with this number, or None if it no longer exists."""
        return next((row for row in self.rows if row.number == number), None)

    def grow(self, row: Row, extends: bool) -> None:
        """Append the newest row of a listening session, or replace the last row with it if `extends`."""
        if extends and self.rows and not self.rows[-1].is_kept:
            self.rows[-1] = replace(row, heard_at=self.rows[-1].heard_at, number=self.rows[-1].number)
        else:
            self.rows.append(row)
        self.on_change(self)

    def edit(self, row: Row, text: str) -> None:
        """Replace a row's best caption by the user's text; the previous captions become alternatives."""
        text = " ".join(text.split())
        if not text or text == row.record.caption:
            return
        written = ScoredCaption(text, 0.0, 1.0)
        others = tuple(
            caption for caption in row.record.captions if caption.text != text and row.record.captions != SILENCE
        )
        changed = replace(row, record=replace(row.record, captions=(written, *others)), review=Review.EDITED)
        self._change(Change("Edit Caption", (row,), (changed,)))

    def choose(self, row: Row, place: int) -> None:
        """Make the caption at index `place` (from 0) the best caption of its row."""
        captions = list(row.record.captions)
        captions.insert(0, captions.pop(place))
        changed = replace(row, record=replace(row.record, captions=tuple(captions)), review=Review.ACCEPTED)
        self._change(Change("Choose Caption", (row,), (changed,)))

    def accept(self, rows: Sequence[Row]) -> None:
        """Mark rows as accepted; if all of them are accepted already, remove the mark."""
        undone = all(row.review is Review.ACCEPTED for row in rows)
        review = Review.FOUND if undone else Review.ACCEPTED
        changed = tuple(replace(row, review=review) for row in rows)
        self._change(Change("Accept" if not undone else "Remove Acceptance", tuple(rows), changed))

    def delete(self, rows: Sequence[Row]) -> None:
        """Remove rows."""
        self._change(Change("Delete Caption" if len(rows) == 1 else f"Delete {len(rows)} Captions", tuple(rows), ()))

    def undo(self) -> str:
        """Revert the last change and return its name, empty if there was none; captions added since then are kept."""
        if not self._undo:
            return ""
        change = self._undo.pop()
        self._apply(change.added, change.removed)
        self._redo.append(change)
        self.on_change(self)
        return change.name

    def redo(self) -> str:
        """Repeat the last reverted change and return its name, empty if there was none."""
        if not self._redo:
            return ""
        change = self._redo.pop()
        self._apply(change.removed, change.added)
        self._undo.append(change)
        self.on_change(self)
        return change.name

    def note(self, change: Change) -> None:
        """Add a change, already applied step by step, to the undo history as a single step."""
        if change.removed or change.added:
            self._undo.append(change)
            del self._undo[:-MAX_UNDO]
            self._redo.clear()

    def swap(self, removed: Sequence[Row], added: Sequence[Row]) -> None:
        """Replace rows without adding to the undo history."""
        self._apply(removed, added)
        self.on_change(self)

    def _change(self, change: Change) -> None:
        self.note(change)
        self.swap(change.removed, change.added)

    def _apply(self, removed: Iterable[Row], added: Iterable[Row]) -> None:
        gone = {row.number for row in removed} | {row.number for row in added}
        rows = [row for row in self.rows if row.number not in gone] + list(added)
        self.rows = sorted(rows, key=lambda row: (row.record.start_s, row.record.end_s))


class CaptionRun:
    """Incremental captioning of a document or of a span of it.

    Rows inside the span are replaced as soon as new captions reach them; rows outside it, and rows that the user edited or
    accepted, are kept. If the run is cancelled, the captions received so far are kept.

    Args:
        document: document that receives the captions.
        start_s: start of the span, seconds.
        end_s: end of the span, seconds; None for the end of the recording.

    Attributes:
        records: captions received so far.
    """

    def __init__(self, document: Document, start_s: float = 0.0, end_s: float | None = None) -> None:
        self.document, self._start_s, self._end_s = document, start_s, end_s
        self.records: list[CaptionRecord] = []
        self._added: list[Row] = []
        self._removed: list[Row] = []

    def put(self, records: Sequence[CaptionRecord]) -> None:
        """Append captions that follow the previous ones; equal neighbours are merged."""
        if records:
            self.records = merge_neighbours([*self.records, *records])
            self._show(self.records[-1].end_s)

    def finish(self, records: Sequence[CaptionRecord]) -> None:
        """Set all captions of the span and remove the older rows inside it."""
        self.records = list(records)
        self._show(float("inf") if self._end_s is None else self._end_s)
        self.close()

    def close(self) -> None:
        """End the run and add it to the undo history as a single step."""
        present = {row.number for row in self.document.rows}
        added = tuple(row for row in self._added if row.number in present)
        self.document.note(Change("Captions of a Run", tuple(self._removed), added))
        self.document.on_change(self.document)  # undo has become available

    def _show(self, reached_s: float) -> None:
        own = {row.number for row in self._added}
        replaced = [
            row
            for row in self.document.rows
            if row.number not in own and not row.is_kept
            and row.record.start_s >= self._start_s - EDGE_S and row.record.end_s <= reached_s + EDGE_S
        ]  # fmt: skip
        kept = _Spans(row.record for row in self.document.rows if row.is_kept)
        known = {id(row.record): row for row in self._added}
        added = [known.get(id(record)) or Row(record) for record in self.records if not kept.cover(record)]
        before, self._added = self._added, added
        self._removed += replaced
        self.document.swap([*replaced, *before], added)


class _Spans:
    """Spans of records in order of time, in which those at a time are found without looking at all."""

    def __init__(self, records: Iterable[CaptionRecord]) -> None:
        self._records = list(records)
        self._starts = [record.start_s for record in self._records]
        self._reached = list(itertools.accumulate((record.end_s for record in self._records), max))

    def cover(self, record: CaptionRecord) -> bool:
        """Return whether one of the spans covers more than half of a record."""
        first = bisect.bisect_right(self._reached, record.start_s)
        last = bisect.bisect_left(self._starts, record.end_s)
        half_s = 0.5 * (record.end_s - record.start_s)
        return any(
            min(other.end_s, record.end_s) - max(other.start_s, record.start_s) > half_s
            for other in self._records[first:last]
        )

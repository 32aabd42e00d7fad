"""Recordings with their captions: what the app opens, shows, edits and keeps.

Captions live in a `Document` and nowhere else. Whatever captions a recording holds the document that it was started for, so
that captions cannot end up with another recording, whatever is open by then. A listening session is a document that grows.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours

MAX_UNDO = 100
EDGE_S = 0.05  # rows that reach beyond a span by less than this count as inside it
_numbers = itertools.count(1)


class Kind(StrEnum):
    """Where a document's sound comes from."""

    FILE = "file"
    RECORDING = "recording"  # recorded by this app
    LIVE = "live"  # captioned while it was heard; its sound is not kept


class Review(StrEnum):
    """What a person did with a caption."""

    FOUND = "found"
    ACCEPTED = "accepted"
    EDITED = "edited"


@dataclass(frozen=True)
class Row:
    """The captions of one span.

    Attributes:
        record: the span and its captions, best first.
        review: what a person did with it.
        heard_at: local time of its start, ISO 8601; empty unless it was heard live.
        number: identifies the row while it is edited; not kept.
    """

    record: CaptionRecord
    review: Review = Review.FOUND
    heard_at: str = ""
    number: int = field(default_factory=lambda: next(_numbers), compare=False)

    @property
    def is_kept(self) -> bool:
        """Whether a person's work is in it, which captioning again must not replace."""
        return self.review is not Review.FOUND


@dataclass(frozen=True)
class Change:
    """A step that can be undone.

    Attributes:
        name: for a person, for example "Delete 2 captions".
        removed: rows that were there before.
        added: rows that took their place.
    """

    name: str
    removed: tuple[Row, ...]
    added: tuple[Row, ...]


@dataclass
class Document:
    """A recording and its captions.

    Attributes:
        key: unique.
        kind: where its sound comes from.
        created: local time, ISO 8601.
        path: the recording; empty for a listening session.
        rows: its captions in order of time.
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
        """The recording's file name, or when it was listened to."""
        return Path(self.path).name if self.path else f"Listening {self.created[:16].replace('T', ' ')}"

    @property
    def records(self) -> tuple[CaptionRecord, ...]:
        """The captions without what a person did with them."""
        return tuple(row.record for row in self.rows)

    @property
    def undo_name(self) -> str:
        """What `undo` would undo; empty for nothing."""
        return self._undo[-1].name if self._undo else ""

    @property
    def redo_name(self) -> str:
        """What `redo` would do again; empty for nothing."""
        return self._redo[-1].name if self._redo else ""

    def row(self, number: int) -> Row | None:
        """The row of a number, if it is still there."""
        return next((row for row in self.rows if row.number == number), None)

    def grow(self, row: Row, extends: bool) -> None:
        """Add the newest row of a listening session, or put it in place of the last one where `extends`."""
        if extends and self.rows and not self.rows[-1].is_kept:
            self.rows[-1] = replace(row, heard_at=self.rows[-1].heard_at, number=self.rows[-1].number)
        else:
            self.rows.append(row)
        self.on_change(self)

    def edit(self, row: Row, text: str) -> None:
        """Put a person's words in place of a row's best caption; the old ones stay below it as alternatives."""
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
        """Make another of a row's captions, counted from 0, the best one."""
        captions = list(row.record.captions)
        captions.insert(0, captions.pop(place))
        changed = replace(row, record=replace(row.record, captions=tuple(captions)), review=Review.ACCEPTED)
        self._change(Change("Choose Caption", (row,), (changed,)))

    def accept(self, rows: Sequence[Row]) -> None:
        """Mark rows as right, or no longer, if all of them are accepted already."""
        undone = all(row.review is Review.ACCEPTED for row in rows)
        review = Review.FOUND if undone else Review.ACCEPTED
        changed = tuple(replace(row, review=review) for row in rows)
        self._change(Change("Accept" if not undone else "Take Back Accept", tuple(rows), changed))

    def delete(self, rows: Sequence[Row]) -> None:
        """Remove rows."""
        self._change(Change("Delete Caption" if len(rows) == 1 else f"Delete {len(rows)} Captions", tuple(rows), ()))

    def undo(self) -> str:
        """Undo the last change; what came later by itself stays. Returns its name, empty if there was none."""
        if not self._undo:
            return ""
        change = self._undo.pop()
        self._apply(change.added, change.removed)
        self._redo.append(change)
        self.on_change(self)
        return change.name

    def redo(self) -> str:
        """Do again what was undone; returns its name, empty if there was nothing."""
        if not self._redo:
            return ""
        change = self._redo.pop()
        self._apply(change.removed, change.added)
        self._undo.append(change)
        self.on_change(self)
        return change.name

    def note(self, change: Change) -> None:
        """Let a change that was made step by step be undone as one."""
        if change.removed or change.added:
            self._undo.append(change)
            del self._undo[:-MAX_UNDO]
            self._redo.clear()

    def swap(self, removed: Sequence[Row], added: Sequence[Row]) -> None:
        """Replace rows, without a step to undo."""
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
    """Captions of a document, or of a span of it, that come one after another.

    Rows that lie in the span are replaced as soon as captions reach them; rows outside it, and rows with a person's work,
    stay. What has come stays, too, if the run is given up.

    Args:
        document: whose captions they are.
        start_s: where the span begins, seconds.
        end_s: where it ends; None: at the recording's end.

    Attributes:
        records: captions so far.
    """

    def __init__(self, document: Document, start_s: float = 0.0, end_s: float | None = None) -> None:
        self.document, self._start_s, self._end_s = document, start_s, end_s
        self.records: list[CaptionRecord] = []
        self._added: list[Row] = []
        self._removed: list[Row] = []

    def put(self, records: Sequence[CaptionRecord]) -> None:
        """Take captions that follow those before; neighbours that say the same are joined."""
        if records:
            self.records = merge_neighbours([*self.records, *records])
            self._show(self.records[-1].end_s)

    def finish(self, records: Sequence[CaptionRecord]) -> None:
        """Take all captions of the span; older rows in it are gone."""
        self.records = list(records)
        self._show(float("inf") if self._end_s is None else self._end_s)
        self.close()

    def close(self) -> None:
        """End the run; what has come can be undone as one step."""
        present = {row.number for row in self.document.rows}
        added = tuple(row for row in self._added if row.number in present)
        self.document.note(Change("Captions of a Run", tuple(self._removed), added))
        self.document.on_change(self.document)  # there is something to undo now

    def _show(self, reached_s: float) -> None:
        own = {row.number for row in self._added}
        replaced = [
            row
            for row in self.document.rows
            if row.number not in own and not row.is_kept
            and row.record.start_s >= self._start_s - EDGE_S and row.record.end_s <= reached_s + EDGE_S
        ]  # fmt: skip
        kept = [row for row in self.document.rows if row.is_kept]
        known = {id(row.record): row for row in self._added}
        added = [
            known.get(id(record)) or Row(record)
            for record in self.records
            if not any(_overlap_s(record, row.record) > 0.5 * (record.end_s - record.start_s) for row in kept)
        ]
        before, self._added = self._added, added
        self._removed += replaced
        self.document.swap([*replaced, *before], added)


def _overlap_s(first: CaptionRecord, second: CaptionRecord) -> float:
    return min(first.end_s, second.end_s) - max(first.start_s, second.start_s)

"""Item model of a document's captions: one row per span, with alternative captions as child rows."""

from collections.abc import Callable, Sequence
from typing import Any

from PyQt6.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QObject,
    Qt,
    pyqtSignal,
)
from PyQt6.QtGui import QColor

from ui.store.documents import Review, Row
from ui.store.exports import is_silence, shown_text
from ui.widgets.numbers import probability_text, probability_tip, time_span
from ui.widgets.theme import LIGHT, Colours

TIME, CAPTION, PROBABILITY = range(3)
COLUMNS = ("Time", "Caption", "Probability")
MOST_CHANGES = 50  # rows of which Qt is told one by one
_ITEM = Qt.ItemDataRole
_READ = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
_EDIT = _READ | Qt.ItemFlag.ItemIsEditable
_ALTERNATIVE = _READ | Qt.ItemFlag.ItemNeverHasChildren
_REVIEWS = {Review.ACCEPTED: "accepted", Review.EDITED: "edited"}


def row_probability(row: Row) -> float:
    """Return the probability of a row's best caption, 0 to 1; 1 for silence and for captions edited by the user."""
    best = row.record.captions[0]
    if is_silence(row.record) or row.is_kept:
        return 1.0
    return best.probability if best.probability is not None else 1.0


def is_doubtful(row: Row, threshold: float) -> bool:
    """Return whether a row's calibrated probability is below the threshold, 0 to 1; False if it is not calibrated."""
    return row_probability(row) < threshold


def caption_shown(row: Row, threshold: float) -> str:
    """Return a row's best caption, prefixed with "perhaps" if its probability is below the threshold."""
    text = shown_text(row.record)
    return f"perhaps {text}" if is_doubtful(row, threshold) else text


class CaptionModel(QAbstractItemModel):
    """Item model of a document's rows, filtered and sorted; a row's children are its alternative captions.

    Top-level indexes have the internal id 0, child indexes the number of their row.
    """

    repainted = pyqtSignal()  # many rows look different

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._all: Sequence[Row] = ()
        self._shown: list[Row] = []
        self._places: dict[int, int] = {}
        self._words: tuple[str, ...] = ()
        self._order: tuple[int, bool] = (TIME, False)
        self.is_suspended = False  # the view need not lay out the rows
        self.threshold = 0.0
        self.colours = LIGHT

    @property
    def shown(self) -> Sequence[Row]:
        """Top-level rows."""
        return self._shown

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Set the rows; rows that remain keep their position, selection and expanded state."""
        self._all = list(rows)
        self._update()

    def set_filter(self, text: str) -> None:
        """Show only rows with a caption that contains all these words; used by `CaptionTable.set_filter`."""
        self._words = tuple(text.casefold().split())
        self._update()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort rows by time, caption or probability."""
        self._order = (column, order is Qt.SortOrder.DescendingOrder)
        self.layoutAboutToBeChanged.emit()
        moved = [index for index in self.persistentIndexList() if not index.internalId()]
        rows = [self._shown[index.row()] for index in moved]
        self._set(self._wanted())
        places = [self.index(self._places[row.number], index.column()) for row, index in zip(rows, moved, strict=True)]
        self.changePersistentIndexList(moved, places)
        self.layoutChanged.emit()

    def set_threshold(self, threshold: float) -> None:
        """Set the probability, 0 to 1, below which captions are marked "perhaps"."""
        self.threshold = threshold
        self.repaint()

    def set_colours(self, colours: Colours) -> None:
        """Take a theme."""
        self.colours = colours
        self.repaint()

    def repaint(self) -> None:
        """Ask for a new layout; for `dataChanged`, QTreeView would measure every row, visible or not."""
        self.repainted.emit()

    def _wanted(self) -> list[Row]:
        rows = [row for row in self._all if self._matches(row)]
        column, descending = self._order
        keys: dict[int, Callable[[Row], Any]] = {
            CAPTION: lambda row: shown_text(row.record).casefold(), PROBABILITY: row_probability,
        }  # fmt: skip
        if column in keys:
            rows.sort(key=keys[column], reverse=descending)
        elif descending:
            rows.reverse()
        return rows

    def _matches(self, row: Row) -> bool:
        if not self._words:
            return True
        texts = [shown_text(row.record), *(caption.text for caption in row.record.captions[1:])]
        return any(all(word in text.casefold() for word in self._words) for text in texts)

    def _update(self) -> None:
        """Replace the changed rows between the common first and last rows, so that the view keeps the others."""
        old, new = self._shown, self._wanted()
        same = lambda a, b: a.number == b.number and len(a.record.captions) == len(b.record.captions)  # noqa: E731
        most = min(len(old), len(new))
        head = next((n for n in range(most) if not same(old[n], new[n])), most)
        tail = next((n for n in range(most - head) if not same(old[-1 - n], new[-1 - n])), most - head)
        if len(old) - head - tail > 0:
            self.beginRemoveRows(QModelIndex(), head, len(old) - tail - 1)
            self._set(old[:head] + old[len(old) - tail :])
            self.endRemoveRows()
        if len(new) - head - tail > 0:
            self.beginInsertRows(QModelIndex(), head, len(new) - tail - 1)
            self._set(self._shown[:head] + new[head : len(new) - tail] + self._shown[head:])
            self.endInsertRows()
        before = self._shown
        self._set(new)
        changed = [n for n, (a, b) in enumerate(zip(before, new, strict=True)) if a is not b]
        if len(changed) > MOST_CHANGES:
            self.repaint()
        elif changed:
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], len(COLUMNS) - 1))

    def _set(self, rows: list[Row]) -> None:
        self._shown = rows
        self._places = {row.number: place for place, row in enumerate(rows)}

    def place_of(self, number: int) -> QModelIndex:
        """Return the index of a row; invalid if it is not shown."""
        place = self._places.get(number)
        return QModelIndex() if place is None else self.index(place, 0)

    def row_of(self, index: QModelIndex) -> tuple[Row, int]:
        """Return the row of an index and the position, from 0, of the caption in this row."""
        if index.internalId():
            return self._shown[self._places[index.internalId()]], index.row() + 1
        return self._shown[index.row()], 0

    # QAbstractItemModel; Qt calls these methods for each row at each layout, so that they are short

    def index(self, row: int, column: int, parent: QModelIndex = QModelIndex()) -> QModelIndex:  # noqa: B008 - signature of Qt
        """Return the index of an item."""
        if row < 0 or not 0 <= column < len(COLUMNS):
            return QModelIndex()
        if not parent.isValid():
            return self.createIndex(row, column, 0) if row < len(self._shown) else QModelIndex()
        if row >= self.rowCount(parent):
            return QModelIndex()
        return self.createIndex(row, column, self._shown[parent.row()].number)

    def sibling(self, row: int, column: int, idx: QModelIndex) -> QModelIndex:
        """Return the index of another cell of the same level."""
        if row == idx.row() and 0 <= column < len(COLUMNS):
            return self.createIndex(row, column, idx.internalId())
        return super().sibling(row, column, idx)

    def hasChildren(self, parent: QModelIndex = QModelIndex()) -> bool:  # noqa: B008
        """Return whether an item has alternative captions, or the table rows to lay out."""
        if not parent.isValid():
            return bool(self._shown) and not self.is_suspended
        return not parent.internalId() and not parent.column() and len(self._shown[parent.row()].record.captions) > 1

    def parent(self, index: QModelIndex = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        """Return the row index of an alternative caption."""
        return self.place_of(index.internalId()) if index.isValid() and index.internalId() else QModelIndex()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of rows, or of a row's alternative captions."""
        if not parent.isValid():
            return len(self._shown)
        if parent.internalId() or parent.column():
            return 0
        return len(self._shown[parent.row()].record.captions) - 1

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Return the number of columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _ITEM.DisplayRole) -> Any:
        """Return the column titles."""
        return COLUMNS[section] if role == _ITEM.DisplayRole and orientation is Qt.Orientation.Horizontal else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return the flags of an item; captions are editable."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return _ALTERNATIVE if index.internalId() else _EDIT if index.column() == CAPTION else _READ

    def data(self, index: QModelIndex, role: int = _ITEM.DisplayRole) -> Any:
        """Return the data of a cell."""
        if not index.isValid():
            return None
        row, rank = self.row_of(index)
        if role == _ITEM.DisplayRole:
            return self._text(row, rank, index.column())
        if role == _ITEM.EditRole:
            return shown_text(row.record) if not is_silence(row.record) else ""
        if role == _ITEM.ToolTipRole:
            return self._tip(row, rank, index.column())
        if role == _ITEM.ForegroundRole and (rank or is_doubtful(row, self.threshold) or is_silence(row.record)):
            return QColor(self.colours.muted)
        if role == _ITEM.AccessibleTextRole:
            return ", ".join(filter(None, (self._text(row, rank, column) for column in range(len(COLUMNS)))))
        return None

    def _text(self, row: Row, rank: int, column: int) -> str:
        record = row.record
        if rank:
            return (f"{rank + 1}.", record.captions[rank].text, probability_text(record.captions[rank]))[column]
        if column == TIME:
            return time_span(record.start_s, record.end_s)  # as on the time axis, also of a listening session
        if column == CAPTION:
            return caption_shown(row, self.threshold)
        return "" if is_silence(record) else _REVIEWS.get(row.review) or probability_text(record.captions[0])

    def _tip(self, row: Row, rank: int, column: int) -> str:
        record = row.record
        if column == TIME:
            span = time_span(record.start_s, record.end_s)
            return f"{span}, heard at {row.heard_at[:19].replace('T', ' ')}" if row.heard_at else span
        if is_silence(record):
            return record.caption if column == CAPTION else ""
        if not rank and row.is_kept:
            tip = f"{_REVIEWS[row.review].capitalize()} by you."
        else:
            tip = probability_tip(record.captions[rank])
        return f"{record.captions[rank].text}\n{tip}" if column == CAPTION else tip

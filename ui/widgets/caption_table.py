"""Table of a document's captions: one row per span, with alternative captions as child rows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PyQt6.QtCore import (
    QAbstractItemModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    Qt,
    QTimer,
    pyqtSignal,
)
from PyQt6.QtGui import QColor, QFocusEvent, QKeyEvent, QRegion
from PyQt6.QtWidgets import QAbstractItemView, QTreeView

from data.caption_formats import ScoredCaption
from ui.store.documents import Review, Row
from ui.store.exports import is_silence, shown_text
from ui.widgets.parts import FittedColumns, describe, probability_text, probability_tip, time_span
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
            return (f"{rank + 1}.", record.captions[rank].text, _probability(record.captions[rank]))[column]
        if column == TIME:
            return time_span(record.start_s, record.end_s)  # as on the time axis, also of a listening session
        if column == CAPTION:
            return caption_shown(row, self.threshold)
        return "" if is_silence(record) else _REVIEWS.get(row.review) or _probability(record.captions[0])

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


def _probability(caption: ScoredCaption) -> str:
    return probability_text(caption)


class CaptionTable(FittedColumns, QTreeView):
    """Tree view of captions with editing; emits signals for the current row and for edits."""

    current_changed = pyqtSignal(object)  # Row
    edited = pyqtSignal(object, str)  # Row; its new text
    chosen = pyqtSignal(object, int)  # Row; index of the chosen caption, from 0

    def __init__(self) -> None:
        super().__init__()
        self.rows = CaptionModel(self)
        self._updating = False
        self._alone = 0  # number of the row expanded because it is the only one
        self.setModel(self.rows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.EditKeyPressed | triggers.DoubleClicked)
        self.setSortingEnabled(True)
        self.sortByColumn(TIME, Qt.SortOrder.AscendingOrder)
        self.fit_columns(CAPTION, optional=PROBABILITY)
        self.rows.rowsInserted.connect(self._expand_alone)
        self.rows.repainted.connect(self.scheduleDelayedItemsLayout)
        self.doubleClicked.connect(self._on_double_click)
        describe(self, "Captions", "Click a row to seek to it; F2 edits it.")

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Set the rows; keeps the selection, and keeps the end of the list visible if it was."""
        bar = self.verticalScrollBar()
        follows = bar is not None and bar.value() == bar.maximum() and bar.maximum() > 0
        chosen = {row.number for row in self.selected()}
        self._updating = True  # ignore changes of the current row made by Qt, not by the user
        self.rows.set_rows(rows)
        self._updating = False
        missing = chosen - {row.number for row in self.selected()}
        for number in missing:  # rows whose number of captions has changed
            place, selection = self.rows.place_of(number), self.selectionModel()
            if place.isValid() and selection is not None:
                flags = QItemSelectionModel.SelectionFlag
                selection.select(place, flags.Select | flags.Rows)
                self.blockSignals(True)
                selection.setCurrentIndex(place, flags.NoUpdate)
                self.blockSignals(False)
        if follows and not chosen:
            self.scrollToBottom()

    @contextmanager
    def one_layout(self) -> Iterator[None]:
        """Lay out the rows once at the end of the block, such as a change of the theme, in which Qt would do it ten times."""
        bar = self.verticalScrollBar()
        assert bar is not None
        place = bar.value()
        if bar.isVisible():  # stays, or the columns would be fitted twice
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.rows.is_suspended = True
        try:
            yield
        finally:
            self.rows.is_suspended = False
            self.scheduleDelayedItemsLayout()
            self.executeDelayedItemsLayout()
            bar.setValue(place)
            self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)

    def set_filter(self, text: str) -> None:
        """Show only rows with a caption that contains all these words; the play head stays."""
        self._updating = True
        self.rows.set_filter(text)
        self._updating = False

    def next_after(self, rows: Sequence[Row]) -> Row | None:
        """Return the row below the last of these rows, else the one above the first, else None."""
        numbers = {row.number for row in rows}
        places = [place for place, row in enumerate(self.rows.shown) if row.number in numbers]
        if not places:
            return None
        shown, last = self.rows.shown, places[-1] + 1
        return shown[last] if last < len(shown) else shown[places[0] - 1] if places[0] else None

    def forget_selection(self) -> None:
        """Clear selection and current row without the signals, for which Qt would measure every selected row."""
        selection = self.selectionModel()
        if selection is not None:
            selection.reset()

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        """Return the visible part of the list, for which Qt would measure every selected row."""
        viewport = self.viewport()
        return QRegion() if viewport is None else QRegion(viewport.rect())

    def selected(self) -> list[Row]:
        """Return the selected rows in display order."""
        selection = self.selectionModel()
        if selection is None:
            return []
        found: set[int] = set()
        ranges = selection.selection()  # since there may be thousands of selected cells
        for part in (ranges[place] for place in range(len(ranges))):
            if part.parent().isValid():
                found.add(self.rows.row_of(part.parent())[0].number)
            else:
                found |= {row.number for row in self.rows.shown[part.top() : part.bottom() + 1]}
        return [row for row in self.rows.shown if row.number in found]

    def show_row(self, number: int) -> None:
        """Make a row current without emitting signals, as during playback."""
        place, selection = self.rows.place_of(number), self.selectionModel()
        if not place.isValid() or selection is None:
            return
        if place.row() != self._current_place() or not selection.hasSelection():
            flags = QItemSelectionModel.SelectionFlag
            self.blockSignals(True)
            selection.setCurrentIndex(place, flags.ClearAndSelect | flags.Rows)
            self.blockSignals(False)
            self.scrollTo(place)

    def choose(self) -> None:
        """Make the current alternative caption the best caption of its row."""
        index = self.currentIndex()
        if index.isValid() and index.internalId():
            self.chosen.emit(*self.rows.row_of(index))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Emit the row that the user selected."""
        super().currentChanged(current, previous)
        if current.isValid() and not self._updating:
            self.current_changed.emit(self.rows.row_of(current)[0])

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Take the focus without moving the play head, though Qt makes the first row current."""
        self._updating = True
        super().focusInEvent(event)
        self._updating = False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Select the current row if a movement finds it current already, as after the focus came."""
        super().keyPressEvent(event)
        index, selection = self.currentIndex(), self.selectionModel()
        moves = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)
        moved = event is not None and event.key() in moves and not event.modifiers()
        if moved and index.isValid() and selection is not None and not selection.hasSelection():
            flags = QItemSelectionModel.SelectionFlag
            selection.select(index, flags.ClearAndSelect | flags.Rows)
            self.current_changed.emit(self.rows.row_of(index)[0])

    def commitData(self, editor: Any) -> None:
        """Emit the edited text of a caption."""
        row, _ = self.rows.row_of(self.currentIndex())
        text = editor.property("text")
        QTimer.singleShot(0, lambda: self.edited.emit(row, text))  # the row may change when the editor is closed

    def _current_place(self) -> int:
        index = self.currentIndex()
        return index.parent().row() if index.parent().isValid() else index.row()

    def _expand_alone(self) -> None:
        """Expand the row if it is the only one, and collapse it once there are more."""
        if len(self.rows.shown) == 1:
            self.expandAll()
            self._alone = self.rows.shown[0].number
        elif self._alone:
            self.collapse(self.rows.place_of(self._alone))
            self._alone = 0

    def _on_double_click(self, index: QModelIndex) -> None:
        if index.internalId():
            self.choose()

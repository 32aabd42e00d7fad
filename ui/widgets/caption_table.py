"""Table of a document's captions: its selection, editing and layout."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PyQt6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    Qt,
    QTimer,
    pyqtSignal,
)
from PyQt6.QtGui import QFocusEvent, QKeyEvent, QRegion
from PyQt6.QtWidgets import QAbstractItemView, QTreeView

from ui.store.documents import Row
from ui.widgets.caption_model import CAPTION, PROBABILITY, TIME, CaptionModel
from ui.widgets.columns import FittedColumns
from ui.widgets.parts import describe


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
        """Show only rows with a caption that contains all these words, from the current or the first one on."""
        self._updating = True
        self.rows.set_filter(text)
        self._updating = False
        if (current := self.currentIndex()).isValid():
            self.scrollTo(current)
        else:
            self.scrollToTop()

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

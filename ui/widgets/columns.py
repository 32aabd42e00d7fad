"""Lists with several columns, one of which wraps its text."""

from typing import TYPE_CHECKING

from PyQt6.QtCore import QEvent, QModelIndex, QRect, QSize, Qt, QTimer
from PyQt6.QtGui import QFocusEvent, QGuiApplication, QPainter, QPaintEvent, QPalette, QResizeEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QTreeWidget,
)

from ui.widgets.parts import describe


class _WrappingDelegate(QStyledItemDelegate):
    """Item delegate that computes the height of wrapped text, which QTreeView does not do."""

    PADDING = 4  # horizontal padding, pixels, as in the style sheet
    LINE_GAP = 6  # vertical gap between rows, pixels
    MOST_SIZES = 20_000

    def __init__(self, tree: QTreeView) -> None:
        super().__init__(tree)
        self._tree = tree
        self._width = 0  # of the column, pixels
        self._sizes: dict[str, QSize] = {}  # of texts at this width; the same captions recur

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of the text wrapped at the column's width."""
        width, text = self._tree.columnWidth(index.column()), str(index.data())
        if width != self._width or len(self._sizes) >= self.MOST_SIZES:
            self.forget()
            self._width = width
        size = self._sizes.get(text)
        if size is None:
            room = QStyleOptionViewItem(option)
            room.rect = QRect(0, 0, max(40, width - self.PADDING), 1)
            size = self._sizes[text] = super().sizeHint(room, index) + QSize(0, self.LINE_GAP)
        return size

    def forget(self) -> None:
        """Forget all sizes, as after a change of font."""
        self._sizes.clear()


class _LineDelegate(QStyledItemDelegate):
    """Item delegate of a single line, which is never higher than the wrapped text beside it."""

    NONE = QSize(0, 0)

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return no size, so that Qt need not ask for the text of every row."""
        return self.NONE

    def true_size(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of the text."""
        return super().sizeHint(option, index)


if TYPE_CHECKING:
    _Tree = QTreeView
else:
    _Tree = object  # PyQt allows a single Qt base class, which the subclass names


class FittedColumns(_Tree):
    """Mixin for column widths: one column wraps its text and takes the remaining width, at least READABLE pixels.

    For QTreeView and QTreeWidget; call `fit_columns` after the model is set.
    """

    READABLE = 200  # pixels, about 30 characters
    SHORTEST = 70  # minimum width of any other column, pixels
    MEASURED = 10  # rows at the beginning, at the end and twice as many from the first visible one

    def fit_columns(self, stretched: int, hint: str = "", optional: int | None = None) -> None:
        """Start fitting the column widths.

        Args:
            stretched: index of the column that takes the remaining width.
            hint: text displayed while the list is empty.
            optional: index of a column that is hidden if the width is insufficient, or None.
        """
        self._stretched, self._optional, self._hint = stretched, optional, hint
        self.setWordWrap(True)
        self._wrapping, self._line = _WrappingDelegate(self), _LineDelegate(self)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)  # text is wrapped instead
        self.setMinimumHeight(112)  # height of the header and a caption of four lines
        header, model = self.header(), self.model()
        assert header is not None and model is not None
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        header.sectionResized.connect(self.scheduleDelayedItemsLayout)
        for column in range(model.columnCount()):
            mode = QHeaderView.ResizeMode.Stretch if column == stretched else QHeaderView.ResizeMode.Fixed
            header.setSectionResizeMode(column, mode)
            self.setItemDelegateForColumn(column, self._wrapping if column == stretched else self._line)
        self._fitting = QTimer(self)
        self._fitting.setSingleShot(True)
        self._fitting.setInterval(0)
        self._fitting.timeout.connect(self._fit)
        for changed in (model.rowsInserted, model.rowsRemoved, model.dataChanged, model.modelReset):
            changed.connect(self._fitting.start)

    def set_hint(self, hint: str) -> None:
        """Set the text displayed while the list is empty."""
        self._hint = hint
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit the column widths after a resize."""
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, a0: QEvent | None) -> None:
        """Measure the texts again after a change of font or style."""
        super().changeEvent(a0)
        if a0 is not None and a0.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._wrapping.forget()
            self._fitting.start()

    def _fit(self) -> None:
        """Set each column to the width of its content, as long as the stretched column keeps its minimum width."""
        header, viewport, model = self.header(), self.viewport(), self.model()
        assert header is not None and viewport is not None and model is not None
        if self._optional is not None:
            self.setColumnHidden(self._optional, False)
        widths = {
            column: max(self._content_width(column), header.sectionSizeHint(column))
            for column in range(model.columnCount())
            if column != self._stretched
        }
        missing = self.READABLE - (viewport.width() - sum(widths.values()))
        if missing > 0 and self._optional is not None:
            self.setColumnHidden(self._optional, True)
            missing -= widths.pop(self._optional)
        if missing > 0:
            widest = max(widths, key=lambda column: widths[column])
            widths[widest] = max(self.SHORTEST, widths[widest] - missing)
        for column, width in widths.items():
            header.resizeSection(column, width)

    def _content_width(self, column: int) -> int:
        """Return the width of the widest measured text, pixels; `sizeHintForColumn` would lay out all rows before."""
        model, bar = self.model(), self.verticalScrollBar()
        assert model is not None and bar is not None
        count, first, most = model.rowCount(), bar.value(), self.MEASURED
        rows = {
            *range(min(most, count)),
            *range(max(0, count - most), count),
            *range(first, min(first + 2 * most, count)),
        }
        option = QStyleOptionViewItem()
        self.initViewItemOption(option)
        indent = self.indentation() if column == 0 and self.rootIsDecorated() else 0
        return indent + max((self._line.true_size(option, model.index(row, column)).width() for row in rows), default=0)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the rows, or the hint if there are none."""
        super().paintEvent(event)
        viewport, model = self.viewport(), self.model()
        if viewport is not None and model is not None and self._hint and not model.rowCount():
            painter = QPainter(viewport)
            painter.setPen(QGuiApplication.palette().color(QPalette.ColorRole.PlaceholderText))
            room = viewport.rect().adjusted(8, 4, -8, -4)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._hint)


class Table(FittedColumns, QTreeWidget):
    """List with several columns.

    Args:
        columns: column titles.
        stretched: index of the column that takes the remaining width.
        name: accessible name.
        tip: tooltip.
        hint: text displayed while the list is empty.
    """

    def __init__(self, columns: tuple[str, ...], stretched: int, name: str, tip: str, hint: str = "") -> None:
        super().__init__()
        self.setHeaderLabels(columns)
        self.setRootIsDecorated(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.fit_columns(stretched, hint)
        describe(self, name, tip)

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        """Select the current line when the keyboard comes here; arrow keys could not select a line that is alone."""
        super().focusInEvent(event)
        by_key = event is not None and event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
        )
        if by_key and not self.selectedItems():
            self.setCurrentItem(self.currentItem() or self.topLevelItem(0))

"""Small things that every panel uses."""

import math
from typing import TYPE_CHECKING

from PyQt6.QtCore import QLocale, QModelIndex, QRect, QSize, Qt, QTimer
from PyQt6.QtGui import QGuiApplication, QKeySequence, QPainter, QPaintEvent, QPalette, QResizeEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QTreeWidget,
    QVBoxLayout,
    QWidget,
)

from data.caption_formats import ScoredCaption, percent
from ui.widgets.buttons import SteadyButton


def card(*parts: QWidget | QLayout) -> QFrame:
    """A surface with rounded corners that holds parts one below the other."""
    frame = QFrame()
    frame.setObjectName("card")
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(16, 12, 16, 14)
    layout.setSpacing(8)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return frame


def describe(widget: QWidget, name: str, tip: str = "", shortcut: str = "") -> None:
    """Give a control the name that screen readers say, and a tooltip; not for texts, whose name is what they say."""
    keys = QKeySequence(shortcut).toString(QKeySequence.SequenceFormat.NativeText) if shortcut else ""
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tip)
    widget.setToolTip(f"{tip or name} ({keys})" if keys else tip or name)


def button(text: str, tip: str, shortcut: str = "", flat: bool = False) -> SteadyButton:
    """A button with its tooltip; the shortcut is told here and bound in the window's menus."""
    made = SteadyButton(text)
    describe(made, text, tip, shortcut)
    if flat:
        made.setProperty("flat", True)
    return made


def heading(text: str, buddy: QWidget | None = None) -> QLabel:
    """A label above a control."""
    label = QLabel(text)
    label.setProperty("heading", True)
    if buddy is not None:
        label.setBuddy(buddy)
    return label


class YieldingLabel(QLabel):
    """A line whose text, however long, never keeps the window wide: where there is no room it ends in "…"."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, text: str | None) -> None:
        """Show a text; the tooltip has all of it."""
        super().setText(text)
        self.setToolTip(text)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """As much of the text as fits."""
        painter = QPainter(self)
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, int(self.alignment()), text)


def muted(text: str = "") -> QLabel:
    """A label that is read second."""
    label = QLabel(text)
    label.setProperty("muted", True)
    return label


def set_primary(target: QPushButton, primary: bool) -> None:
    """Paint a button in the accent, or no more."""
    if bool(target.property("primary")) != primary:
        target.setProperty("primary", primary)
        style = target.style()
        if style is not None:
            style.unpolish(target)
            style.polish(target)


class _WrappingDelegate(QStyledItemDelegate):
    """Gives a line the height that its broken text needs, which a tree does not do by itself."""

    PADDING = 4  # pixels beside the text, as the style sheet has it
    LINE_GAP = 6  # pixels between lines of the list

    def __init__(self, tree: QTreeView) -> None:
        super().__init__(tree)
        self._tree = tree

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """The text's size, broken at the column's width."""
        room = QStyleOptionViewItem(option)
        room.rect = QRect(0, 0, max(40, self._tree.columnWidth(index.column()) - self.PADDING), 1)
        return super().sizeHint(room, index) + QSize(0, self.LINE_GAP)


if TYPE_CHECKING:
    _Tree = QTreeView
else:
    _Tree = object  # PyQt allows one base of Qt's, which the class that uses this names


class FittedColumns(_Tree):
    """Columns of which one breaks its lines and takes the room that is left, at least READABLE pixels.

    For a QTreeView or QTreeWidget, which calls `fit_columns` once its model is there.
    """

    READABLE = 200  # pixels: some thirty letters
    SHORTEST = 70  # pixels of any other column

    def fit_columns(self, stretched: int, hint: str = "", optional: int | None = None) -> None:
        """Begin to share out the room.

        Args:
            stretched: the column that takes the room.
            hint: stands in the list while it is empty.
            optional: a column that gives way where room is short.
        """
        self._stretched, self._optional, self._hint = stretched, optional, hint
        self.setWordWrap(True)
        self.setItemDelegateForColumn(stretched, _WrappingDelegate(self))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)  # lines are broken instead
        self.setMinimumHeight(112)  # the header and a caption of four lines
        header, model = self.header(), self.model()
        assert header is not None and model is not None
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        header.setResizeContentsPrecision(50)  # rows that are measured: more take longer than a window may stand still
        header.sectionResized.connect(self.scheduleDelayedItemsLayout)
        for column in range(model.columnCount()):
            mode = QHeaderView.ResizeMode.Stretch if column == stretched else QHeaderView.ResizeMode.Fixed
            header.setSectionResizeMode(column, mode)
        self._fitting = QTimer(self)
        self._fitting.setSingleShot(True)
        self._fitting.setInterval(0)
        self._fitting.timeout.connect(self._fit)
        for changed in (model.rowsInserted, model.rowsRemoved, model.dataChanged, model.modelReset):
            changed.connect(self._fitting.start)

    def set_hint(self, hint: str) -> None:
        """Another text for the empty list."""
        self._hint = hint
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Share out the room anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Give each column the width of what is in it, as far as the stretched one stays readable."""
        header, viewport, model = self.header(), self.viewport(), self.model()
        assert header is not None and viewport is not None and model is not None
        if self._optional is not None:
            self.setColumnHidden(self._optional, False)
        widths = {
            column: max(self.sizeHintForColumn(column), header.sectionSizeHint(column))
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

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """The lines, or the hint."""
        super().paintEvent(event)
        viewport, model = self.viewport(), self.model()
        if viewport is not None and model is not None and self._hint and not model.rowCount():
            painter = QPainter(viewport)
            painter.setPen(QGuiApplication.palette().color(QPalette.ColorRole.PlaceholderText))
            room = viewport.rect().adjusted(8, 4, -8, -4)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._hint)


class Table(FittedColumns, QTreeWidget):
    """A list with columns.

    Args:
        columns: their names.
        stretched: the column that takes the room.
        name: what screen readers say.
        tip: tooltip.
        hint: stands in the list while it is empty.
    """

    def __init__(self, columns: tuple[str, ...], stretched: int, name: str, tip: str, hint: str = "") -> None:
        super().__init__()
        self.setHeaderLabels(columns)
        self.setRootIsDecorated(False)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.fit_columns(stretched, hint)
        describe(self, name, tip)


def minutes_seconds(seconds: float) -> str:
    """Time as mm:ss, or h:mm:ss from an hour on."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{clock}" if hours else clock


def decimal(value: float) -> str:
    """A number with one decimal, written as the person's locale has it."""
    return QLocale().toString(value, "f", 1)


def time_span(start_s: float, end_s: float) -> str:
    """A stretch of time as "mm:ss – mm:ss"."""
    return f"{minutes_seconds(start_s)} – {minutes_seconds(end_s)}"


def probability_text(caption: ScoredCaption) -> str:
    """A caption's probability in per cent: whole where it is calibrated, else that of exactly this sentence, two figures."""
    if caption.probability is not None:
        return percent(caption.probability)
    return f"{100 * math.exp(caption.log_probability):.2g} %"


def probability_tip(caption: ScoredCaption) -> str:
    """Which probability that is."""
    what = "of exactly this sentence" if caption.probability is None else "that this caption names the right sounds"
    return f"Probability {what}: {probability_text(caption)} (log-probability {caption.log_probability:.2f})"

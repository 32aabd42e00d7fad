"""Small things that every panel uses."""

import math

from PyQt6.QtCore import QModelIndex, QRect, QSize, Qt
from PyQt6.QtGui import QKeySequence
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
    QTreeWidget,
    QVBoxLayout,
    QWidget,
)


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
    """Give a control the name that screen readers say, and a tooltip."""
    keys = QKeySequence(shortcut).toString(QKeySequence.SequenceFormat.NativeText) if shortcut else ""
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tip)
    widget.setToolTip(f"{tip or name} ({keys})" if keys else tip or name)


def button(text: str, tip: str, shortcut: str = "", flat: bool = False) -> QPushButton:
    """A button with its tooltip; the shortcut is told here and bound in the window's menus."""
    made = QPushButton(text)
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


def yielding(label: QLabel) -> QLabel:
    """A label whose text, however long, never keeps the window wide."""
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


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

    PADDING = 22  # pixels beside the text
    LINE_GAP = 12  # pixels between lines of the list

    def __init__(self, tree: QTreeWidget) -> None:
        super().__init__(tree)
        self._tree = tree

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """The text's size, broken at the column's width."""
        width = max(40, self._tree.columnWidth(index.column()) - self.PADDING)
        text = str(index.data() or " ")
        box = option.fontMetrics.boundingRect(QRect(0, 0, width, 10_000), Qt.TextFlag.TextWordWrap, text)
        return QSize(box.width() + self.PADDING, box.height() + self.LINE_GAP)


def table(columns: tuple[str, ...], stretched: int, name: str, tip: str) -> QTreeWidget:
    """A list with columns, of which one takes the room that is left and breaks its lines."""
    tree = QTreeWidget()
    tree.setWordWrap(True)
    tree.setItemDelegateForColumn(stretched, _WrappingDelegate(tree))
    tree.setHeaderLabels(columns)
    tree.setRootIsDecorated(False)
    tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    header = tree.header()
    if header is not None:
        header.setStretchLastSection(False)
        header.sectionResized.connect(tree.scheduleDelayedItemsLayout)
        for column in range(len(columns)):
            mode = QHeaderView.ResizeMode.Stretch if column == stretched else QHeaderView.ResizeMode.ResizeToContents
            header.setSectionResizeMode(column, mode)
    describe(tree, name, tip)
    return tree


def minutes_seconds(seconds: float) -> str:
    """Time as mm:ss, or h:mm:ss from an hour on."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    clock = f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{clock}" if hours else clock


def time_span(start_s: float, end_s: float) -> str:
    """A stretch of time as "mm:ss – mm:ss"."""
    return f"{minutes_seconds(start_s)} – {minutes_seconds(end_s)}"


def probability_text(log_probability: float) -> str:
    """A caption's probability in per cent, two figures."""
    return f"{100 * math.exp(log_probability):.2g} %"

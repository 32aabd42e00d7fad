"""Helper functions and widgets shared by all panels."""

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeySequence, QPainter, QPaintEvent
from PyQt6.QtWidgets import (
    QFrame,
    QLabel,
    QLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ui.widgets.buttons import SteadyButton


def card(*parts: QWidget | QLayout) -> QFrame:
    """Create a frame with rounded corners that stacks its parts vertically."""
    frame = QFrame()
    frame.setObjectName("card")
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(12, 12, 12, 14)
    layout.setSpacing(8)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return frame


def describe(widget: QWidget, name: str, tip: str = "", shortcut: str = "") -> None:
    """Set the accessible name and the tooltip of a control; labels need none, since their text is their name."""
    keys = QKeySequence(shortcut).toString(QKeySequence.SequenceFormat.NativeText) if shortcut else ""
    widget.setAccessibleName(name)
    widget.setAccessibleDescription(tip)
    widget.setToolTip(f"{tip or name} ({keys})" if keys else tip or name)


def button(text: str, tip: str, shortcut: str = "", flat: bool = False) -> SteadyButton:
    """Create a button with a tooltip that mentions the shortcut; the shortcut itself is bound in the window's menus."""
    made = SteadyButton(text)
    describe(made, text, tip, shortcut)
    if flat:
        made.setProperty("flat", True)
    return made


def heading(text: str, buddy: QWidget | None = None) -> QLabel:
    """Create a heading label, with an optional buddy control."""
    label = QLabel(text)
    label.setProperty("heading", True)
    if buddy is not None:
        label.setBuddy(buddy)
    return label


class YieldingLabel(QLabel):
    """Single-line label that elides its text with "…" instead of widening the window."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def setText(self, text: str | None) -> None:
        """Set the text, and the tooltip to the full text."""
        super().setText(text)
        self.setToolTip(text)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the elided text."""
        painter = QPainter(self)
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, int(self.alignment()), text)


def muted(text: str = "") -> QLabel:
    """Create a label in the muted text colour."""
    label = QLabel(text)
    label.setProperty("muted", True)
    return label


def set_primary(target: QPushButton, primary: bool) -> None:
    """Set whether a button is painted in the accent colour."""
    if bool(target.property("primary")) != primary:
        target.setProperty("primary", primary)
        style = target.style()
        if style is not None:
            style.unpolish(target)
            style.polish(target)

"""Messages of the window: a banner for important messages and a log for all."""

from collections.abc import Callable
from datetime import datetime

from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from ui.widgets.parts import button, describe

MAX_LOG_LINES = 2000
MARGIN, NARROWEST, WIDEST = 12, 320, 900  # pixels


class Banner(QFrame):
    """Message that floats above a part of the window until it is closed or replaced.

    Args:
        window: the window; screen readers do not see children of its scroll area.
        area: part of the window in which the banner stays.
        below: widget inside `area` that the banner covers.
    """

    def __init__(self, window: QWidget, area: QWidget, below: QWidget) -> None:
        super().__init__(window)
        self._area, self._below = area, below
        self.setObjectName("banner")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = button("Undo", "Undo the action that this message reports.")
        self.action.clicked.connect(self._act)
        self._on_action: Callable[[], object] = lambda: None
        self.close_button = button("Dismiss", "Close this message.", flat=True)
        self.close_button.clicked.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 6, 8, 6)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.action)
        layout.addWidget(self.close_button)
        self.hide()

    def show_message(self, sentence: str, name: str = "", action: Callable[[], object] = lambda: None) -> None:
        """Display a sentence, with a button labelled `name` that calls `action` if `name` is not empty."""
        self.text.setText(sentence)
        self.action.setText(name)
        self.action.setAccessibleName(name)
        self.action.setVisible(bool(name))
        self._on_action = action
        self.setAccessibleName(sentence)
        self.place()
        self.show()
        self.raise_()

    def place(self) -> None:
        """Move the banner to the top centre of the covered widget, with the width of its text."""
        owner, layout = self.parentWidget(), self.layout()
        if owner is None or layout is None:
            return
        buttons = self.close_button.sizeHint().width() + (self.action.sizeHint().width() if self.action.text() else 0)
        wished = self.text.fontMetrics().horizontalAdvance(self.text.text()) + buttons + 80
        place, room = (QRect(part.mapTo(owner, QPoint(0, 0)), part.size()) for part in (self._area, self._below))
        room = room.intersected(place)
        if room.width() < NARROWEST:  # the covered widget is scrolled out of view
            room = place
        width = min(room.width() - 2 * MARGIN, max(NARROWEST, wished), WIDEST)
        edge = self.contentsMargins()  # of the frame, which the layout does not count
        inner = width - edge.left() - edge.right()
        self.resize(width, layout.heightForWidth(inner) + edge.top() + edge.bottom())
        self.move(room.left() + (room.width() - width) // 2, place.top() + MARGIN)

    def _act(self) -> None:
        self.hide()
        self._on_action()


class LogPanel(QPlainTextEdit):
    """Log of events with their time; limited in length."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setMaximumBlockCount(MAX_LOG_LINES)
        self.setMaximumHeight(150)
        self.setTabChangesFocus(True)
        describe(self, "Log", "What happened, with times.")

    def add(self, line: str) -> None:
        """Append a line with the current time."""
        self.appendPlainText(f"{datetime.now():%H:%M:%S}  {line}")

"""Messages of the window: a banner for important messages and a log for all."""

from collections.abc import Callable
from datetime import datetime

from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from ui.widgets.parts import button, describe

MAX_LOG_LINES = 2000
MARGIN, NARROWEST, WIDEST = 12, 320, 900  # pixels
MAX_ALERTS = 4  # lines


class Banner(QFrame):
    """Message that floats above a part of the window until it is closed or replaced.

    Alerts stand above the message and stay until the user closes the banner.

    Args:
        window: the window; screen readers do not see children of its scroll area.
        area: part of the window in which the banner stays.
        below: widget inside `area` that the banner covers.
    """

    def __init__(self, window: QWidget, area: QWidget, below: QWidget) -> None:
        super().__init__(window)
        self._area, self._below = area, below
        self._message = ""
        self._alerts: dict[str, str] = {}  # the latest of each kind, oldest first
        self.setObjectName("banner")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = button("Undo", "Undo the action that this message reports.")
        self.action.clicked.connect(self._act)
        self._on_action: Callable[[], object] = lambda: None
        self.close_button = button("Dismiss", "Close this message.", flat=True)
        self.close_button.clicked.connect(self.dismiss)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 6, 8, 6)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.action)
        layout.addWidget(self.close_button)
        self.hide()

    def show_message(self, sentence: str, name: str = "", action: Callable[[], object] = lambda: None) -> None:
        """Display a sentence, with a button labelled `name` that calls `action` if `name` is not empty."""
        self._message = sentence
        self.action.setText(name)
        self.action.setAccessibleName(name)
        self.action.setVisible(bool(name))
        self._on_action = action
        self._show()

    def show_alert(self, kind: str, sentence: str) -> None:
        """Display a sentence that messages do not replace; it replaces an earlier alert of the same kind."""
        self._alerts.pop(kind, None)
        self._alerts[kind] = sentence
        for oldest in list(self._alerts)[:-MAX_ALERTS]:
            del self._alerts[oldest]
        self._show()

    def end_message(self, sentence: str | None = None) -> None:
        """Remove the message, or only if it is `sentence`; alerts stay."""
        if sentence is None or sentence == self._message:
            self._message = ""
            self.action.hide()
            self._show()

    def dismiss(self) -> None:
        """Remove the message and all alerts."""
        self._alerts.clear()
        self.end_message()

    def _show(self) -> None:
        text = "\n".join(filter(None, (*self._alerts.values(), self._message)))
        self.setVisible(bool(text))
        if text:
            self.text.setText(text)
            self.setAccessibleName(text)
            self.place()
            self.raise_()

    def place(self) -> None:
        """Move the banner to the top centre of the covered widget, with the width of its text."""
        owner, layout = self.parentWidget(), self.layout()
        if owner is None or layout is None:
            return
        buttons = self.close_button.sizeHint().width() + (
            0 if self.action.isHidden() else self.action.sizeHint().width()
        )
        widest = max(map(self.text.fontMetrics().horizontalAdvance, self.text.text().split("\n")))
        wished = widest + buttons + 80
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
        self.end_message()
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

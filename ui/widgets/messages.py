"""What the window tells: a banner for what needs a person, a log for everything."""

from collections.abc import Callable
from datetime import datetime

from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QWidget

from ui.widgets.parts import button, describe

MAX_LOG_LINES = 2000
MARGIN, NARROWEST, WIDEST = 12, 320, 900  # pixels


class Banner(QFrame):
    """One sentence that floats above a part of the window, so that nothing moves, until it is closed or another comes.

    Args:
        parent: what it lies in.
        below: a part of that, which it lies over.
    """

    def __init__(self, parent: QWidget, below: QWidget) -> None:
        super().__init__(parent)
        self._below = below
        self.setObjectName("banner")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = button("Undo", "Undo what this message tells.")
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

    def tell(self, sentence: str, name: str = "", action: Callable[[], object] = lambda: None) -> None:
        """Show a sentence, with a button called `name` beside it where there is one."""
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
        """Stand at the top of that part, in its middle, as wide as the sentence needs."""
        owner, layout = self.parentWidget(), self.layout()
        if owner is None or layout is None:
            return
        buttons = self.close_button.sizeHint().width() + (self.action.sizeHint().width() if self.action.text() else 0)
        wished = self.text.fontMetrics().horizontalAdvance(self.text.text()) + buttons + 80
        room = QRect(self._below.mapTo(owner, QPoint(0, 0)), self._below.size()).intersected(owner.rect())
        if room.width() < NARROWEST:  # that part is scrolled out of view
            room = owner.rect()
        width = min(room.width() - 2 * MARGIN, max(NARROWEST, wished), WIDEST)
        self.resize(width, layout.heightForWidth(width))
        self.move(room.left() + (room.width() - width) // 2, MARGIN)

    def _act(self) -> None:
        self.hide()
        self._on_action()


class LogPanel(QPlainTextEdit):
    """Everything that happened, with times; bounded."""

    def __init__(self) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setMaximumBlockCount(MAX_LOG_LINES)
        self.setMaximumHeight(150)
        self.setTabChangesFocus(True)
        describe(self, "Log", "What happened, with times.")

    def add(self, line: str) -> None:
        """Add a line."""
        self.appendPlainText(f"{datetime.now():%H:%M:%S}  {line}")

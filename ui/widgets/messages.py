"""What the window tells: a banner for what needs a person, a log for everything."""

from datetime import datetime

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit

from ui.widgets.parts import button, describe

MAX_LOG_LINES = 2000


class Banner(QFrame):
    """One sentence above everything, until it is closed or another comes."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("banner")
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        describe(self.text, "Message")
        self.close_button = button("Dismiss", "Close this message.", flat=True)
        self.close_button.clicked.connect(self.hide)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 6, 8, 6)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.close_button)
        self.hide()

    def tell(self, sentence: str) -> None:
        """Show a sentence."""
        self.text.setText(sentence)
        self.show()


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

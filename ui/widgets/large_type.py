"""Live captions in large letters, with a flash on loud sounds, for people who cannot hear."""

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QFont, QKeySequence, QResizeEvent, QShortcut
from PyQt6.QtWidgets import QLabel, QVBoxLayout, QWidget

from ui.store.exports import wrapped
from ui.widgets.parts import describe
from ui.widgets.theme import LIGHT, Colours

FLASH_MS = 350


class LargeTypeWindow(QWidget):
    """A window of its own; Escape closes it."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Live captions")
        self.setObjectName("large")
        self.resize(1000, 420)
        self._colours = LIGHT
        self.caption = QLabel("Press Listen, and what is heard stands here.")
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        describe(self.caption, "Live caption")
        self.before = QLabel()
        self.before.setAlignment(Qt.AlignmentFlag.AlignCenter)
        describe(self.before, "Earlier caption")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(40, 30, 40, 30)
        layout.addStretch(1)
        layout.addWidget(self.before)
        layout.addWidget(self.caption)
        layout.addStretch(2)
        self._flash = QTimer(self)
        self._flash.setSingleShot(True)
        self._flash.setInterval(FLASH_MS)
        self._flash.timeout.connect(self._paint)
        QShortcut(QKeySequence("Esc"), self, self.close)
        self._paint()

    @property
    def is_flashing(self) -> bool:
        """Whether a loud sound is being shown."""
        return self._flash.isActive()

    def show_caption(self, text: str, extends: bool) -> None:
        """Show the newest caption; the one before moves up unless this is the same one going on."""
        if not extends:
            self.before.setText(self.caption.text())
        self.caption.setText(wrapped(text))

    def flash(self) -> None:
        """Turn the window into the accent for a moment: something loud was heard."""
        self._flash.start()
        self._paint()

    def set_colours(self, colours: Colours) -> None:
        """Take a theme."""
        self._colours = colours
        self._paint()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Letters grow with the window."""
        super().resizeEvent(event)
        size = max(14, min(self.height() // 9, self.width() // 26))
        for label, share in ((self.caption, 1.0), (self.before, 0.5)):
            font = QFont(self.font())
            font.setPixelSize(max(12, round(size * share)))
            font.setBold(share == 1.0)
            label.setFont(font)

    def _paint(self) -> None:
        flashing = self.is_flashing
        background = self._colours.accent if flashing else self._colours.surface
        text = self._colours.on_accent if flashing else self._colours.text
        muted = self._colours.on_accent if flashing else self._colours.muted
        self.setStyleSheet(f"#large {{ background: {background}; }}")
        self.caption.setStyleSheet(f"color: {text};")
        self.before.setStyleSheet(f"color: {muted};")

"""Live captions in large type with a flash on loud sounds, for deaf and hard-of-hearing users."""

from datetime import datetime

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QFont, QHideEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PyQt6.QtWidgets import QLabel, QVBoxLayout, QWidget

from ui.store.exports import wrapped
from ui.widgets.state import Listening, WindowState
from ui.widgets.theme import LIGHT, Colours

FLASH_MS = 350
CLOCK_MS = 1000
_STATES = {
    Listening.OFF: "Not listening",
    Listening.OPENING: "Opening the microphone…",
    Listening.ON: "Listening",
    Listening.PAUSED: "Paused: not listening",
}
START_HINT = "Press Ctrl+L to listen"


class LargeTypeWindow(QWidget):
    """Window with the latest live caption, its time, and the state of the microphone in the same size.

    Escape leaves full screen, then closes the window; F11 toggles full screen; Ctrl+L starts and stops listening.
    """

    listen_asked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Live captions")
        self.setObjectName("large")
        self.resize(1000, 420)
        self._colours = LIGHT
        self._listening = Listening.OFF
        self._last = ("", "")  # latest caption and its time
        self.caption, self.before, self.state = QLabel(), QLabel(), QLabel()
        for label in (self.caption, self.before, self.state):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(40, 20, 40, 30)
        layout.addWidget(self.state)
        layout.addStretch(1)
        layout.addWidget(self.before)
        layout.addWidget(self.caption)
        layout.addStretch(2)
        self._flash = QTimer(self)
        self._flash.setSingleShot(True)
        self._flash.setInterval(FLASH_MS)
        self._flash.timeout.connect(self._paint)
        self._clock = QTimer(self)
        self._clock.setInterval(CLOCK_MS)
        self._clock.timeout.connect(self._show_clock)
        for keys, action in (("Esc", self._leave), ("F11", self._toggle_full), ("Ctrl+L", self.listen_asked.emit)):
            QShortcut(QKeySequence(keys), self, action)
        self._show()

    @property
    def is_flashing(self) -> bool:
        """True while a flash is displayed."""
        return self._flash.isActive()

    def show_state(self, state: WindowState) -> None:
        """Display the microphone's state; when it is not listening, the last caption is no longer shown as current."""
        if state.listening is not self._listening:
            self._listening = state.listening
            if state.listening is Listening.OPENING:
                self._last = ("", "")
                self.before.clear()
            self._show()

    def show_caption(self, text: str, extends: bool) -> None:
        """Display the latest caption; the previous one moves up unless `extends`."""
        if not extends:
            if self._last[0]:
                self.before.setText(f"{self._last[1]}  {self._last[0]}")
            self._last = (text, f"{datetime.now():%H:%M:%S}")
        self._show()

    def flash(self) -> None:
        """Fill the window with the accent colour for a moment to signal a loud sound."""
        self._flash.start()
        self._paint()

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self._colours = colours
        self._paint()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Start the clock."""
        super().showEvent(event)
        self._show_clock()
        self._clock.start()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Stop the clock, each tick of which screen readers are notified of."""
        super().hideEvent(event)
        self._clock.stop()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Scale the font with the window."""
        super().resizeEvent(event)
        size = max(14, min(self.height() // 9, self.width() // 26))
        for label, share in ((self.caption, 1.0), (self.before, 0.5), (self.state, 0.5)):
            font = QFont(self.font())
            font.setPixelSize(max(12, round(size * share)))
            font.setBold(share == 1.0)
            label.setFont(font)

    def _show(self) -> None:
        text, since = self._last
        if self._listening in (Listening.ON, Listening.OPENING):
            self.caption.setText(wrapped(text) if text else "…")
        else:
            self.caption.setText(_STATES[self._listening].upper())
            if text:
                self.before.setText(f"{since}  {text}")
        self._show_clock()
        self._paint()

    def _show_clock(self) -> None:
        text = _STATES[self._listening] if self._listening is not Listening.OFF else START_HINT
        since = f"  ·  latest caption at {self._last[1]}" if self._last[0] and self._listening is Listening.ON else ""
        self.state.setText(f"{datetime.now():%H:%M:%S}  ·  {text}{since}")

    def _leave(self) -> None:
        if self.isFullScreen():
            self.showNormal()
        else:
            self.close()

    def _toggle_full(self) -> None:
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    def _paint(self) -> None:
        flashing, listening = self.is_flashing, self._listening in (Listening.ON, Listening.OPENING)
        background = self._colours.accent if flashing else self._colours.surface if listening else self._colours.warning
        text = self._colours.on_accent if flashing else self._colours.text
        muted = self._colours.on_accent if flashing else self._colours.muted if listening else self._colours.text
        self.setStyleSheet(f"#large {{ background: {background}; }}")
        self.caption.setStyleSheet(f"color: {text};")
        for label in (self.before, self.state):
            label.setStyleSheet(f"color: {muted};")

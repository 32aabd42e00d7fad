"""Buttons of constant size that keep the keyboard focus, and a progress bar that seeks."""

from PyQt6.QtCore import QEvent, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PyQt6.QtWidgets import QProgressBar, QPushButton

SEEK_SHARE = 0.05  # fraction of the recording per arrow key press


class SteadyButton(QPushButton):
    """Button with a constant width that keeps the keyboard focus while disabled.

    It is wide enough for each of its texts. Qt moves the focus away from a disabled widget; this button, if disabled while
    it has the focus, is only drawn as disabled and ignores clicks, and is disabled in Qt when it loses the focus.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._texts: tuple[str, ...] = (text,)
        self._off = False
        self._widest = 0  # pixels

    def set_texts(self, *texts: str) -> None:
        """Set all texts that the button may display."""
        self._texts = texts
        self._measure()

    def sizeHint(self) -> QSize:
        """Size for the widest text."""
        return super().sizeHint().expandedTo(QSize(self._widest, 0))

    def minimumSizeHint(self) -> QSize:
        """Size for the widest text."""
        return super().minimumSizeHint().expandedTo(QSize(self._widest, 0))

    def changeEvent(self, e: QEvent | None) -> None:
        """Measure the texts again after a change of font or style."""
        super().changeEvent(e)
        if e is not None and e.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._measure()

    def _measure(self) -> None:
        """Compute the width of the button for each text with the current style."""
        shown, self._widest = self.text(), 0
        if len(self._texts) > 1:
            for text in self._texts:
                super().setText(text)
                self._widest = max(self._widest, super().sizeHint().width())
            super().setText(shown)
            self.updateGeometry()

    def isEnabled(self) -> bool:
        """Return whether the button can be clicked."""
        return super().isEnabled() and not self._off

    def setEnabled(self, a0: bool) -> None:
        """Enable or disable the button."""
        self._set_off(not a0 and self.hasFocus() and super().isEnabled())
        if not self._off:
            super().setEnabled(a0)

    def click(self) -> None:
        """Click the button programmatically, if enabled."""
        if self.isEnabled():
            super().click()

    def mousePressEvent(self, e: QMouseEvent | None) -> None:
        """Ignore clicks while disabled."""
        if not self._off:
            super().mousePressEvent(e)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Handle only focus navigation while disabled."""
        presses = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Select)
        if not (self._off and a0 is not None and a0.key() in presses):
            super().keyPressEvent(a0)

    def focusOutEvent(self, a0: QFocusEvent | None) -> None:
        """Disable the button in Qt if that was deferred."""
        super().focusOutEvent(a0)
        if self._off and a0 is not None and a0.reason() is not Qt.FocusReason.ActiveWindowFocusReason:
            self._set_off(False)
            super().setEnabled(False)

    def _set_off(self, off: bool) -> None:
        if off != self._off:
            self._off = off
            self.setProperty("off", off)
            style = self.style()
            if style is not None:
                style.unpolish(self)
                style.polish(self)


class SeekBar(QProgressBar):
    """Playback progress bar; click, drag and arrow keys seek."""

    seek_asked = pyqtSignal(float)  # fraction of the recording, 0 to 1

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)  # the time is displayed beside the bar
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        """Seek to the clicked position."""
        if a0 is not None:
            self.seek_asked.emit(min(1.0, max(0.0, a0.position().x() / max(1, self.width()))))

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        """Seek while dragging."""
        if a0 is not None and a0.buttons() & Qt.MouseButton.LeftButton:
            self.mousePressEvent(a0)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Seek with the arrow keys."""
        steps = {Qt.Key.Key_Left: -SEEK_SHARE, Qt.Key.Key_Right: SEEK_SHARE, Qt.Key.Key_Home: -1.0, Qt.Key.Key_End: 1.0}
        if a0 is not None and a0.key() in steps:
            self.seek_asked.emit(min(1.0, max(0.0, self.value() / 100 + steps[Qt.Key(a0.key())])))
        else:
            super().keyPressEvent(a0)

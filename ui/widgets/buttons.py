"""Buttons that stay where they are and keep the keyboard's focus, and a progress bar that seeks."""

from PyQt6.QtCore import QEvent, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PyQt6.QtWidgets import QProgressBar, QPushButton

SEEK_SHARE = 0.05  # of the recording, for one arrow key


class SteadyButton(QPushButton):
    """A button that never moves its neighbours and never gives the keyboard's focus away.

    It is wide enough for each of its texts. A button that is disabled while it has the focus only looks so and cannot be
    pressed; it is disabled when the focus leaves it. Qt would hand the focus to the next control, under a person's fingers.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._texts: tuple[str, ...] = (text,)
        self._off = False
        self._widest = 0  # pixels

    def set_texts(self, *texts: str) -> None:
        """All texts that it may have."""
        self._texts = texts
        self._measure()

    def sizeHint(self) -> QSize:
        """For the widest text."""
        return super().sizeHint().expandedTo(QSize(self._widest, 0))

    def minimumSizeHint(self) -> QSize:
        """For the widest text."""
        return super().minimumSizeHint().expandedTo(QSize(self._widest, 0))

    def changeEvent(self, e: QEvent | None) -> None:
        """Another font or style makes texts wider or narrower."""
        super().changeEvent(e)
        if e is not None and e.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._measure()

    def _measure(self) -> None:
        """Ask the style how wide the button would be with each text."""
        shown, self._widest = self.text(), 0
        if len(self._texts) > 1:
            for text in self._texts:
                super().setText(text)
                self._widest = max(self._widest, super().sizeHint().width())
            super().setText(shown)
            self.updateGeometry()

    def isEnabled(self) -> bool:
        """Whether it can be pressed."""
        return super().isEnabled() and not self._off

    def setEnabled(self, a0: bool) -> None:
        """Let it be pressed, or no more."""
        self._set_off(not a0 and self.hasFocus() and super().isEnabled())
        if not self._off:
            super().setEnabled(a0)

    def click(self) -> None:
        """Press it, as a menu does."""
        if self.isEnabled():
            super().click()

    def mousePressEvent(self, e: QMouseEvent | None) -> None:
        """Nothing while it cannot be pressed."""
        if not self._off:
            super().mousePressEvent(e)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Only moves of the focus while it cannot be pressed."""
        presses = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Select)
        if not (self._off and a0 is not None and a0.key() in presses):
            super().keyPressEvent(a0)

    def focusOutEvent(self, a0: QFocusEvent | None) -> None:
        """Now it can be disabled."""
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
    """How much has been played; a click, a drag or the arrow keys go elsewhere."""

    seek_asked = pyqtSignal(float)  # share of the recording, 0 to 1

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)  # the time stands beside it
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        """Go there."""
        if a0 is not None:
            self.seek_asked.emit(min(1.0, max(0.0, a0.position().x() / max(1, self.width()))))

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        """Drag."""
        if a0 is not None and a0.buttons() & Qt.MouseButton.LeftButton:
            self.mousePressEvent(a0)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        """Arrows go back and forth."""
        steps = {Qt.Key.Key_Left: -SEEK_SHARE, Qt.Key.Key_Right: SEEK_SHARE, Qt.Key.Key_Home: -1.0, Qt.Key.Key_End: 1.0}
        if a0 is not None and a0.key() in steps:
            self.seek_asked.emit(min(1.0, max(0.0, self.value() / 100 + steps[Qt.Key(a0.key())])))
        else:
            super().keyPressEvent(a0)

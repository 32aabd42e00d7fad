"""Overview of the whole recording with the visible range."""

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PyQt6.QtWidgets import QLabel, QScrollBar, QSizePolicy, QVBoxLayout, QWidget

from ui.widgets.numbers import minutes_seconds, time_span
from ui.widgets.parts import describe
from ui.widgets.theme import LIGHT, Colours

STEPS_PER_S = 1000  # integer steps of the scroll bar


class _Outline(QLabel):
    """Draws the recording's outline and the visible range, which can be dragged.

    It is a label, whose text is not painted, so that screen readers read the visible range.
    """

    moved_to = pyqtSignal(float)  # requested centre of the visible range, seconds

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self._left, self._right = left, right
        self._times: NDArray[np.float64] = np.zeros(0)
        self._line: NDArray[np.float32] = np.zeros(0, np.float32)
        self.duration_s = 0.0
        self.range = (0.0, 0.0)
        self.colours = LIGHT
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Drag to see another part.")

    def set_outline(self, times: NDArray[np.float64], line: NDArray[np.float32], duration_s: float) -> None:
        self._times, self.duration_s = times, duration_s
        self._line = line / max(0.05, float(np.abs(line).max(initial=0.0)))
        self.update()

    def sizeHint(self) -> QSize:
        """Preferred size of the outline."""
        return QSize(200, 26)

    def minimumSizeHint(self) -> QSize:
        """Minimum size of the outline, whatever its text."""
        return QSize(0, 26)

    def tell(self) -> None:
        """Set the text for screen readers."""
        text = f"Visible: {time_span(*self.range)} of {minutes_seconds(self.duration_s)}"
        if text != self.text():
            self.setText(text)

    def _x(self, seconds: float) -> float:
        return self._left + (self.width() - self._left - self._right) * seconds / max(1e-3, self.duration_s)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the outline and highlight the visible range."""
        if not self.duration_s:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        left, right = self._x(self.range[0]), self._x(min(self.range[1], self.duration_s))
        frame = QRectF(left, 1, max(4.0, right - left), self.height() - 2)
        faint = QColor(self.colours.accent)
        faint.setAlphaF(0.14)
        painter.setPen(QPen(QColor(self.colours.accent), 1))
        painter.setBrush(faint)
        painter.drawRoundedRect(frame, 3, 3)
        middle, half = self.height() / 2, self.height() / 2 - 3
        points = [
            QPointF(self._x(float(t)), middle - half * float(y)) for t, y in zip(self._times, self._line, strict=True)
        ]
        painter.setPen(QPen(QColor(self.colours.muted), 1))
        painter.drawPolyline(QPolygonF(points))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Centre the visible range at the clicked time."""
        if event is not None and self.duration_s:
            width = max(1, self.width() - self._left - self._right)
            self.moved_to.emit(self.duration_s * (event.position().x() - self._left) / width)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag the visible range."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.mousePressEvent(event)


class Overview(QWidget):
    """Outline of the whole recording above a scroll bar; both show and move the visible range.

    Args:
        left: margin left of the plots, pixels.
        right: margin right of the plots, pixels.
    """

    range_asked = pyqtSignal(float, float)  # requested visible range, seconds
    resized = pyqtSignal()

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.outline = _Outline(left, right)
        self.bar = QScrollBar(Qt.Orientation.Horizontal)
        self.bar.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        describe(self.bar, "Scroll in time", "Move the visible range.")
        inner = QVBoxLayout()
        inner.setContentsMargins(left, 0, right, 0)
        inner.addWidget(self.bar)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.outline)
        layout.addLayout(inner)
        self.bar.valueChanged.connect(self._on_scrolled)
        self.outline.moved_to.connect(lambda middle: self._ask(middle - self._width_s / 2))

    @property
    def _width_s(self) -> float:
        return self.outline.range[1] - self.outline.range[0]

    @property
    def num_columns(self) -> int:
        """Width of the outline, columns."""
        return max(100, self.outline.width() // 2)

    def set_outline(self, times: NDArray[np.float64], line: NDArray[np.float32], duration_s: float) -> None:
        """Set the outline: times (2 N,) in seconds, amplitudes (2 N,), -1 to 1, and the duration in seconds."""
        self.outline.set_outline(times, line, duration_s)
        self._show_range()

    def set_range(self, start_s: float, end_s: float) -> None:
        """Set the visible range, seconds."""
        self.outline.range = (start_s, end_s)
        self.outline.update()
        self._show_range()

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self.outline.colours = colours
        self.outline.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Request an outline for the new width."""
        super().resizeEvent(event)
        self.resized.emit()

    def _show_range(self) -> None:
        start_s, end_s = self.outline.range
        self.bar.blockSignals(True)
        self.bar.setPageStep(max(1, round(STEPS_PER_S * (end_s - start_s))))
        self.bar.setSingleStep(max(1, self.bar.pageStep() // 10))
        self.bar.setRange(0, max(0, round(STEPS_PER_S * (self.outline.duration_s - (end_s - start_s)))))
        self.bar.setValue(round(STEPS_PER_S * start_s))
        self.bar.blockSignals(False)
        self.outline.tell()

    def _on_scrolled(self, value: int) -> None:
        self._ask(value / STEPS_PER_S)

    def _ask(self, start_s: float) -> None:
        width_s, duration_s = self._width_s, self.outline.duration_s
        start_s = min(max(0.0, start_s), max(0.0, duration_s - width_s))
        self.range_asked.emit(start_s, start_s + width_s)

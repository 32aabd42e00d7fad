"""Level meter with the silence threshold."""

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QSlider

from ui.widgets.numbers import decimal
from ui.widgets.parts import describe
from ui.widgets.theme import LIGHT, Colours

LOWEST_DB = -90.0
BRIGHT, DIM = 1.0, 0.75  # opacity of levels above and below the threshold
LOWEST_THRESHOLD_DB, HIGHEST_THRESHOLD_DB = -80, -10


class LevelMeter(QSlider):
    """Displays peak and RMS level of the microphone, and a threshold, the slider's value, in dBFS."""

    threshold_changed = pyqtSignal(float)  # dBFS

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._peak_db = self._rms_db = LOWEST_DB
        self.setRange(LOWEST_THRESHOLD_DB, HIGHEST_THRESHOLD_DB)
        self.setPageStep(5)
        self.setValue(-50)
        self._colours = LIGHT
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.SizeHorCursor)
        self._describe()
        self.valueChanged.connect(self._on_value)

    @property
    def threshold_db(self) -> float:
        """Silence threshold, dBFS."""
        return float(self.value())

    def set_threshold(self, threshold_db: float) -> None:
        """Set the threshold, dBFS, without emitting a signal."""
        self.blockSignals(True)
        self.setValue(round(threshold_db))
        self.blockSignals(False)
        self._describe()

    def set_level(self, peak_db: float, rms_db: float) -> None:
        """Display a level in dBFS; the peak marker decays slowly."""
        self._peak_db = max(peak_db, self._peak_db - 1.5)
        self._rms_db = max(rms_db, self._rms_db - 3.0)
        self.update()

    def clear(self) -> None:
        """Reset the display to no signal."""
        self._peak_db = self._rms_db = LOWEST_DB
        self.update()

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        """Preferred size of the meter."""
        return QSize(220, 30)

    def _describe(self) -> None:
        text = f"Below {decimal(self.threshold_db, 0)} dB a microphone caption is (silence). Drag it or use the arrow keys."
        describe(self, "Input level and silence threshold", text)

    def _bar(self) -> QRectF:
        return QRectF(6, self.height() / 2 - 5, self.width() - 12, 10)

    def _x(self, level_db: float) -> float:
        bar = self._bar()
        return bar.left() + bar.width() * (min(0.0, max(LOWEST_DB, level_db)) - LOWEST_DB) / -LOWEST_DB

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the level, the peak marker and the threshold."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        bar = self._bar()
        painter.setBrush(QColor(self._colours.raised))
        painter.drawRoundedRect(bar, 5, 5)
        accent = QColor(self._colours.accent)
        is_loud = self._peak_db >= self.threshold_db
        accent.setAlphaF(0.35 if is_loud else 0.18)
        painter.setBrush(accent)
        painter.drawRoundedRect(QRectF(bar.left(), bar.top(), self._x(self._peak_db) - bar.left(), bar.height()), 5, 5)
        accent.setAlphaF(BRIGHT if is_loud else DIM)
        painter.setBrush(accent)
        painter.drawRoundedRect(QRectF(bar.left(), bar.top(), self._x(self._rms_db) - bar.left(), bar.height()), 5, 5)
        x = self._x(self.threshold_db)
        painter.setPen(QPen(QColor(self._colours.accent if self.hasFocus() else self._colours.text), 2))
        painter.drawLine(QPointF(x, bar.top() - 5), QPointF(x, bar.bottom() + 5))
        painter.setBrush(QColor(self._colours.text))
        painter.drawEllipse(QPointF(x, bar.top() - 6), 3, 3)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Move the threshold to the clicked level."""
        if event is not None:
            self._move_to(event.position().x())

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """End dragging; the threshold stays."""

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Drag the threshold."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._move_to(event.position().x())

    def _move_to(self, x: float) -> None:
        bar = self._bar()
        self.setValue(round(LOWEST_DB - LOWEST_DB * (x - bar.left()) / max(1.0, bar.width())))

    def _on_value(self) -> None:
        self._describe()
        self.threshold_changed.emit(self.threshold_db)

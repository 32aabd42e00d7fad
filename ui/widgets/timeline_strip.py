"""Captions along the time axis, under the waveform."""

from collections.abc import Sequence

from PyQt6.QtCore import QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from data.caption_formats import CaptionRecord
from ui.store.exports import is_silence, short_text, shown_text
from ui.widgets.parts import describe, time_span
from ui.widgets.theme import LIGHT, Colours

NARROWEST_TEXT = 46  # pixels: of less than three letters nobody learns anything


class TimelineStrip(QWidget):
    """A block for each caption; a click goes there."""

    clicked = pyqtSignal(float)  # seconds

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self._left, self._right = left, right  # where the plot above begins and ends, pixels
        self._range = (0.0, 1.0)
        self._records: list[CaptionRecord] = []
        self._position_s = 0.0
        self._colours = LIGHT
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        describe(self, "Timeline of captions", "Click a caption to go there.")
        self.hide()

    def set_records(self, records: Sequence[CaptionRecord]) -> None:
        """Show captions; with fewer than two there is no timeline."""
        self._records = list(records) if len(records) > 1 else []
        self.setVisible(bool(self._records))
        self.update()

    def set_range(self, start_s: float, end_s: float) -> None:
        """Show the span that the plot above shows, seconds."""
        self._range = (start_s, max(end_s, start_s + 1e-3))
        self.update()

    def set_position(self, seconds: float) -> None:
        """Mark the caption that is heard now."""
        before, self._position_s = self._at(self._position_s), seconds
        if self._records and self._at(seconds) is not before:
            self.update()

    def set_colours(self, colours: Colours) -> None:
        """Take a theme."""
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(200, 34)

    def _x(self, seconds: float) -> float:
        start, end = self._range
        return self._left + (self.width() - self._left - self._right) * (seconds - start) / (end - start)

    def _at(self, seconds: float) -> CaptionRecord | None:
        return next((record for record in self._records if record.start_s <= seconds < record.end_s), None)

    def _at_x(self, x: float) -> CaptionRecord | None:
        start, end = self._range
        width = max(1, self.width() - self._left - self._right)
        return self._at(start + (end - start) * (x - self._left) / width)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """The blocks in view, with as much of their text as fits."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setClipRect(self._left, 0, self.width() - self._left - self._right, self.height())
        metrics = QFontMetrics(painter.font())
        playing = self._at(self._position_s)
        for record in self._records:
            left, right = self._x(record.start_s), self._x(record.end_s)
            if right < self._left or left > self.width():
                continue
            block = QRectF(left + 1, 3, max(1.0, right - left - 2), self.height() - 6)
            accent = QColor(self._colours.accent)
            accent.setAlphaF(0.08 if is_silence(record) else 0.38 if record is playing else 0.2)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(accent)
            painter.drawRoundedRect(block, 6, 6)
            visible = block.intersected(QRectF(self._left, 0, self.width() - self._left - self._right, self.height()))
            if visible.width() > NARROWEST_TEXT:
                painter.setPen(QColor(self._colours.muted if is_silence(record) else self._colours.text))
                inner = visible.adjusted(7, 0, -5, 0)
                text = metrics.elidedText(short_text(record), Qt.TextElideMode.ElideRight, int(inner.width()))
                painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to a caption's start."""
        record = self._at_x(event.position().x()) if event is not None else None
        if record is not None:
            self.clicked.emit(record.start_s)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Show a hand over captions, and the whole text."""
        record = self._at_x(event.position().x()) if event is not None else None
        self.setCursor(Qt.CursorShape.PointingHandCursor if record else Qt.CursorShape.ArrowCursor)
        if record is not None:
            self.setToolTip(f"{time_span(record.start_s, record.end_s)}  {shown_text(record)}")

"""Captions along the time axis, below the waveform."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PyQt6.QtCore import QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QLabel, QSizePolicy

from ui.store.documents import Row
from ui.store.exports import is_silence, short_text
from ui.widgets.caption_model import caption_shown, is_doubtful, row_probability
from ui.widgets.numbers import time_span
from ui.widgets.theme import LIGHT, Colours

NARROWEST_TEXT = 46  # minimum width of a text, pixels, about three characters
NARROWEST_ROW = 14  # pixels; narrower rows are grouped
GROUP_WIDTH = 90  # pixels
FAINTEST, STRONGEST = 0.10, 0.42  # opacity of improbable and of certain captions


@dataclass
class Block:
    """Group of neighbouring rows that is painted as one block.

    Attributes:
        rows: at least one, in order of time.
        left: left edge, pixels.
        right: right edge, pixels.
        lane: vertical lane: 0, or 1 if it would overlap the previous block.
    """

    rows: list[Row]
    left: float
    right: float
    lane: int = 0

    @property
    def commonest(self) -> Row:
        """Return the row whose caption covers the longest time."""
        seconds: dict[str, float] = {}
        for row in self.rows:
            seconds[row.record.caption] = seconds.get(row.record.caption, 0.0) + row.record.end_s - row.record.start_s
        return max(self.rows, key=lambda row: seconds[row.record.caption])

    @property
    def probability(self) -> float:
        """Return the mean probability of the rows, 0 to 1."""
        return sum(row_probability(row) for row in self.rows) / len(self.rows)


class TimelineStrip(QLabel):
    """Strip of blocks, one per caption or group of narrow captions; a click seeks to the caption.

    It is a label, whose text is not painted, so that screen readers read the caption at the play head.
    """

    clicked = pyqtSignal(object)  # Row

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self._left, self._right = left, right  # left and right edge of the plot above, pixels
        self._range = (0.0, 1.0)
        self._rows: list[Row] = []
        self._starts = self._ends = np.zeros(0)  # of the rows, seconds
        self._threshold = 0.0
        self._position_s = 0.0
        self._chosen = 0
        self._colours = LIGHT
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self.setToolTip("Click a caption to seek to it.")
        self._tell()

    def set_rows(self, rows: Sequence[Row], threshold: float) -> None:
        """Set the captions in order of time; captions with a probability below the threshold, 0 to 1, are only outlined."""
        self._rows, self._threshold = list(rows), threshold
        self._starts = np.array([row.record.start_s for row in rows])
        self._ends = np.array([row.record.end_s for row in rows])
        self._tell()
        self.update()

    def set_range(self, start_s: float, end_s: float) -> None:
        """Set the visible range, seconds, to that of the plot above."""
        self._range = (start_s, max(end_s, start_s + 1e-3))
        self.update()

    def set_position(self, seconds: float) -> None:
        """Highlight the caption at the playback position, seconds."""
        before, self._position_s = self.row_at(self._position_s), seconds
        if self._rows and self.row_at(seconds) is not before:
            self._tell()
            self.update()

    def set_chosen(self, number: int) -> None:
        """Frame the row with this number, the current one of the table; 0 for none."""
        if number != self._chosen:
            self._chosen = number
            self.update()

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self._colours = colours
        self.update()

    def sizeHint(self) -> QSize:
        """Preferred size of the strip."""
        return QSize(200, 34)

    def minimumSizeHint(self) -> QSize:
        """Minimum size of the strip, whatever its text."""
        return QSize(0, 34)

    def caption_at(self, seconds: float) -> str:
        """Return the caption at a time, seconds, as it is shown in the table; empty if there is none."""
        row = self.row_at(seconds)
        return caption_shown(row, self._threshold) if row is not None else ""

    def _tell(self) -> None:
        """Set the text for screen readers."""
        text = self.caption_at(self._position_s)
        text = f"At the play head: {text}" if text else "No caption at the play head"
        if text != self.text():
            self.setText(text)

    def row_at(self, seconds: float) -> Row | None:
        """Return the row at a time, seconds; if several overlap, the one that starts last."""
        places = np.flatnonzero((self._starts <= seconds) & (seconds < self._ends))
        return self._rows[places[-1]] if len(places) else None

    def _x(self, seconds: Any) -> Any:
        """Return the place, pixels, of a time or of an array of times, seconds."""
        start, end = self._range
        return self._left + (self.width() - self._left - self._right) * (seconds - start) / (end - start)

    def _at_x(self, x: float) -> Row | None:
        start, end = self._range
        width = max(1, self.width() - self._left - self._right)
        return self.row_at(start + (end - start) * (x - self._left) / width)

    def blocks(self) -> list[Block]:
        """Return the blocks of the visible rows."""
        start_s, end_s = self._range
        blocks: list[Block] = []
        visible = np.flatnonzero((self._ends > start_s) & (self._starts < end_s))
        lefts, rights = self._x(self._starts[visible]).tolist(), self._x(self._ends[visible]).tolist()
        for place, left, right in zip(visible.tolist(), lefts, rights, strict=True):
            row = self._rows[place]
            last = blocks[-1] if blocks else None
            if last is not None and right - left < NARROWEST_ROW and last.right - last.left < GROUP_WIDTH:
                near = left - last.right < NARROWEST_ROW
                if near and (len(last.rows) > 1 or last.right - last.left < NARROWEST_ROW):
                    last.rows.append(row)
                    last.right = max(last.right, right)
                    continue
            lane = 1 - last.lane if last is not None and left < last.right - 2 else 0
            blocks.append(Block([row], left, right, lane))
        return blocks

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the visible blocks with their elided text."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        room = QRectF(self._left, 0, self.width() - self._left - self._right, self.height())
        painter.setClipRect(room)
        blocks = self.blocks()
        lanes = 1 + max((block.lane for block in blocks), default=0)
        height = (self.height() - 6) / lanes
        font = painter.font()
        if lanes > 1:
            font.setPixelSize(max(9, int(height) - 3))
            painter.setFont(font)
        metrics, playing = QFontMetrics(font), self.row_at(self._position_s)
        for block in blocks:
            place = QRectF(block.left + 1, 3 + height * block.lane, max(1.0, block.right - block.left - 2), height - 1)
            self._paint_block(painter, block, place, playing)
            visible = place.intersected(room)
            if visible.width() > NARROWEST_TEXT:
                row = block.commonest
                faint = is_silence(row.record) or is_doubtful(row, self._threshold)
                painter.setPen(QColor(self._colours.muted if faint else self._colours.text))
                inner = visible.adjusted(7, 0, -5, 0)
                text = short_text(row.record) + (f" ({len(block.rows)})" if len(block.rows) > 1 else "")
                text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(inner.width()))
                painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)

    def _paint_block(self, painter: QPainter, block: Block, place: QRectF, playing: Row | None) -> None:
        accent = QColor(self._colours.accent)
        silent = all(is_silence(row.record) for row in block.rows)
        here = any(row is playing for row in block.rows)
        accent.setAlphaF(0.06 if silent else FAINTEST + (STRONGEST - FAINTEST) * block.probability)
        doubtful = all(is_doubtful(row, self._threshold) for row in block.rows)
        chosen = any(row.number == self._chosen for row in block.rows)
        edge = QPen(QColor(self._colours.text if chosen else self._colours.accent), 2 if chosen or here else 1)
        painter.setPen(edge if chosen or here or doubtful else Qt.PenStyle.NoPen)
        painter.setBrush(Qt.BrushStyle.NoBrush if doubtful else accent)
        painter.drawRoundedRect(place, 6, 6)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Seek to the start of the clicked caption."""
        row = self._at_x(event.position().x()) if event is not None else None
        if row is not None:
            self.clicked.emit(row)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Show a hand cursor and the full text as a tooltip over captions."""
        row = self._at_x(event.position().x()) if event is not None else None
        self.setCursor(Qt.CursorShape.PointingHandCursor if row else Qt.CursorShape.ArrowCursor)
        shown = "Click a caption to seek to it."
        if row is not None:
            shown = f"{time_span(row.record.start_s, row.record.end_s)}  {caption_shown(row, self._threshold)}"
        self.setToolTip(shown)

"""Waveform, timeline and spectrogram of a recording, or the moving waveform of a microphone."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QKeyEvent
from PyQt6.QtWidgets import QLabel, QStackedLayout, QVBoxLayout, QWidget

from data.caption_formats import CaptionRecord
from ui.widgets.parts import describe
from ui.widgets.theme import LIGHT, Colours
from ui.widgets.timeline_strip import TimelineStrip

AXIS_WIDTH, RIGHT_MARGIN = 58, 12  # pixels, the same in both plots and in the timeline, so that they line up
MOVING_S = 15.0  # seconds of the microphone in view
REDRAW_MS = 50
ARROW_S = 1.0
HINT = "Press Record Audio to hear something new,\nor drop a recording here."


class Sound(Protocol):
    """What can be drawn; `ui.sound.decoded.DecodedSound` is one."""

    @property
    def duration_s(self) -> float:
        """Seconds."""

    @property
    def spectrogram(self) -> NDArray[np.uint8]:
        """(T, F), 0 to 255."""

    @property
    def highest_hz(self) -> float:
        """Upper end of the spectrogram."""

    def outline(
        self, start_s: float, end_s: float, num_columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Times and amplitudes of a line through the extremes of a span."""


class _ViewBox(pg.ViewBox):
    """A click goes somewhere, a drag selects, the wheel zooms in time, a double click shows everything."""

    clicked = pyqtSignal(float)
    dragged = pyqtSignal(float, float)
    double_clicked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(x=True, y=False)

    def _time(self, position: pg.Point) -> float:
        return float(self.mapToView(position).x())

    def mouseClickEvent(self, event: object) -> None:
        """Left button."""
        if event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            event.accept()  # type: ignore[attr-defined]
            self.clicked.emit(self._time(event.pos()))  # type: ignore[attr-defined]

    def mouseDoubleClickEvent(self, event: object) -> None:
        """Any button."""
        self.double_clicked.emit()

    def mouseDragEvent(self, event: object, axis: int | None = None) -> None:
        """Left button."""
        if event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            event.accept()  # type: ignore[attr-defined]
            start, now = self._time(event.buttonDownPos()), self._time(event.pos())  # type: ignore[attr-defined]
            self.dragged.emit(min(start, now), max(start, now))


class SoundView(QWidget):
    """Draws; tells where a person clicked and what they selected."""

    seek_asked = pyqtSignal(float)  # seconds
    region_changed = pyqtSignal(object)  # (start, end) in seconds, or None

    def __init__(self) -> None:
        super().__init__()
        self._sound: Sound | None = None
        self._colours = LIGHT
        self._moving: deque[NDArray[np.float32]] = deque()
        self._moving_hz = 50.0
        self._moving_count = 0
        self._moving_loudest = 0.1
        self._is_moving = False
        self._build()
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self._draw)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        describe(self, "Audio Waveform", "Click to go there, drag to select a part, turn the wheel to zoom.")

    def _build(self) -> None:
        self._box, self._lower_box = _ViewBox(), _ViewBox()
        self.waveform = pg.PlotWidget(viewBox=self._box)
        self.spectrogram = pg.PlotWidget(viewBox=self._lower_box)
        for plot, left, bottom in (
            (self.waveform, "amplitude", "time (seconds)"),
            (self.spectrogram, "kHz", ""),
        ):
            plot.getAxis("left").setWidth(AXIS_WIDTH)
            for side in ("left", "bottom"):
                plot.getAxis(side).enableAutoSIPrefix(False)
            plot.setLabel("left", left)
            if bottom:
                plot.setLabel("bottom", bottom)
            plot.getPlotItem().layout.setContentsMargins(0, 6, RIGHT_MARGIN, 0)
            plot.hideButtons()
            plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        describe(self.waveform, "Waveform", "Amplitude over time.")
        describe(self.spectrogram, "Spectrogram", "Loudness of each frequency over time.")
        self.spectrogram.hideAxis("bottom")
        self.spectrogram.getAxis("left").setTicks([[(kilohertz, str(kilohertz)) for kilohertz in (3, 6, 9)]])
        self.spectrogram.setXLink(self.waveform)
        self.spectrogram.setMinimumHeight(70)
        self.spectrogram.setMaximumHeight(120)
        self.waveform.setMinimumHeight(120)
        self.waveform.setYRange(-1, 1, padding=0.02)
        self.curve = self.waveform.plot()
        self.image = pg.ImageItem()
        self.spectrogram.addItem(self.image)
        self.heads = [pg.InfiniteLine(0.0) for _ in range(2)]
        self.region = pg.LinearRegionItem()
        self.region.hide()
        self.waveform.addItem(self.region)
        for head, plot in zip(self.heads, (self.waveform, self.spectrogram), strict=True):
            plot.addItem(head)
        self.timeline = TimelineStrip(AXIS_WIDTH, RIGHT_MARGIN)
        self.hint = QLabel(HINT)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setProperty("muted", True)
        drawing = QWidget()
        layout = QVBoxLayout(drawing)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.waveform, 1)
        layout.addWidget(self.timeline)
        layout.addWidget(self.spectrogram)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.hint)
        self._stack.addWidget(drawing)
        for box in (self._box, self._lower_box):
            box.clicked.connect(self._on_click)
            box.dragged.connect(self._on_drag)
            box.double_clicked.connect(self.show_all)
        self.region.sigRegionChangeFinished.connect(self._on_region)
        self.timeline.clicked.connect(self.seek_asked)
        self._box.sigXRangeChanged.connect(self._on_range)

    def set_sound(self, sound: Sound | None) -> None:
        """Draw a recording; None: nothing."""
        self._sound, self._is_moving = sound, False
        self.clear_region()
        self._stack.setCurrentIndex(1 if sound is not None else 0)
        self.timeline.set_records([])
        self.spectrogram.show()
        if sound is None:
            return
        self.image.setImage(sound.spectrogram, autoLevels=False, levels=(0, 255))
        self.image.setRect(QRectF(0, 0, sound.duration_s, sound.highest_hz / 1000))
        self.spectrogram.setYRange(0, sound.highest_hz / 1000, padding=0)
        for box in (self._box, self._lower_box):
            box.setLimits(xMin=0, xMax=sound.duration_s, minXRange=0.01)
        self.set_position(0.0)
        self.show_all()
        loudest = float(np.abs(sound.outline(0, sound.duration_s, 1000)[1]).max(initial=0.05))
        self.waveform.setYRange(-1.1 * loudest, 1.1 * loudest, padding=0)
        self._draw()

    def start_moving(self, pairs_per_s: float) -> None:
        """Draw a microphone's sound as it comes, `pairs_per_s` pairs of extremes a second."""
        self._moving.clear()
        self._moving_hz, self._moving_count, self._is_moving = pairs_per_s, 0, True
        self._stack.setCurrentIndex(1)
        self.clear_region()
        self.timeline.set_records([])
        self.spectrogram.hide()
        for head in self.heads:
            head.hide()
        for box in (self._box, self._lower_box):
            box.setLimits(xMin=None, xMax=None)
        self.curve.setData([], [])
        self._box.setXRange(0, MOVING_S, padding=0)
        self._moving_loudest = 0.1
        self.waveform.setYRange(-self._moving_loudest, self._moving_loudest, padding=0)

    def add_moving(self, extremes: NDArray[np.float32]) -> None:
        """Add (K, 2) extremes; what is drawn of them is bounded, and so is how often."""
        if not self._is_moving:
            return
        self._moving.extend(extremes)
        self._moving_count += len(extremes)
        while len(self._moving) > MOVING_S * self._moving_hz:
            self._moving.popleft()
        if not self._redraw.isActive():
            self._redraw.start()

    @property
    def is_moving(self) -> bool:
        """Whether the microphone is drawn."""
        return self._is_moving

    def set_records(self, records: Sequence[CaptionRecord]) -> None:
        """Show captions along the time axis."""
        self.timeline.set_records(records)

    def set_position(self, seconds: float) -> None:
        """Move the play head."""
        for head in self.heads:
            head.setVisible(not self._is_moving)
            head.setValue(seconds)
        self.timeline.set_position(seconds)

    def clear_region(self) -> None:
        """Select nothing."""
        if self.region.isVisible():
            self.region.hide()
            self.region_changed.emit(None)

    def show_all(self) -> None:
        """Zoom out."""
        if self._sound is not None and not self._is_moving:
            self.clear_region()
            self._box.setXRange(0, self._sound.duration_s, padding=0)

    def set_colours(self, colours: Colours) -> None:
        """Take a theme."""
        self._colours = colours
        for plot in (self.waveform, self.spectrogram):
            plot.setBackground(colours.surface)
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(pg.mkPen(colours.raised))
                axis.setTextPen(pg.mkPen(colours.muted))
        self.curve.setPen(pg.mkPen(colours.accent, width=1))
        background, accent, text = (QColor(name) for name in (colours.surface, colours.accent, colours.text))
        positions = np.array([0.0, 0.25, 0.75, 1.0])
        faint = QColor(accent)
        faint.setAlphaF(0.12)
        steps = [background.getRgb()[:3], _mix(background, accent, 0.15), accent.getRgb()[:3], text.getRgb()[:3]]
        self.image.setColorMap(pg.ColorMap(positions, np.array(steps, dtype=np.ubyte)))
        for head in self.heads:
            head.setPen(pg.mkPen(colours.text, width=1.5))
        self.region.setBrush(pg.mkBrush(faint))
        self.region.setHoverBrush(pg.mkBrush(faint))
        for line in self.region.lines:
            line.setPen(pg.mkPen(colours.accent, width=2))
            line.setHoverPen(pg.mkPen(colours.text, width=2))
        self.timeline.set_colours(colours)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Arrow keys go back and forth by a second, Home to the start."""
        places = {
            Qt.Key.Key_Left: self.heads[0].value() - ARROW_S,
            Qt.Key.Key_Right: self.heads[0].value() + ARROW_S,
            Qt.Key.Key_Home: 0.0,
        }
        if event is not None and event.key() in places and self._sound is not None:
            self._on_click(places[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

    def _on_click(self, seconds: float) -> None:
        if self._sound is not None and not self._is_moving:
            self.seek_asked.emit(min(self._sound.duration_s, max(0.0, seconds)))

    def _on_drag(self, start_s: float, end_s: float) -> None:
        if self._sound is None or self._is_moving:
            return
        self.region.show()
        self.region.setRegion((max(0.0, start_s), min(self._sound.duration_s, end_s)))

    def _on_region(self) -> None:
        if self._sound is None or not self.region.isVisible():
            return
        start_s, end_s = (float(value) for value in self.region.getRegion())
        self.region_changed.emit((max(0.0, start_s), min(self._sound.duration_s, end_s)))

    def _on_range(self) -> None:
        start_s, end_s = self._box.viewRange()[0]
        self.timeline.set_range(start_s, end_s)
        if not self._is_moving and not self._redraw.isActive():
            self._redraw.start()

    def _draw(self) -> None:
        if self._is_moving:
            pairs = np.array(self._moving, dtype=np.float32).reshape(-1, 2)
            end_s = self._moving_count / self._moving_hz
            times = end_s - (len(pairs) - np.arange(len(pairs))) / self._moving_hz
            self.curve.setData(np.repeat(times, 2), pairs.reshape(-1))
            self._box.setXRange(max(0.0, end_s - MOVING_S), max(MOVING_S, end_s), padding=0)
            self._moving_loudest = max(self._moving_loudest, 1.1 * float(np.abs(pairs).max(initial=0.0)))
            self.waveform.setYRange(-self._moving_loudest, self._moving_loudest, padding=0)
        elif self._sound is not None:
            start_s, end_s = self._box.viewRange()[0]
            self.curve.setData(*self._sound.outline(start_s, end_s, max(200, int(self._box.width()))))


def _mix(first: QColor, second: QColor, share: float) -> tuple[int, ...]:
    pairs = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return tuple(round((a or 0) * (1 - share) + (b or 0) * share) for a, b in pairs)

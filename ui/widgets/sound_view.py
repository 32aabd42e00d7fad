"""View of a recording: waveform, captions, spectrogram and overview on a common time axis."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QKeyEvent, QWheelEvent
from PyQt6.QtWidgets import QAbstractSlider, QLabel, QStackedLayout, QVBoxLayout, QWidget

from ui.store.documents import Row
from ui.widgets.numbers import minutes_seconds
from ui.widgets.overview import Overview
from ui.widgets.parts import button, describe
from ui.widgets.theme import LIGHT, Colours
from ui.widgets.time_axis import NumberAxis, TimeAxis, TimeBox
from ui.widgets.timeline_strip import TimelineStrip

AXIS_WIDTH, RIGHT_MARGIN = 58, 12  # pixels, equal in all plots, so that they are aligned
LABEL_MARGIN = 7  # room for the lower half of the label at 0 kHz, pixels
FOLLOWED_S = 15.0  # visible range of a growing sound, seconds
REDRAW_MS, OVERVIEW_MS = 50, 500
SPEECH_MS = 400  # after the last of several key presses
ARROW_S, PAGE_S, KEY_ZOOM = 1.0, 10, 1.5
KEYS = (  # of the time axis, for the help
    ("Play or Pause", "Space"),
    ("Move the Play Head", "Left, Right, Page Up, Page Down, Home, End"),
    ("Zoom", "+, -"),
    ("Select From or To the Play Head", "[, ]"),
)
HINT = "Press Record Audio to make a recording,\nor drop a recording here."


class Sound(Protocol):
    """Protocol of drawable sounds, such as `ui.sound.decoded.DecodedSound` and `ui.sound.growing.GrowingSound`."""

    @property
    def duration_s(self) -> float:
        """Current duration, seconds."""

    @property
    def spectrogram(self) -> NDArray[np.uint8] | None:
        """Spectrogram (T, F), uint8, 0 to 255, or None."""

    @property
    def highest_hz(self) -> float:
        """Highest frequency of the spectrogram, hertz."""

    @property
    def grows(self) -> bool:
        """True while the sound is being captured."""

    def outline(
        self, start_s: float, end_s: float, num_columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Compute the waveform outline of a span: times (2 N,) in seconds and amplitudes (2 N,), -1 to 1."""


class SoundView(QAbstractSlider):
    """Draws a sound with its captions; emits signals for clicks and selections.

    For screen readers it is a slider whose value is the position of the play head in whole seconds: PyQt6 cannot give a role to a
    widget of its own, but Qt gives each slider that of a slider.
    """

    seek_asked = pyqtSignal(float)  # seconds
    row_asked = pyqtSignal(object)  # Row: a click on its span
    region_changed = pyqtSignal(object)  # (start, end) in seconds, or None
    play_asked = pyqtSignal()
    spoken = pyqtSignal(str)  # position and caption after the play head was moved by a key, for screen readers
    example_asked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._sound: Sound | None = None
        self._colours = LIGHT
        self._rows: Sequence[Row] = ()
        self._follows = False
        self._loudest = 0.1
        self._build()
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MS)
        self._redraw.timeout.connect(self._draw)
        self._redraw_overview = QTimer(self)
        self._redraw_overview.setSingleShot(True)
        self._redraw_overview.timeout.connect(self._draw_overview)
        self._speech = QTimer(self)
        self._speech.setSingleShot(True)
        self._speech.setInterval(SPEECH_MS)
        self._speech.timeout.connect(self._speak)
        self._is_told = False  # the value is set by the program, not by a key or a screen reader
        self.setOrientation(Qt.Orientation.Horizontal)
        self.setPageStep(PAGE_S)
        self.valueChanged.connect(self._on_value)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        tip = "Click to seek, drag to select a part, use the wheel to zoom, with Shift to pan; Space plays."
        describe(self, "Audio Waveform", tip)

    def _build(self) -> None:
        self._box, self._lower_box = TimeBox(), TimeBox()
        self.waveform = pg.PlotWidget(viewBox=self._box, axisItems={"bottom": TimeAxis(), "left": NumberAxis()})
        self.spectrogram = pg.PlotWidget(viewBox=self._lower_box, axisItems={"left": NumberAxis()})
        for plot, left, below in ((self.waveform, "amplitude", 0), (self.spectrogram, "kHz", LABEL_MARGIN)):
            plot.getAxis("left").setWidth(AXIS_WIDTH)
            plot.setLabel("left", left)
            plot.getPlotItem().layout.setContentsMargins(0, 6, RIGHT_MARGIN, below)
            plot.hideButtons()
            plot.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        describe(self.waveform, "Waveform", "Amplitude over time.")
        describe(self.spectrogram, "Spectrogram", "Loudness of each frequency over time.")
        self.spectrogram.hideAxis("bottom")
        self.spectrogram.setXLink(self.waveform)
        self.spectrogram.setMinimumHeight(70)
        self.spectrogram.setMaximumHeight(120)
        self.waveform.setMinimumHeight(100)
        self.waveform.setYRange(-1, 1, padding=0.02)
        self.curve = self.waveform.plot()
        self.image = pg.ImageItem()
        self.spectrogram.addItem(self.image)
        self.heads = [pg.InfiniteLine(0.0) for _ in range(2)]
        self.region, self.lower_region = pg.LinearRegionItem(), pg.LinearRegionItem(movable=False)
        for region, head, plot in zip(
            (self.region, self.lower_region), self.heads, (self.waveform, self.spectrogram), strict=True
        ):
            region.hide()
            plot.addItem(region)
            plot.addItem(head)
        self.timeline = TimelineStrip(AXIS_WIDTH, RIGHT_MARGIN)
        self.overview = Overview(AXIS_WIDTH, RIGHT_MARGIN)
        self.hint = QLabel(HINT)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.hint.setProperty("muted", True)
        self.example = button("Open an Example", "Open a recording that is included with this program.")
        self.example.clicked.connect(lambda: self.example_asked.emit())
        empty = QWidget()
        column = QVBoxLayout(empty)
        column.addStretch(1)
        column.addWidget(self.hint)
        column.addWidget(self.example, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addStretch(1)
        drawing = QWidget()
        layout = QVBoxLayout(drawing)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.waveform, 1)
        for part in (self.timeline, self.spectrogram, self.overview):
            layout.addWidget(part)
        drawing.setMinimumHeight(
            drawing.minimumSizeHint().height()
        )  # also without a spectrogram: the layout must not change
        self.setObjectName("sound")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)  # for the frame that shows the focus
        self._stack = QStackedLayout(self)
        self._stack.setContentsMargins(2, 2, 2, 2)
        self._stack.addWidget(empty)
        self._stack.addWidget(drawing)
        for box in (self._box, self._lower_box):
            box.clicked.connect(self._on_click)
            box.dragged.connect(self._on_drag)
            box.double_clicked.connect(self.show_all)
            box.moved.connect(self._on_moved)
        self.region.sigRegionChangeFinished.connect(self._on_region)
        self.region.sigRegionChanged.connect(lambda: self.lower_region.setRegion(self.region.getRegion()))
        self.timeline.clicked.connect(self.row_asked)
        self.overview.range_asked.connect(self._on_range_asked)
        self.overview.resized.connect(self._draw_overview)
        self._box.sigXRangeChanged.connect(self._on_range)

    # drawn sound

    def set_sound(self, sound: Sound | None) -> None:
        """Draw a sound, or a hint if None. The view follows a growing sound until the user scrolls away from its end."""
        if sound is not None and sound is self._sound:
            return
        self._sound = sound
        self.clear_region()
        self._stack.setCurrentIndex(1 if sound is not None else 0)
        if sound is None:
            return
        self._follows = sound.grows
        picture = sound.spectrogram
        self.spectrogram.setVisible(picture is not None)
        if picture is not None:
            self.image.setImage(picture, autoLevels=False, levels=(0, 255))
            self.image.setRect(QRectF(0, 0, sound.duration_s, sound.highest_hz / 1000))
            self.spectrogram.setYRange(0, sound.highest_hz / 1000, padding=0)
        self._set_limits()
        self.set_position(0.0)
        self.show_all()
        line = sound.outline(0, sound.duration_s, 1000)[1]
        self._loudest = max(0.05, 1.1 * float(np.abs(line).max(initial=0.0)))
        self._draw()
        self._redraw_overview.start(REDRAW_MS)  # deferred, so that the event loop is not blocked

    def set_reading(self, name: str) -> None:
        """While nothing is drawn, show that the file `name` is being read, or the usual hint if it is empty."""
        self.hint.setText(f"Reading {name}…" if name else HINT)
        self.example.setVisible(not name)

    def grow(self) -> None:
        """Schedule redrawing of a growing sound, at a limited rate."""
        if self._sound is not None and not self._redraw.isActive():
            self._redraw.start()

    @property
    def sound(self) -> Sound | None:
        """Drawn sound, or None."""
        return self._sound

    def set_rows(self, rows: Sequence[Row], threshold: float = 0.0) -> None:
        """Show captions along the time axis; captions with a probability below the threshold, 0 to 1, are only outlined."""
        self.timeline.set_rows(rows, threshold)

    def set_position(self, seconds: float, playing: bool = False) -> None:
        """Move the play head, seconds; the visible range follows it while playing."""
        for head in self.heads:
            head.setVisible(self._sound is not None and not self._sound.grows)
            head.setValue(seconds)
        if not (playing and self.hasFocus()):  # or a screen reader would speak every second of what is played
            self._is_told = True
            self.setRange(0, int(self._sound.duration_s) if self._sound is not None else 0)
            self.setValue(int(seconds))
            self._is_told = False
        is_growing = self._sound is not None and self._sound.grows  # a growing sound has no play head
        self.timeline.set_position(-1.0 if is_growing else seconds)
        start_s, end_s = self._box.viewRange()[0]
        if playing and self._sound is not None and not start_s <= seconds <= end_s:
            self._box.setXRange(seconds, seconds + end_s - start_s, padding=0)

    def show_row(self, row: Row) -> None:
        """Frame a row's span and scroll it into view."""
        self.timeline.set_chosen(row.number)
        start_s, end_s = self._box.viewRange()[0]
        if not start_s <= row.record.start_s < end_s and self._sound is not None:
            self._follows = False
            begin = max(0.0, row.record.start_s - 0.1 * (end_s - start_s))
            self._box.setXRange(begin, begin + end_s - start_s, padding=0)

    def select(self, start_s: float, end_s: float) -> None:
        """Select a span, seconds."""
        self._on_drag(start_s, end_s)

    def clear_region(self) -> None:
        """Clear the selection."""
        if self.region.isVisible():
            self.region.hide()
            self.lower_region.hide()
            self.region_changed.emit(None)

    def show_all(self) -> None:
        """Show the whole sound and clear the selection."""
        if self._sound is None:
            return
        self.clear_region()
        self._follows = self._sound.grows
        end_s = self._sound.duration_s
        self._box.setXRange(max(0.0, end_s - FOLLOWED_S) if self._follows else 0, max(end_s, 0.01), padding=0)

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
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
        for region in (self.region, self.lower_region):
            region.setBrush(pg.mkBrush(faint))
            region.setHoverBrush(pg.mkBrush(faint))
            for line in region.lines:
                line.setPen(pg.mkPen(colours.accent, width=2))
                line.setHoverPen(pg.mkPen(colours.text, width=2))
        self.timeline.set_colours(colours)
        self.overview.set_colours(colours)

    # user input

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Handle keys: Space plays, arrows, Home and End seek, + and - zoom, [ and ] set the ends of the selection."""
        sound = self._sound
        if event is None:
            return
        if sound is None:
            event.ignore()
            return
        key, here = event.key(), float(self.heads[0].value())
        places = {
            Qt.Key.Key_Left: here - ARROW_S,
            Qt.Key.Key_Right: here + ARROW_S,
            Qt.Key.Key_PageUp: here - PAGE_S,
            Qt.Key.Key_PageDown: here + PAGE_S,
            Qt.Key.Key_Home: 0.0,
            Qt.Key.Key_End: sound.duration_s,
        }
        start_s, end_s = self.region.getRegion() if self.region.isVisible() else (0.0, sound.duration_s)
        if key in places and not sound.grows:
            place = min(sound.duration_s, max(0.0, places[Qt.Key(key)]))
            self.set_position(place)  # at once: the next key press counts from here, before the player answers
            self.seek_asked.emit(place)
            self._speech.start()
        elif key == Qt.Key.Key_Space:
            self.play_asked.emit()
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self._box.scaleBy(x=KEY_ZOOM if key == Qt.Key.Key_Minus else 1 / KEY_ZOOM, center=pg.Point(here, 0))
            self._on_moved()
        elif key == Qt.Key.Key_BracketLeft and here < end_s:
            self._on_drag(here, end_s)
        elif key == Qt.Key.Key_BracketRight and here > start_s:
            self._on_drag(start_s, here)
        else:
            event.ignore()

    def wheelEvent(self, e: QWheelEvent | None) -> None:
        """Leave the wheel to the plots; a slider would move."""
        if e is not None:
            e.ignore()

    def _on_value(self, seconds: int) -> None:
        """Seek where a screen reader moves the slider to."""
        if not self._is_told and self._sound is not None and not self._sound.grows:
            self.seek_asked.emit(float(seconds))

    def _speak(self) -> None:
        here = float(self.heads[0].value())
        self.spoken.emit(", ".join(filter(None, (minutes_seconds(here), self.timeline.caption_at(here)))))

    def _on_click(self, seconds: float) -> None:
        if self._sound is not None and not self._sound.grows:
            self.clear_region()
            self.seek_asked.emit(min(self._sound.duration_s, max(0.0, seconds)))

    def _on_drag(self, start_s: float, end_s: float) -> None:
        if self._sound is None or self._sound.grows:
            return
        self.region.show()
        self.lower_region.show()
        self.region.setRegion((max(0.0, start_s), min(self._sound.duration_s, end_s)))

    def _on_region(self) -> None:
        if self._sound is None or not self.region.isVisible():
            return
        start_s, end_s = (float(value) for value in self.region.getRegion())
        self.region_changed.emit((max(0.0, start_s), min(self._sound.duration_s, end_s)))

    def _on_moved(self) -> None:
        """Follow a growing sound after zooming or panning only if its end is visible."""
        if self._sound is not None and self._sound.grows:
            self._follows = self._box.viewRange()[0][1] >= self._sound.duration_s

    def _on_range_asked(self, start_s: float, end_s: float) -> None:
        self._box.setXRange(start_s, end_s, padding=0)
        self._on_moved()

    # drawing

    def _set_limits(self) -> None:
        if self._sound is not None:
            end_s = max(self._sound.duration_s, FOLLOWED_S if self._sound.grows else 0.01)
            for box in (self._box, self._lower_box):
                box.setLimits(xMin=0, xMax=end_s, minXRange=0.01)

    def _on_range(self) -> None:
        start_s, end_s = self._box.viewRange()[0]
        self.timeline.set_range(start_s, end_s)
        self.overview.set_range(start_s, end_s)
        if not self._redraw.isActive():
            self._redraw.start()

    def _draw(self) -> None:
        sound = self._sound
        if sound is None:
            return
        if sound.grows:
            self._set_limits()
            if self._follows:
                end_s = max(FOLLOWED_S, sound.duration_s)
                self._box.setXRange(end_s - FOLLOWED_S, end_s, padding=0)
            if not self._redraw_overview.isActive():
                self._redraw_overview.start(OVERVIEW_MS)
        start_s, end_s = self._box.viewRange()[0]
        times, line = sound.outline(start_s, end_s, max(200, int(self._box.width() * self.devicePixelRatioF())))
        self.curve.setData(times, line)
        self._loudest = max(self._loudest, 1.1 * float(np.abs(line).max(initial=0.0)))
        self.waveform.setYRange(-self._loudest, self._loudest, padding=0)

    def _draw_overview(self) -> None:
        sound = self._sound
        if sound is not None:
            outline = sound.outline(0.0, sound.duration_s, self.overview.num_columns)
            self.overview.set_outline(*outline, max(sound.duration_s, FOLLOWED_S if sound.grows else 0.0))


def _mix(first: QColor, second: QColor, share: float) -> tuple[int, ...]:
    pairs: Any = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return tuple(round((a or 0) * (1 - share) + (b or 0) * share) for a, b in pairs)

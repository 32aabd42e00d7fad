"""Time axis in minutes and seconds, vertical axis, and a plot area with mouse seeking, selection, zoom and pan."""

import math
from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from PyQt6.QtCore import QLocale, Qt, pyqtSignal

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
PAN_SHARE = 0.15  # fraction of the visible range per wheel step


def clock_text(seconds: float, step_s: float) -> str:
    """Format a time, seconds, as m:ss or h:mm:ss, with the decimals needed to distinguish steps of `step_s` seconds."""
    decimals = max(0, math.ceil(-math.log10(step_s) - 1e-9)) if step_s < 1 else 0
    whole, hundredths = divmod(round(seconds * 10**decimals), 10**decimals)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{clock}{QLocale().decimalPoint()}{hundredths:0{decimals}d}" if decimals else clock


class NumberAxis(pg.AxisItem):
    """Vertical axis with numbers in the user's locale."""

    def __init__(self) -> None:
        super().__init__("left")
        self.enableAutoSIPrefix(False)

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """Return the tick labels, with the decimals needed to distinguish them."""
        decimals = max(0, math.ceil(-math.log10(spacing * scale) - 1e-9))
        return [QLocale().toString(float(value * scale), "f", decimals) for value in values]


class TimeAxis(pg.AxisItem):
    """Axis with ticks at whole seconds, minutes or hours, and at decimal fractions below one second."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self.enableAutoSIPrefix(False)

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:  # noqa: N803
        """Return the tick spacing for about one tick per 90 pixels."""
        wished = (maxVal - minVal) / max(1.0, size / 90)
        if wished <= 0.5:
            power = 10 ** math.floor(math.log10(max(wished, 1e-6)))
            step = next((part * power for part in (1, 2, 5) if part * power >= wished), 10 * power)
        else:
            step = next((float(step) for step in STEPS_S if step >= wished), float(STEPS_S[-1]))
        return [(step, 0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """Return the tick labels in minutes and seconds."""
        return [clock_text(value, spacing) for value in values]


class TimeBox(pg.ViewBox):
    """View box in which a click seeks, a drag selects, the wheel zooms or pans, and a double click shows everything."""

    clicked = pyqtSignal(float)
    dragged = pyqtSignal(float, float)
    double_clicked = pyqtSignal()
    moved = pyqtSignal()  # the user zoomed or panned

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(x=True, y=False)

    def _time(self, position: pg.Point) -> float:
        return float(self.mapToView(position).x())

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        """Zoom around the mouse position; with Shift, or with a horizontal wheel, pan."""
        sideways = event.orientation() == Qt.Orientation.Horizontal
        if sideways or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            start, end = self.viewRange()[0]
            self.translateBy(x=-math.copysign(PAN_SHARE * (end - start), event.delta()))
            event.accept()
        else:
            super().wheelEvent(event, axis=0)
        self.moved.emit()

    def mouseClickEvent(self, event: Any) -> None:
        """Left button."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.clicked.emit(self._time(event.pos()))

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Emit that everything is to be shown, for any mouse button."""
        self.double_clicked.emit()

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Left button."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            start, now = self._time(event.buttonDownPos()), self._time(event.pos())
            self.dragged.emit(min(start, now), max(start, now))

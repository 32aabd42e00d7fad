"""Times for which the event loop stood still."""

import time

from PyQt6.QtCore import Qt, QTimer


class Gaps:
    """Measures the time between two ticks of a timer of 5 ms, of which the window's thread used `busy` seconds itself."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.busy: list[float] = []
        self._last, self._last_busy = time.perf_counter(), time.thread_time()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now, busy = time.perf_counter(), time.thread_time()
        self.gaps.append(now - self._last)
        self.busy.append(busy - self._last_busy)
        self._last, self._last_busy = now, busy

    def stop(self) -> None:
        self._timer.stop()

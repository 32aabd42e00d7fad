"""The event loop of the whole app never stands still while the real captioner works and a recording runs."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QSettings, Qt, QTimer
from pytestqt.qtbot import QtBot

from ui.app import build
from ui.controllers.main import Controller
from ui.engine.process import EngineProcess
from ui.widgets.state import Listening, Recording

LONGEST_STALL_S = 0.1


class Gaps:
    """Measures how long the event loop takes between two ticks of a timer of 5 ms."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now

    def stop(self) -> None:
        self._timer.stop()


def longest(qtbot: QtBot, action: Callable[[], None]) -> float:
    """The longest gap while something is done, in seconds."""
    qtbot.wait(50)
    gaps = Gaps()
    action()
    gaps.stop()
    print(f"{len(gaps.gaps)} ticks, median {1000 * statistics.median(gaps.gaps):.1f} ms, longest", end=" ")
    print([f"{1000 * gap:.0f} ms" for gap in sorted(gaps.gaps)[-4:]])
    return max(gaps.gaps)


@pytest.mark.slow
def test_the_event_loop_never_stalls_while_captioning_recording_and_listening(qtbot: QtBot, tmp_path: Path) -> None:
    """Three runs at most: what else a shared machine does may stop this process once, the app's own fault stops it always."""
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=16000 * 300), 16000)
    runs: list[float] = []
    while not runs or (runs[-1] >= LONGEST_STALL_S and len(runs) < 3):
        runs.append(longest_stall(qtbot, tmp_path))
    assert runs[-1] < LONGEST_STALL_S, runs


def longest_stall(qtbot: QtBot, folder: Path) -> float:
    """The longest gap in seconds while the captioner is loaded, a recording opened, and all works at once."""
    system = SimulatedSystem(np.concatenate([chirp(3.0, 48000)] * 20))
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    app = build(EngineProcess(), system, settings, folder / "history")  # type: ignore[arg-type]
    app.change(recordings_folder=str(folder / "recordings"), window_s=5.0, live_window_s=2.0, live_hop_s=1.0)
    app.window.show()
    qtbot.wait(300)  # the first painting of a window is not work beside which it must stay awake
    try:
        return max(
            longest(qtbot, lambda: load(qtbot, app)),
            longest(qtbot, lambda: open_file(qtbot, app, folder / "long.wav")),
            longest(qtbot, lambda: work(qtbot, app)),
        )
    finally:
        begun = time.monotonic()
        app.window.close()
        assert app.all_ended and time.monotonic() - begun < 2.0


def load(qtbot: QtBot, app: Controller) -> None:
    app.captions.load()
    qtbot.waitUntil(lambda: app.state.model_ready, timeout=60000)


def open_file(qtbot: QtBot, app: Controller, path: Path) -> None:
    app.open_paths([path])
    qtbot.waitUntil(lambda: app.state.can_play, timeout=30000)
    qtbot.wait(300)


def work(qtbot: QtBot, app: Controller) -> None:
    """Caption five minutes, record and listen at the same time for four seconds."""
    app.window.controls.run_model.click()
    qtbot.waitUntil(lambda: app.window.controls.share.value() > 0, timeout=20000)
    app.window.controls.listen.click()
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    assert app.state.captioning
    qtbot.wait(4000)
    qtbot.waitUntil(lambda: app.live.document is not None and bool(app.live.document.rows), timeout=60000)
    begun = time.monotonic()
    if app.state.captioning:
        app.window.controls.cancel.click()
        qtbot.waitUntil(lambda: not app.state.captioning, timeout=1000)
        assert time.monotonic() - begun < 1.0
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF)

"""The window's thread only draws and handles events while the real captioner works and a recording runs.

Files are opened and synced by other threads, and all of the work is under way at once. How long the event loop stood still is
printed (`pytest -s`), not asserted: it depends on what else the machine does.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from tests.ui.gaps import Gaps
from ui.app import build
from ui.controllers.main import Controller
from ui.engine.process import EngineProcess
from ui.widgets.state import Listening, Recording

_opened: list[str] | None = None  # by the window's thread, while watched


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event == "open" and threading.current_thread() is threading.main_thread():
        _opened.append(str(arguments[0]))


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], list[str]]]:
    """Files that the window's thread opens meanwhile, and names of the threads that sync files to the disk."""
    global _opened
    syncing: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (syncing.append(threading.current_thread().name), fsync(file))[1])
    sys.addaudithook(_audit)  # stays, and does nothing later
    _opened = []
    try:
        yield _opened, syncing
    finally:
        _opened = None


def measure(qtbot: QtBot, name: str, action: Callable[[], None]) -> None:
    """Print the longest times between two ticks while something is done."""
    qtbot.wait(50)
    gaps = Gaps()
    action()
    gaps.stop()
    longest = [[f"{1000 * time_s:.0f}" for time_s in sorted(times)[-4:]] for times in (gaps.gaps, gaps.busy)]
    print(f"{name}: {len(gaps.gaps)} ticks; longest {longest[0]} ms, of which this thread worked {longest[1]} ms")
    assert gaps.gaps  # the event loop ran meanwhile


@pytest.mark.slow
def test_the_windows_thread_neither_opens_nor_syncs_files_while_captioning_recording_and_listening(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=16000 * 300), 16000)
    system = SimulatedSystem(np.concatenate([chirp(3.0, 48000)] * 20))
    settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
    app = build(EngineProcess(), system, settings, tmp_path / "history")  # type: ignore[arg-type]
    app.change(recordings_folder=str(tmp_path / "recordings"), window_s=5.0, live_window_s=2.0, live_hop_s=1.0)
    app.window.show()
    qtbot.wait(300)  # the first painting of a window is not work beside which it must stay awake
    try:
        with watched(monkeypatch) as (opened, syncing):
            measure(qtbot, "loading", lambda: load(qtbot, app))
            measure(qtbot, "opening", lambda: open_file(qtbot, app, tmp_path / "long.wav"))
            measure(qtbot, "working", lambda: work(qtbot, app))
            app._writing.flush()
        assert opened == []
        assert syncing and all(name.startswith("writing") for name in syncing), set(syncing)
    finally:
        app.window.close()
        assert app.all_ended


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
    if app.state.captioning:
        app.window.controls.cancel.click()
        qtbot.waitUntil(lambda: not app.state.captioning, timeout=30000)
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF)

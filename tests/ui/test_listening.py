"""Continuous captions, silence, lateness and large type, in the window."""

import re
import time

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, record, rows
from ui.controllers.main import Controller
from ui.store.documents import Kind
from ui.widgets.meter import LOWEST_DB
from ui.widgets.state import Listening


def test_listening_shows_lines_latency_pause_and_large_type(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 10), 4.0
    texts = iter(["a dog barks", "a dog barks", "rain falls"])
    engine.live_text = lambda waveform: next(texts, "wind blows")
    app.change(live_window_s=1.0, live_hop_s=1.0)
    controls, large = app.window.controls, app.window.large
    click(qtbot, app.window.captions.large)
    assert large.isVisible()
    click(qtbot, controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    qtbot.waitUntil(lambda: len(rows(app)) >= 2)
    assert controls.listen.text() == "Stop Listening"
    qtbot.waitUntil(lambda: captions(app)[:2] == ["a dog barks", "rain falls"])
    assert rows(app)[0][0] == "00:00 – 00:02" and rows(app)[0][2] == "14 %"
    assert re.match(r"latency \d\.\d s", app.window.captions.latency.text())
    assert large.caption.text() in ("rain falls", "wind blows") and " latest caption at " in large.state.text()
    click(qtbot, controls.listen_pause)
    assert controls.listen_pause.text() == "Resume"
    qtbot.wait(300)
    heard = app.live.document.rows[-1].record.end_s
    qtbot.wait(500)
    assert app.live.document.rows[-1].record.end_s == heard
    click(qtbot, controls.listen_pause)
    qtbot.waitUntil(lambda: app.live.document.rows[-1].record.end_s > heard)
    click(qtbot, controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    qtbot.wait(100)
    assert controls.meter._peak_db == LOWEST_DB  # it shows nothing while nothing is heard
    [entry] = app._history.entries
    assert entry.kind is Kind.LIVE and entry.records[0].caption == "a dog barks" and len(entry.records) >= 2
    large.close()


def test_a_slow_captioner_is_reported_as_behind(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:

    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 60), 6.0

    def slow(waveform: object) -> str:
        time.sleep(0.5)
        return "a slow caption"

    engine.live_text = slow
    app.change(live_window_s=1.0, live_hop_s=0.5)
    click(qtbot, app.window.controls.listen)
    pattern = r"behind by \d+ s, \d+ skipped"
    qtbot.waitUntil(lambda: bool(re.fullmatch(pattern, app.window.captions.latency.text())), timeout=8000)
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_silence_is_said_and_its_threshold_is_on_the_meter(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.zeros(0, np.float32), 4.0  # noise at about -90 dB
    app.change(live_window_s=1.0, live_hop_s=1.0)
    meter = app.window.controls.meter
    assert meter.threshold_db == -50.0
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: bool(rows(app)))
    assert rows(app)[0][1:] == ["(silence)", ""]
    for _ in range(3):
        qtbot.keyClick(meter, Qt.Key.Key_Right)
    assert meter.threshold_db == -47.0 and app.settings.silence_db == -47.0
    qtbot.waitUntil(lambda: app._workers.microphone._live.silence_peak == pytest.approx(10 ** (-47 / 20)))
    qtbot.mouseClick(meter, Qt.MouseButton.LeftButton, pos=QPoint(round(meter._x(-30.0)), 15))
    assert meter.threshold_db == pytest.approx(-30, abs=1)
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_recording_and_listening_at_once(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    app.change(live_window_s=1.0, live_hop_s=0.5)
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    path = record(qtbot, app, 1.0)
    assert len(system.opened) == 1 and soundfile.info(path).duration > 0.5  # one stream serves both
    assert app.state.listening is Listening.ON
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_a_loud_event_flashes_the_large_window(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    quiet, loud = np.zeros(48000 * 2, np.float32), chirp(1.0, 48000)
    system.waveform, system.speed = np.concatenate([quiet, loud, quiet]), 2.0
    app.window.show_large()
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.window.large.is_flashing)
    colour = app.window.large.styleSheet()
    qtbot.waitUntil(lambda: not app.window.large.is_flashing)
    assert app.window.large.styleSheet() != colour
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    app.window.large.close()

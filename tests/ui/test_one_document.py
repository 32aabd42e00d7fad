"""Captions belong to their recording, whatever is open, selected, cancelled or not ready yet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, open_file, record, rows
from ui.controllers.main import Controller
from ui.engine.requests import CaptionerChoice, CaptionerInfo, EngineError
from ui.store.documents import Kind
from ui.widgets.state import Listening
from ui.widgets.tabs import HISTORY, LIVE, RECORDING


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another recording, ten seconds long."""
    soundfile.write(tmp_path / "other.wav", chirp(10.0, 16000), 16000)
    return tmp_path / "other.wav"


def drawn(app: Controller) -> list[str]:
    """Captions along the time axis."""
    return [row.record.caption for row in app.window.sound.timeline._rows]


def test_captions_stay_with_their_recording_when_another_is_opened_meanwhile(
    app: Controller, qtbot: QtBot, sound_file: Path, other: Path, engine: SimulatedEngine
) -> None:
    engine.step_s = 0.3
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: bool(engine.requests))
    open_file(qtbot, app, other)
    qtbot.waitUntil(lambda: not app.state.captioning)
    assert captions(app) == [] and drawn(app) == [] and not app.window.captions.copy.isEnabled()
    open_file(qtbot, app, sound_file)
    assert captions(app)[0] == "chirp 0 caption 1" and drawn(app) == ["chirp 0 caption 1"]
    assert app.window.captions.undo.isEnabled()
    assert app.window.captions.name.text() == "chirp.wav"


def test_a_listening_from_the_history_has_its_own_time_axis(
    app: Controller, qtbot: QtBot, sound_file: Path, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 10), 4.0
    app.change(live_window_s=1.0, live_hop_s=1.0)
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: "a dog barks" in captions(app))
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    open_file(qtbot, app, sound_file)
    assert captions(app) == [] and app.window.captions.file_heading.isVisible()
    app.window.tabs.show_tab(HISTORY)
    [entry] = app._history.entries
    app.past.open(entry.key)
    assert (
        app.window.captions.live_heading.isVisible() and "a dog barks" in captions(app) and drawn(app) == captions(app)
    )
    assert app.window.sound.sound is not app.sound._sound
    app.window.tabs.show_tab(RECORDING)
    assert captions(app) == [] and app.window.sound.sound is app.sound._sound
    app.window.tabs.show_tab(LIVE)
    assert "a dog barks" in captions(app)


def test_a_selection_adds_to_the_captions_and_replaces_its_own(
    app: Controller, qtbot: QtBot, other: Path, engine: SimulatedEngine
) -> None:
    engine.num_windows = 5
    open_file(qtbot, app, other)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(rows(app)) == 5 and not app.state.captioning)
    engine.num_windows = 1
    app.window.sound.select(4.0, 6.0)
    qtbot.waitUntil(lambda: app.state.has_region)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: not app.state.captioning)
    spans = [row[0] for row in rows(app)]
    assert spans == ["00:00 – 00:02", "00:02 – 00:04", "00:04 – 00:06", "00:06 – 00:08", "00:08 – 00:10"]
    assert captions(app)[2] == "other 0 caption 1" and captions(app)[3] == "other 3 caption 1"
    kept = app._history.find(str(other))
    assert kept is not None and len(kept.rows) == 5
    click(qtbot, app.window.captions.undo)
    assert captions(app)[2] == "other 2 caption 1"


def test_captions_arrive_while_a_file_is_processed_and_stay_on_cancel(
    app: Controller, qtbot: QtBot, other: Path, engine: SimulatedEngine
) -> None:
    engine.num_windows, engine.num_steps, engine.step_s = 5, 100, 0.1
    open_file(qtbot, app, other)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.documents.shown is not None and len(app.documents.shown.rows) >= 2)
    assert app.state.captioning and len(app.window.sound.timeline._rows) == len(app.documents.shown.rows)
    click(qtbot, app.window.controls.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning)
    there = captions(app)
    assert len(there) >= 2 and "are kept" in app.window.status.text()
    app.documents.write()
    kept = app._history.find(str(other))
    assert kept is not None and [row.record.caption for row in kept.rows] == there


def test_a_click_before_the_captioner_is_ready_waits_for_it(
    make_app: Callable[[], Controller], qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    may_load = engine._closed.__class__()
    load = engine.load

    def slowly(choice: CaptionerChoice) -> CaptionerInfo:
        may_load.wait(10)
        return load(choice)

    engine.load = slowly  # type: ignore[method-assign]
    app = make_app()
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    assert "as soon as the captioner is loaded" in app.window.status.text() and app.state.captioning
    may_load.set()
    qtbot.waitUntil(lambda: captions(app)[:1] == ["chirp 0 caption 1"])


def test_a_file_that_cannot_be_read_leaves_the_open_one(
    app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path
) -> None:
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: bool(captions(app)) and not app.state.captioning)
    (tmp_path / "text.wav").write_text("no sound")
    for path in (tmp_path / "text.wav", tmp_path / "gone.wav"):
        app.open_paths([path])
        qtbot.waitUntil(lambda path=path: path.name in app.window.banner.text.text())
        assert "Errno" not in app.window.banner.text.text()
        qtbot.waitUntil(lambda: not app.state.reading)
        assert app.state.path == str(sound_file) and app.state.can_play and captions(app)
        assert app.window.sound.sound.duration_s == pytest.approx(2.0, abs=0.1)


def test_a_truncated_file_is_opened_and_reported(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    content = sound_file.read_bytes()
    sound_file.write_bytes(content[: len(content) // 2])
    open_file(qtbot, app, sound_file)
    qtbot.waitUntil(app.window.banner.isVisible)
    assert "chirp.wav is truncated" in app.window.banner.text.text() and app.state.can_play


def test_a_device_that_is_not_there_leaves_the_captioner(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine
) -> None:
    load = engine.load

    def only_processor(choice: CaptionerChoice) -> CaptionerInfo:
        if choice.device == "cuda":
            raise EngineError("No NVIDIA card was found.")
        return load(choice)

    engine.load = only_processor  # type: ignore[method-assign]
    app.apply_settings(app.settings.__class__(**{**vars(app.settings), "device": "cuda"}))
    qtbot.waitUntil(lambda: "No NVIDIA card" in app.window.banner.text.text())
    qtbot.waitUntil(lambda: app.state.model_ready)
    assert app.settings.device == "auto" and app.captions.info is not None


def test_a_recording_is_a_document_from_its_first_sound_on(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: bool(captions(app)) and not app.state.captioning)
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.documents.open is not None and app.documents.open.kind is Kind.RECORDING)
    assert captions(app) == [] and app.window.captions.live_heading.isVisible()
    qtbot.wait(200)
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.can_play)
    path = record(qtbot, app, 0.2)
    qtbot.keyClick(app.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: captions(app)[:1] == [f"{path.stem} 0 caption 1"])

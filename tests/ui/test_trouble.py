"""Every error is reported in one sentence, no recording is lost, and the window closes immediately."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from tests.ui.actions import rows
from ui.app import build
from ui.controllers.main import Controller
from ui.sound.levels import to_amplitude
from ui.store.documents import Kind
from ui.widgets.state import Listening, Recording

ROOT = Path(__file__).parents[2]


def told(qtbot: QtBot, app: Controller, *words: str) -> None:
    """A banner with these words comes within two seconds, and the sentence is in the log too."""
    qtbot.waitUntil(
        lambda: app.window.banner.isVisible() and all(word in app.window.banner.text.text() for word in words),
        timeout=2000,
    )
    assert app.window.banner.text.text() in app.window.log.toPlainText()


def start_recording(qtbot: QtBot, app: Controller) -> None:
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.wait(300)


def test_no_microphone(app: Controller, qtbot: QtBot, system: SimulatedSystem, tmp_path: Path) -> None:
    system.devices = []
    app.window.controls.record.click()
    told(qtbot, app, "No microphone was found")
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF)
    assert list((tmp_path / "recordings").iterdir()) == [] and app._history.entries == []
    app.window.controls.listen.click()
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_no_output_device(app: Controller, qtbot: QtBot, system: SimulatedSystem, sound_file: Path) -> None:
    system.has_output = False
    app.open_paths([sound_file])
    qtbot.waitUntil(lambda: app.state.can_play)
    app.window.controls.play.click()
    told(qtbot, app, "No output device was found")
    assert not app.state.playing


@pytest.mark.parametrize(("fault", "words"), [("lose", "was lost"), ("sends_zeros", "digital silence")])
def test_unplugged_while_recording(
    app: Controller, qtbot: QtBot, system: SimulatedSystem, fault: str, words: str
) -> None:
    start_recording(qtbot, app)
    if fault == "lose":
        system.inputs_made[0].lose()
    else:
        system.inputs_made[0].sends_zeros = True
    told(qtbot, app, words)
    if fault == "lose":
        assert "is kept in" in app.window.banner.text.text()
    else:
        app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    assert soundfile.info(app.sound.last_recording).duration > 0.25


def test_unplugged_while_listening(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    app.window.controls.listen.click()
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    system.inputs_made[0].lose()
    told(qtbot, app, "was lost")
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_recordings_folder_without_permission(app: Controller, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    app.change(recordings_folder=str(tmp_path / "a file"))
    app.window.controls.record.click()
    told(qtbot, app, "choose another folder")
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF)


def test_a_clip_that_is_too_short_and_one_that_vanished(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, sound_file: Path
) -> None:
    app.open_paths([sound_file])
    qtbot.waitUntil(lambda: app.state.can_play)
    for sentence in ("chirp.wav is too short to caption", "chirp.wav cannot be opened", "There is not enough memory"):
        engine.file_error = f"{sentence}."
        app.window.controls.run_model.click()
        told(qtbot, app, sentence)
        qtbot.waitUntil(lambda: not app.state.captioning)


def test_no_checkpoint_leaves_recording_and_playing(
    make_app: Callable[[], Controller], qtbot: QtBot, engine: SimulatedEngine
) -> None:
    engine.load_error = "nowhere is not a checkpoint folder: check the path."
    app = make_app()
    told(qtbot, app, "not a checkpoint folder")
    assert "choose a checkpoint in the settings" in app.window.status.text()
    start_recording(qtbot, app)
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.can_play)
    assert Path(app.sound.last_recording).is_file()
    assert app.window.controls.play.isEnabled() and app.window.captioner.text() == "no captioner"
    engine.load_error = ""
    app.captions.load()
    qtbot.waitUntil(lambda: app.state.model_ready)


def test_a_history_that_cannot_be_written_does_not_lose_captions(
    app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path
) -> None:
    app._history._folder = tmp_path / "chirp.wav" / "history"  # below a file
    app.open_paths([sound_file])
    qtbot.waitUntil(lambda: app.state.can_play)
    app.window.controls.run_model.click()
    told(qtbot, app, "history")
    assert len(rows(app)) == 3
    start_recording(qtbot, app)
    app.window.controls.record.click()
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    assert Path(app.sound.last_recording).is_file()


def test_a_home_that_cannot_be_written_is_told_once_and_captions_go_on(
    qtbot: QtBot,
    engine: SimulatedEngine,
    system: SimulatedSystem,
    sound_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.write_text("a file in place of a folder, since tests may run as root, for whom every folder can be written")
    settings = QSettings(str(home / "settings.ini"), QSettings.Format.IniFormat)
    app = build(engine, system, settings, home / "history")  # type: ignore[arg-type]
    shown: list[str] = []
    show = app.window.banner.show_message
    monkeypatch.setattr(app.window.banner, "show_message", lambda *message: (shown.append(message[0]), show(*message)))
    app.start()
    try:
        qtbot.waitUntil(lambda: app.state.model_ready)
        app.open_paths([sound_file])
        qtbot.waitUntil(lambda: app.state.can_play)
        for _ in range(3):
            app.window.controls.num_captions.stepUp()
            app.window.controls.run_model.click()
            qtbot.waitUntil(lambda: not app.state.captioning and app.state.has_captions)
        app._writing.flush()
        qtbot.waitUntil(lambda: "history cannot be saved" in app.window.log.toPlainText())
        assert len(rows(app)) == app.settings.num_captions == 6
        assert len(shown) == 1 and str(home) in shown[0] and "is closed" in shown[0] and "Errno" not in shown[0]
    finally:
        app.window.close()


@pytest.mark.parametrize("work", ["loading", "captioning", "recording", "listening", "playing", "decoding"])
def test_the_window_closes_at_once_during_any_work(
    make_app: Callable[[], Controller], qtbot: QtBot, engine: SimulatedEngine, tmp_path: Path, work: str
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, chirp(60.0, 16000), 16000)
    app = make_app()
    if work != "loading":
        qtbot.waitUntil(lambda: app.state.model_ready)
    if work in ("captioning", "playing"):
        app.open_paths([path])
        qtbot.waitUntil(lambda: app.state.can_play)
    if work == "captioning":
        engine.step_s, engine.num_steps = 1.0, 100
        app.window.controls.run_model.click()
        qtbot.waitUntil(lambda: app.state.captioning)
    elif work == "recording":
        start_recording(qtbot, app)
    elif work == "listening":
        app.window.controls.listen.click()
        qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    elif work == "playing":
        app.window.controls.play.click()
        qtbot.waitUntil(lambda: app.state.playing)
    elif work == "decoding":
        app.open_paths([path])
    app.window.close()
    assert app.all_ended and not app.window.isVisible()  # within CLOSE_S, after which it would be abandoned
    if work == "recording":
        [recording] = (tmp_path / "recordings").iterdir()
        assert soundfile.info(recording).duration > 0.25
        assert app._history.find(str(recording)) is not None


def test_a_listening_that_ends_with_the_window_is_noted(
    make_app: Callable[[], Controller], qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.speed, system.waveform = 4.0, np.concatenate([chirp(2.0, 48000)] * 10)
    app = make_app()
    qtbot.waitUntil(lambda: app.state.model_ready)
    app.change(live_window_s=1.0, live_hop_s=0.5)
    app.window.controls.listen.click()
    qtbot.waitUntil(lambda: app.live.document is not None and bool(app.live.document.rows))
    app.window.close()
    assert [entry.kind for entry in app._history.entries] == [Kind.LIVE]
    assert app._history.entries[0].records[0].caption == "a dog barks"


def test_an_unforeseen_error_is_reported_and_the_window_stays(app: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui.app import _report_unhandled

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    _report_unhandled(app)
    sys.excepthook(KeyError, KeyError("x"), None)
    assert "Something went wrong (KeyError" in app.window.banner.text.text()


def run_app(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    homes = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "UI_Code.py"), *arguments],
        env={**kept, **homes, **environment}, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_without_a_display_one_sentence_and_status_2(tmp_path: Path) -> None:
    process = run_app(tmp_path, QT_QPA_PLATFORM="")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.count("\n") == 1 and "no display was found" in errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_with_status_0(tmp_path: Path, number: signal.Signals) -> None:
    """The whole app while its captioner is being loaded, which is when it works hardest."""
    process = run_app(tmp_path)
    time.sleep(4)
    assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in errors, errors


def test_threshold_and_amplitude_agree() -> None:
    quiet = np.full(100, to_amplitude(-51.0), np.float32)
    assert np.abs(quiet).max() < to_amplitude(-50.0) < 2 * np.abs(quiet).max()


def test_signals_are_not_needed_to_keep_a_recording(tmp_path: Path) -> None:
    """A kill without warning in the middle of a recording leaves a whole file."""
    script = tmp_path / "record.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import time\nfrom pathlib import Path\nimport numpy as np\nfrom ui.sound.recorder import Recorder\n"
        "recorder = Recorder(Path(sys.argv[2]))\n"
        "while True:\n"
        "    recorder.feed(np.full(4800, 0.25, np.float32), 48000); print(flush=True); time.sleep(0.01)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(ROOT), str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(20):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    [path] = (tmp_path / "out").iterdir()
    samples, _ = soundfile.read(path)
    assert len(samples) >= 20 * 4800 and np.allclose(samples, 0.25, atol=1e-4)

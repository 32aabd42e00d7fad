"""Drives the whole app on a display with a sound server; started by test_desktop.py.

    python -m tests.ui.drive_desktop FOLDER CLIP FAULT

Records CLIP from the sound server's microphone, runs both predictions and plays the recording; then, with FAULT "kill" or
"remove", records again and takes the sound server or its source away. Prints a line of JSON.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QSettings, Qt
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QAbstractButton, QApplication

from ui.app import build
from ui.controllers.main import Controller
from ui.engine.process import EngineProcess
from ui.sound.devices import SoundSystem
from ui.store.documents import Document
from ui.widgets.state import Listening, Recording


def wait(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Let events through until something holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, "waited in vain"
        QTest.qWait(10)


def click(button: QAbstractButton) -> None:
    assert button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def texts(document: Document | None) -> list[str]:
    return [record.caption for record in document.records] if document is not None else []


def play_into_microphone(clip: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["paplay", "--device=capsink", "--latency-msec=50", clip])


def record(app: Controller, clip: str) -> None:
    controls = app.window.controls
    click(controls.record)
    wait(lambda: app.state.recording is Recording.ON)
    player = play_into_microphone(clip)
    wait(lambda: player.poll() is not None)
    QTest.qWait(300)


def hear(app: Controller, clip: str) -> dict[str, object]:
    """Record and caption; play; listen."""
    controls, captions = app.window.controls, app.window.captions
    shown = lambda: app.documents.shown  # noqa: E731 - what is in front changes
    record(app, clip)
    click(controls.run_live)  # stops, saves, captions
    wait(lambda: bool(texts(shown())))
    found: dict[str, object] = {
        "platform": QApplication.platformName(),
        "devices": [controls.devices.itemText(index) for index in range(controls.devices.count())],
        "recording": app.sound.last_recording,
        "live": texts(shown()),
    }
    wait(lambda: app.state.can_play and not app.state.captioning)  # the first captions come before the end of the run
    click(controls.run_model)
    wait(lambda: app.state.has_captions and not app.state.captioning)
    found["model"] = [caption.text for caption in shown().records[0].captions]
    click(controls.play)
    wait(lambda: app.state.playing)
    wait(lambda: not app.state.playing)
    found["per_cent"] = controls.progress.value()
    click(controls.listen)
    wait(lambda: app.state.listening is Listening.ON)
    player = play_into_microphone(clip)
    wait(lambda: player.poll() is not None)
    wait(lambda: bool(texts(shown())))
    found["heard"], found["latency"] = texts(shown()), captions.latency.text()
    click(controls.listen)
    wait(lambda: app.state.listening is Listening.OFF)
    return found


def suffer(app: Controller, clip: str, fault: str) -> dict[str, object]:
    """Record, and take the sound away; the app must report it and keep the recording."""
    click(app.window.controls.record)
    wait(lambda: app.state.recording is Recording.ON)
    player = play_into_microphone(clip)
    wait(lambda: app.window.controls.meter._peak_db > -50)
    QTest.qWait(800)
    app.window.banner.dismiss()
    if fault == "kill":
        os.kill(int((Path(os.environ["XDG_RUNTIME_DIR"]) / "pulse" / "pid").read_text()), signal.SIGKILL)
    else:
        subprocess.run(["pactl", "unload-module", "module-null-sink"], check=True)
    wait(app.window.banner.isVisible, 10.0)
    sentence = app.window.banner.text.text()
    if app.state.recording is not Recording.OFF:
        click(app.window.controls.record)
    wait(lambda: app.state.recording is Recording.OFF)
    player.kill()
    return {"fault": fault, "sentence": sentence, "kept": app.sound.last_recording}


def main(folder: Path, clip: str, fault: str) -> int:
    application = QApplication([])
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    app = build(EngineProcess(), SoundSystem(), settings, folder / "history")
    app.change(recordings_folder=str(folder / "recordings"), live_window_s=4.0, live_hop_s=2.0)
    app.start()
    wait(lambda: app.state.model_ready, 120.0)
    found = hear(app, clip) if fault == "none" else suffer(app, clip, fault)
    print(json.dumps(found), flush=True)
    app.window.close()
    application.processEvents()
    if not app.all_ended:
        print("threads did not end", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))

"""Takes the pictures of the app: the real captioner, sounds of this project, a simulated microphone.

python -m tests.ui.take_screenshots FOLDER [THEME]

With QT_SCALE_FACTOR=2 the pictures are those of a screen at 200 %.
"""

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from PyQt6.QtCore import QBuffer, QSettings
from PyQt6.QtGui import QFont
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QWidget

from data.audio import Waveform, load_audio
from tests.ui.simulated import SimulatedSystem
from ui.app import build
from ui.controllers.main import Controller
from ui.engine.process import EngineProcess
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import Listening, Recording
from ui.widgets.tabs import HISTORY

ASSETS = Path(__file__).parents[2] / "assets"
RATE_HZ = 48000
WALK = ("siren", "church_bell", "sea_waves", "clock_tick", "alarm_clock", "waves_then_bell", "siren_then_waves")


def wait(condition: Callable[[], bool], timeout_s: float = 900.0) -> None:
    """Let events through until something holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        QTest.qWait(10)


def walk(gap_s: float = 0.0) -> Waveform:
    """The project's sounds one after another."""
    gap = np.zeros(round(gap_s * RATE_HZ), np.float32)
    return np.concatenate([part for name in WALK for part in (load_audio(ASSETS / f"{name}.flac", RATE_HZ), gap)])


def save(widget: QWidget, path: Path) -> None:
    """A picture of a widget, in few colours so that it stays small."""
    buffer = QBuffer()
    buffer.open(QBuffer.OpenModeFlag.ReadWrite)
    widget.grab().save(buffer, "PNG")
    picture = Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")
    picture.quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)


def take(app: Controller, system: SimulatedSystem, theme: str, folder: Path, work: Path) -> None:
    """All pictures of one theme."""
    window = app.window
    app.change(recordings_folder=str(work / "Recordings"), window_s=5.0, live_window_s=4.0, live_hop_s=2.0)
    app.apply_settings(app.settings.__class__(**{**vars(app.settings), "theme": theme}))
    app.start()
    wait(lambda: app.state.model_ready)
    QTest.qWait(300)
    save(window, folder / f"idle_{theme}.png")
    recording = work / "A walk through town.wav"
    app.open_paths([recording])
    wait(lambda: app.state.can_play)
    window.controls.run_model.click()
    wait(lambda: not app.state.captioning and app.state.has_captions)
    app.sound._seek.emit(13.2)
    window.sound.select(18.1, 23.3)
    QTest.qWait(400)
    save(window, folder / f"file_{theme}.png")
    usual = window.size()
    for width, height in ((880, 700), (0, 0)):
        if width:
            window.resize(width, height)
        else:
            window.resize(960, 500)  # of a screen of 1920 by 1080 at 200 %
        QTest.qWait(300)
        save(window, folder / f"{'narrow' if width else 'smallest'}_{theme}.png")
    window.resize(usual)
    dialog = SettingsDialog(app.settings, "mobilenet on cpu", window)
    dialog.show()
    QTest.qWait(100)
    save(dialog, folder / f"settings_{theme}.png")
    dialog.close()
    window.controls.record.click()
    wait(lambda: app.state.recording is Recording.ON)
    QTest.qWait(9000)
    save(window, folder / f"recording_{theme}.png")
    system.inputs_made[-1].lose()
    wait(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    QTest.qWait(300)
    save(window, folder / f"error_{theme}.png")
    window.controls.run_model.click()
    wait(lambda: app.state.has_captions)
    window.controls.listen.click()
    wait(lambda: app.state.listening is Listening.ON)
    window.large.show()
    QTest.qWait(25000)
    save(window, folder / f"live_{theme}.png")
    save(window.large, folder / f"large_{theme}.png")
    window.resize(880, 700)
    QTest.qWait(300)
    save(window, folder / f"narrow_live_{theme}.png")
    window.resize(usual)
    window.controls.listen.click()
    wait(lambda: app.state.listening is Listening.OFF)
    app.open_paths(sorted(ASSETS.glob("*.flac")))
    window.queue.run.click()
    wait(lambda: app.queue.files.share > 0.4)
    save(window, folder / f"queue_{theme}.png")
    wait(lambda: not app.state.captioning)
    window.tabs.show_tab(HISTORY)
    QTest.qWait(300)
    save(window, folder / f"history_{theme}.png")


def main(folder: Path, themes: Sequence[str] = ("light", "dark")) -> int:
    """Every picture of these themes."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":  # a screen as people have; its own is 800 pixels wide
        os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={Path(__file__).with_name('screen.json')}"
    application = QApplication([])
    application.setFont(QFont("Inter", 10))
    for theme in themes:
        with tempfile.TemporaryDirectory() as name:
            work = Path(name) / "Music"
            work.mkdir()
            soundfile.write(work / "A walk through town.wav", walk(0.6), RATE_HZ)
            system = SimulatedSystem(walk(), RATE_HZ)
            settings = QSettings(str(work / "settings.ini"), QSettings.Format.IniFormat)
            app = build(EngineProcess(), system, settings, work / "history")  # type: ignore[arg-type]
            take(app, system, theme, folder, work)
            app.window.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:] or ("light", "dark")))

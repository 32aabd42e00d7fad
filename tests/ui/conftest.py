"""A window on no screen, with simulated devices and captioner."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from ui.controllers.main import Controller

# A screen as people have; the plugin's own is 800 pixels wide.
os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={Path(__file__).with_name('screen.json')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One window at a time, where tests run side by side: they wait for one another's events and devices."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("window"))


def pytest_collection_finish() -> None:
    """Libraries stay: a collection need not look at them after each test, which takes longer than many tests."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Let go of a test's widgets now and here: collected later, by whatever thread, they would take the process with them."""
    gc.collect()


@pytest.fixture
def system() -> SimulatedSystem:
    """Sound devices whose microphone captures a chirp of three seconds."""
    return SimulatedSystem(chirp(3.0, 48000))


@pytest.fixture
def engine() -> SimulatedEngine:
    return SimulatedEngine()


@pytest.fixture
def make_app(
    qtbot: "QtBot", tmp_path: Path, system: SimulatedSystem, engine: SimulatedEngine
) -> Iterator[Callable[[], "Controller"]]:
    """Starts the app, also twice with the same settings and history."""
    from PyQt6.QtCore import QCoreApplication, QEvent, QSettings

    from ui.app import build

    made: list[Controller] = []

    def make() -> "Controller":
        settings = QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)
        controller = build(engine, system, settings, tmp_path / "history")  # type: ignore[arg-type]
        controller.change(recordings_folder=str(tmp_path / "recordings"))
        controller.start()
        made.append(controller)
        return controller

    yield make
    for controller in made:
        controller.window.close()
        assert controller.all_ended
        for widget in (controller.window.large, controller.window):
            widget.deleteLater()  # or each later test would paint the windows of all before it
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


@pytest.fixture
def app(make_app: Callable[[], "Controller"], qtbot: "QtBot") -> "Controller":
    """The app with its captioner loaded."""
    controller = make_app()
    qtbot.waitUntil(lambda: controller.state.model_ready)
    return controller


@pytest.fixture
def sound_file(tmp_path: Path) -> Path:
    """Two seconds of a chirp."""
    soundfile.write(tmp_path / "chirp.wav", chirp(2.0, 16000), 16000)
    return tmp_path / "chirp.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four recordings, one of them damaged, and a text."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(3):
        soundfile.write(folder / f"{number}.flac", 0.1 * np.random.default_rng(number).normal(size=8000), 8000)
    (folder / "notes.txt").write_text("no sound")
    return folder

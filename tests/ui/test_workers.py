"""The workers on their threads, without a window."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.audio import load_audio
from data.labelled.caption_templates import named_categories
from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtCore", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QCoreApplication, QObject, pyqtSignal
from pytestqt.qtbot import QtBot

from captioning.files import DEFAULT_CHECKPOINT
from ui.engine.process import EngineProcess
from ui.engine.requests import CaptionerChoice, CaptionRequest, Engine
from ui.store.settings import AppSettings
from ui.workers.threads import Workers, start_workers

ASSETS = Path(__file__).parents[2] / "assets"


class Asking(QObject):
    """Sends requests to the workers by queued signals, as the window does."""

    load = pyqtSignal(object)
    caption = pyqtSignal(str, object)
    record = pyqtSignal(object)
    stop = pyqtSignal()
    play = pyqtSignal()
    open = pyqtSignal(object)

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self.load.connect(workers.captioning.load)
        self.caption.connect(workers.captioning.caption)
        self.record.connect(workers.microphone.start_recording)
        self.stop.connect(workers.microphone.stop_recording)
        self.play.connect(workers.playback.play_or_pause)
        self.open.connect(workers.playback.load)


@pytest.fixture
def made() -> Iterator[list[Workers]]:
    """List of workers that are closed after the test."""
    workers: list[Workers] = []
    yield workers
    for each in workers:
        assert each.close()
    QCoreApplication.processEvents()


def start(made: list[Workers], engine: Engine, system: SimulatedSystem) -> tuple[Workers, Asking]:
    workers = start_workers(engine, system)  # type: ignore[arg-type]
    made.append(workers)
    return workers, Asking(workers)


def test_the_recorder_answers_by_signals(qtbot: QtBot, made: list[Workers], tmp_path: Path) -> None:
    workers, asking = start(made, SimulatedEngine(), SimulatedSystem(chirp(3.0, 48000)))
    microphone = workers.microphone
    with qtbot.waitSignal(microphone.recording_started) as begun:
        asking.record.emit(AppSettings(recordings_folder=str(tmp_path)))
    with qtbot.waitSignal(microphone.recorded_s, check_params_cb=lambda seconds: seconds > 0.3):
        pass
    with qtbot.waitSignals([microphone.recording_saved, microphone.recording_ended], order="strict") as ended:
        asking.stop.emit()
    path, duration_s = ended.all_signals_and_args[0].args
    assert path == begun.args[0] and soundfile.info(path).duration == pytest.approx(duration_s)


def test_the_player_answers_by_signals(qtbot: QtBot, made: list[Workers], sound_file: Path) -> None:
    workers, asking = start(made, SimulatedEngine(), SimulatedSystem(speed=5.0))
    with qtbot.waitSignal(workers.decoding.decoded) as decoded:
        workers.decoding.ask(str(sound_file))
    asking.open.emit(decoded.args[0])
    with qtbot.waitSignal(workers.playback.playing, check_params_cb=bool):
        asking.play.emit()
    with qtbot.waitSignal(workers.playback.playing, check_params_cb=lambda playing: not playing):
        pass
    assert workers.playback._player.position_s == 2.0


def test_a_caption_is_run_then_cancelled(qtbot: QtBot, made: list[Workers], sound_file: Path) -> None:
    engine = SimulatedEngine(step_s=0.5, num_steps=100)
    workers, asking = start(made, engine, SimulatedSystem())
    with qtbot.waitSignal(workers.captioning.progress):
        asking.caption.emit("1", CaptionRequest(sound_file, {"num_captions": 2}))
    with qtbot.waitSignal(workers.captioning.cancelled, timeout=1000) as cancelled:
        workers.captioning.cancel()
    assert cancelled.args == ["1"]
    engine.step_s, engine.num_steps = 0.0, 1
    with qtbot.waitSignal(workers.captioning.done) as done:
        asking.caption.emit("2", CaptionRequest(sound_file, {"num_captions": 2}))
    key, [record] = done.args
    assert key == "2" and len(record.captions) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "category"), [("siren", "siren"), ("church_bell", "church_bells")])
def test_a_microphone_that_plays_a_file_is_recorded_and_named(
    qtbot: QtBot, made: list[Workers], tmp_path: Path, name: str, category: str
) -> None:
    """The shipped captioner names what the simulated microphone played, at a rate that is not its own."""
    sound = load_audio(ASSETS / f"{name}.flac", 44100)
    quiet = np.zeros(44100 * 60, np.float32)
    system = SimulatedSystem(np.concatenate([sound, quiet]), rate=44100)
    workers, asking = start(made, EngineProcess(), system)
    with qtbot.waitSignal(workers.captioning.loaded, timeout=180_000):
        asking.load.emit(CaptionerChoice(str(DEFAULT_CHECKPOINT), "cpu"))
    asking.record.emit(AppSettings(recordings_folder=str(tmp_path)))
    with qtbot.waitSignal(
        workers.microphone.recorded_s, timeout=30_000, check_params_cb=lambda s: s >= len(sound) / 44100
    ):
        pass
    with qtbot.waitSignal(workers.microphone.recording_saved) as saved:
        asking.stop.emit()
    assert soundfile.info(saved.args[0]).samplerate == 44100
    with qtbot.waitSignal(workers.captioning.done, timeout=60_000) as done:
        asking.caption.emit("1", CaptionRequest(Path(saved.args[0]), {"num_captions": 1}))
    [record] = done.args[1]
    assert category in named_categories(record.caption), record.caption

"""What the window's rows promise, on no screen, with simulated devices and captioner."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDropEvent, QKeyEvent
from PyQt6.QtWidgets import QAbstractButton, QComboBox, QFileDialog, QLabel, QLineEdit, QSplitter, QTabBar, QWidget
from pytestqt.qtbot import QtBot

from ui.controller import Controller
from ui.widgets.state import Listening, Recording


def click(qtbot: QtBot, button: QAbstractButton) -> None:
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def drop(window: QWidget, *urls: QUrl) -> bool:
    data = QMimeData()
    data.setUrls(list(urls))
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(300, 300), Qt.DropAction.CopyAction, data, buttons, keys)
    window.dragEnterEvent(enter)
    window.dropEvent(QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, buttons, keys))
    return enter.isAccepted()


def open_file(qtbot: QtBot, app: Controller, path: Path) -> None:
    app.open_paths([path])
    qtbot.waitUntil(lambda: app.state.path == str(path) and app.state.can_play)


def model_rows(app: Controller) -> list[list[str]]:
    tree = app.window.captions.model
    return [[tree.topLevelItem(row).text(column) for column in range(3)] for row in range(tree.topLevelItemCount())]


def live_rows(app: Controller) -> list[list[str]]:
    tree = app.window.captions.live
    return [[tree.topLevelItem(row).text(column) for column in range(3)] for row in range(tree.topLevelItemCount())]


def record(qtbot: QtBot, app: Controller, seconds: float) -> Path:
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.waitUntil(lambda: app.window.sound._moving_count > 50 * seconds)
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    return Path(app.sound.last_recording)


def test_the_window_has_the_seeds_parts_under_their_labels(app: Controller) -> None:
    window, controls = app.window, app.window.controls
    assert window.windowTitle() == "Audio Caption Interface"
    assert isinstance(window.splitter, QSplitter) and window.splitter.orientation() is Qt.Orientation.Horizontal
    labels = {label.text() for label in window.findChildren(QLabel)}
    assert labels >= {
        "Audio Path:", "Image:", "Number of Predictions:", "Model Predictions:", "Live Environment Sound Captions:",
        "Audio Waveform",
    }  # fmt: skip
    buttons = {button.text() for button in window.findChildren(QAbstractButton)}
    assert buttons >= {"Record Audio", "Play Audio", "Run Model Prediction", "Run Live Prediction"}
    assert controls.path.isReadOnly() and controls.num_captions.value() == 3
    assert controls.picture.renderer().isValid() and not controls.picture.renderer().viewBoxF().isEmpty()


def test_the_window_is_resizable(app: Controller, qtbot: QtBot) -> None:
    for width, height in ((900, 640), (1600, 1000)):
        app.window.resize(width, height)
        qtbot.wait(20)
        assert abs(app.window.width() - width) < 80 and app.window.sound.waveform.width() > 300
    app.window.splitter.setSizes([500, 400])
    assert app.window.controls.width() == pytest.approx(500, abs=200)


def test_a_file_chosen_in_the_dialog_fills_path_waveform_and_spectrogram(
    app: Controller, qtbot: QtBot, sound_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def dialog(*arguments: object, filter: str) -> tuple[list[str], str]:  # noqa: A002 - Qt's name
        asked.append(filter)
        return [str(sound_file)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", dialog)
    click(qtbot, app.window.controls.open)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert all(f"*.{form}" in asked[0] for form in ("wav", "mp3", "flac", "ogg", "m4a"))
    assert app.window.controls.path.text() == str(sound_file)
    sound = app.window.sound
    qtbot.waitUntil(lambda: sound.curve.getData()[0] is not None and len(sound.curve.getData()[0]) > 100)
    times, amplitudes = sound.curve.getData()
    assert times[-1] == pytest.approx(2.0, abs=0.05) and np.abs(amplitudes).max() == pytest.approx(0.5, abs=0.02)
    assert sound.image.image.shape[1] == 512
    assert sound.waveform.getAxis("bottom").labelText == "time (seconds)"
    assert sound.waveform.getAxis("left").labelText == "amplitude"


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg", "m4a"])
def test_a_dropped_file_is_opened(app: Controller, qtbot: QtBot, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dropped sound.{suffix}"
    if suffix == "m4a":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(chirp(1.0, 16000)[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    else:
        soundfile.write(path, chirp(1.0, 16000), 16000)
    assert drop(app.window, QUrl.fromLocalFile(str(path)))
    qtbot.waitUntil(lambda: app.state.can_play)
    assert app.window.controls.path.text() == str(path) and not app.window.banner.isVisible()


def test_what_cannot_be_opened_is_told_plainly(app: Controller, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty").mkdir()
    drop(app.window, QUrl.fromLocalFile(str(tmp_path / "text.wav")))
    qtbot.waitUntil(app.window.banner.isVisible)
    assert "text.wav" in app.window.banner.text.text()
    assert app.state.path == "" and app.window.controls.path.text() == ""
    drop(app.window, QUrl("https://example.org/sound.wav"))
    assert "Only files on this machine" in app.window.banner.text.text()
    drop(app.window, QUrl.fromLocalFile(str(tmp_path / "empty")))
    assert "holds no audio files" in app.window.banner.text.text()
    click(qtbot, app.window.banner.close_button)
    assert not app.window.banner.isVisible()


def test_the_count_box_sets_how_many_captions_come(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    open_file(qtbot, app, sound_file)
    for number in (3, 5, 1):
        app.window.controls.num_captions.setValue(number)
        click(qtbot, app.window.controls.run_model)
        qtbot.waitUntil(lambda number=number: len(model_rows(app)) == number and not app.state.captioning)
        assert engine.requests[-1].decoding == {"num_captions": number}
    stamp, text, probability = model_rows(app)[0]
    assert re.fullmatch(r"\d\d:\d\d:\d\d", stamp) and text == "chirp 0 caption 1" and probability == "37 %"
    assert len(engine.loads) == 1  # not again at each click


def test_play_pause_progress_seek_and_end(
    app: Controller, qtbot: QtBot, sound_file: Path, system: SimulatedSystem
) -> None:
    open_file(qtbot, app, sound_file)
    controls = app.window.controls
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: 10 < controls.progress.value() < 60)
    assert controls.play.text() == "Pause Audio" and controls.progress.text() == f"{controls.progress.value()} %"
    assert app.window.sound.heads[0].value() > 0.2
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: not app.state.playing)
    stopped_at = controls.progress.value()
    qtbot.wait(200)
    assert controls.progress.value() == stopped_at and controls.play.text() == "Play Audio"
    app.window.sound._on_click(1.7)  # as the plot tells a click at 1.7 s
    qtbot.waitUntil(lambda: controls.progress.value() == 85)
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: app.state.playing)
    qtbot.waitUntil(lambda: not app.state.playing)
    assert controls.progress.value() == 100 and controls.play_time.text() == "00:02 / 00:02"
    assert len(np.concatenate(system.outputs_made[-1].played)) == pytest.approx(0.3 * 48000, abs=2000)


def test_recording_is_timed_drawn_saved_and_opened(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    controls = app.window.controls
    assert controls.record.property("primary")  # what to press first
    click(qtbot, controls.record)
    assert controls.record.text() == "Stop Recording" and not controls.record.isEnabled()  # until the device answers
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.waitUntil(lambda: controls.timer.text() == "00:01")
    drawn = len(app.window.sound.curve.getData()[0])
    qtbot.waitUntil(lambda: len(app.window.sound.curve.getData()[0]) > drawn)  # it moves
    assert app.window.controls.meter._peak_db > -10
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.can_play)
    path = Path(app.sound.last_recording)
    assert controls.path.text() == str(path) and str(path) in controls.saved.text()
    samples, rate = soundfile.read(path)
    assert rate == 48000  # the device's own
    np.testing.assert_allclose(samples[:48000], chirp(3.0, 48000)[:48000], atol=2e-4)
    assert controls.record.text() == "Record Audio"


def test_pause_and_resume_a_recording(app: Controller, qtbot: QtBot) -> None:
    controls = app.window.controls
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    click(qtbot, controls.pause)
    assert controls.pause.text() == "Resume"
    qtbot.wait(150)
    paused_at = len(app.window.sound._moving)
    qtbot.wait(300)
    assert len(app.window.sound._moving) == paused_at
    click(qtbot, controls.pause)
    qtbot.waitUntil(lambda: len(app.window.sound._moving) > paused_at)
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert controls.pause.text() == "Pause" and not controls.pause.isEnabled()


def test_run_live_prediction_captions_the_last_recording(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine
) -> None:
    assert not app.window.controls.run_live.isEnabled()
    path = record(qtbot, app, 0.3)
    click(qtbot, app.window.controls.run_live)
    qtbot.waitUntil(lambda: bool(live_rows(app)))
    stamp, text, _ = live_rows(app)[0]
    assert re.fullmatch(r"\d\d:\d\d:\d\d", stamp) and text == f"{path.stem} 0 caption 1"
    assert engine.requests[-1].silence_peak == pytest.approx(10 ** (-50 / 20))


def test_run_live_prediction_stops_and_saves_a_running_recording_first(app: Controller, qtbot: QtBot) -> None:
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.wait(200)
    click(qtbot, app.window.controls.run_live)
    qtbot.waitUntil(lambda: bool(live_rows(app)))
    assert app.state.recording is Recording.OFF and Path(app.sound.last_recording).stem in live_rows(app)[0][1]


def test_a_failed_caption_never_loses_the_recording(app: Controller, qtbot: QtBot, engine: SimulatedEngine) -> None:
    engine.file_error = "There is not enough memory to caption this."
    path = record(qtbot, app, 0.3)
    click(qtbot, app.window.controls.run_live)
    qtbot.waitUntil(app.window.banner.isVisible)
    assert "not enough memory" in app.window.banner.text.text()
    assert path.is_file() and soundfile.info(path).duration > 0.3
    assert app._history.find(str(path)) is not None
    engine.file_error = ""
    click(qtbot, app.window.controls.run_live)  # and can be tried again
    qtbot.waitUntil(lambda: bool(live_rows(app)))


def test_a_selected_part_is_captioned_alone(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    open_file(qtbot, app, sound_file)
    app.window.sound._on_drag(0.5, 1.25)  # as the plot tells a drag
    qtbot.waitUntil(lambda: app.state.has_region)
    assert app.window.controls.run_model.text() == "Run Model Prediction on Selection"
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: not app.state.captioning)
    assert (engine.requests[-1].start_s, engine.requests[-1].end_s) == (0.5, 1.25)
    app.window.sound.show_all()
    assert not app.state.has_region
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(engine.requests) == 2 and not app.state.captioning)
    assert (engine.requests[-1].start_s, engine.requests[-1].end_s) == (0.0, None)


def test_a_timeline_is_shown_and_clicked(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    engine.num_windows = 5
    soundfile.write(sound_file, chirp(10.0, 16000), 16000)
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(model_rows(app)) == 5)
    assert model_rows(app)[2][:2] == ["00:04 – 00:06", "chirp 2 caption 1"]
    assert app.window.captions.model.topLevelItem(2).childCount() == 2  # the other captions of this window
    timeline = app.window.sound.timeline
    qtbot.waitUntil(timeline.isVisible)
    qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=QPoint(round(timeline._x(7.0)), 15))
    qtbot.waitUntil(lambda: app.window.controls.progress.value() == 60)
    item = app.window.captions.model.topLevelItem(1)
    place = app.window.captions.model.visualItemRect(item).center()
    qtbot.mouseClick(app.window.captions.model.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: app.window.controls.progress.value() == 20)


def test_cancel_works_within_a_second(app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine) -> None:
    engine.step_s, engine.num_steps = 0.3, 100
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.window.controls.share.value() > 0)
    assert app.window.controls.cancel.isVisible()
    click(qtbot, app.window.controls.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning, timeout=1000)
    assert app.window.status.text() == "Cancelled." and model_rows(app) == []
    engine.step_s, engine.num_steps = 0.01, 2
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(model_rows(app)) == 3)


def test_a_queue_of_files_and_folders(
    app: Controller, qtbot: QtBot, folder: Path, sound_file: Path, engine: SimulatedEngine, tmp_path: Path
) -> None:
    (folder / "bad.wav").write_text("no sound")
    drop(app.window, QUrl.fromLocalFile(str(folder)), QUrl.fromLocalFile(str(sound_file)))
    files = app.window.queue.files
    assert app.window.tabs.currentWidget() is app.window.queue and files.topLevelItemCount() == 5
    assert [files.topLevelItem(row).text(1) for row in range(5)] == ["waiting"] * 5
    engine.step_s, engine.num_steps = 0.15, 4
    shares: list[str] = []
    app.window.queue.summary.windowTitleChanged.connect(shares.append)
    click(qtbot, app.window.queue.run)
    qtbot.waitUntil(lambda: "captioning" in files.topLevelItem(0).text(1))
    qtbot.waitUntil(lambda: "%" in app.window.queue.summary.text() and "left" in app.window.queue.summary.text())
    qtbot.waitUntil(lambda: app.window.queue.summary.text() == "5 of 5 done", timeout=10000)
    assert [files.topLevelItem(row).text(1) for row in range(5)] == ["done"] * 5
    app.export(tmp_path / "all.csv", False, True)
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 6
    click(qtbot, app.window.queue.clear)
    assert files.topLevelItemCount() == 0


def test_one_bad_file_does_not_stop_the_queue_and_cancel_stops_it(
    app: Controller, qtbot: QtBot, folder: Path, engine: SimulatedEngine
) -> None:
    caption_file = engine.caption_file

    def fail_first(request: object, on_progress: object) -> object:
        engine.file_error = "0.flac is damaged." if len(engine.requests) == 0 else ""
        return caption_file(request, on_progress)  # type: ignore[arg-type]

    engine.caption_file = fail_first  # type: ignore[method-assign,assignment]
    engine.step_s = 0.2
    app.open_paths([folder])
    click(qtbot, app.window.queue.run)
    files = app.window.queue.files
    qtbot.waitUntil(lambda: "captioning" in files.topLevelItem(1).text(1))
    assert files.topLevelItem(0).text(1) == "failed" and "damaged" in files.topLevelItem(0).text(2)
    click(qtbot, app.window.queue.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning, timeout=1000)
    assert [files.topLevelItem(row).text(1) for row in range(1, 3)] == ["cancelled", "cancelled"]


def test_history_opens_captions_again_and_deletes(
    make_app: Callable[[], Controller], qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    first = make_app()
    qtbot.waitUntil(lambda: first.state.model_ready)
    recording = record(qtbot, first, 0.3)
    open_file(qtbot, first, sound_file)
    click(qtbot, first.window.controls.run_model)
    qtbot.waitUntil(lambda: len(model_rows(first)) == 3)
    first.window.close()
    engine._closed.clear()
    app = make_app()
    qtbot.waitUntil(lambda: app.state.model_ready)
    panel = app.window.history
    app.window.tabs.setCurrentWidget(panel)
    assert [panel.entries.topLevelItem(row).text(1) for row in range(2)] == ["File", "Recording"]
    panel.entries.setCurrentItem(panel.entries.topLevelItem(0))
    click(qtbot, panel.open)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert len(model_rows(app)) == 3 and app.state.path == str(sound_file)
    app.window.tabs.setCurrentWidget(panel)
    panel.entries.setCurrentItem(panel.entries.topLevelItem(1))
    click(qtbot, panel.rerun)
    qtbot.waitUntil(lambda: any(recording.stem in row[1] for row in model_rows(app)))
    key = app._history.find(str(recording)).key  # type: ignore[union-attr]
    app.window.tabs.setCurrentWidget(panel)
    panel.delete_asked.emit(key, True)
    assert not recording.exists() and panel.entries.topLevelItemCount() == 1


def test_copy_and_export(app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path) -> None:
    from PyQt6.QtGui import QGuiApplication

    assert not app.window.captions.copy.isEnabled() and not app.window.captions.export.isEnabled()
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.state.has_captions)
    click(qtbot, app.window.captions.copy)
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None and clipboard.text().splitlines() == [f"chirp 0 caption {n}" for n in (1, 2, 3)]
    for chosen, name, content in (
        ("Text (*.txt)", "captions", "chirp 0 caption 1"),
        ("SubRip subtitles (*.srt)", "captions.txt", "chirp 0 caption 1"),
        ("Sound-event WebVTT subtitles (*.vtt)", "events", "[chirp 0 caption 1]"),
    ):
        target = tmp_path / name
        app.window.export_chosen.disconnect()
        app.window.export_chosen.connect(app.export)
        answer = (str(target), chosen)
        QFileDialog.getSaveFileName, kept = staticmethod(lambda *a, answer=answer: answer), QFileDialog.getSaveFileName
        try:
            click(qtbot, app.window.captions.export)
        finally:
            QFileDialog.getSaveFileName = kept
        assert any(content in path.read_text() for path in tmp_path.glob(f"{Path(name).stem}.*")), chosen
    app.export(tmp_path / "missing" / "captions.txt", False, False)
    assert "could not be written" in app.window.banner.text.text()


def test_listening_shows_lines_latency_pause_and_large_type(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 10), 4.0
    texts = iter(["a dog barks", "a dog barks", "rain falls"])
    engine.live_text = lambda waveform: next(texts, "wind blows")
    app.change(live_window_s=1.0, live_hop_s=1.0)
    captions, large = app.window.captions, app.window.large
    click(qtbot, captions.large)
    assert large.isVisible()
    click(qtbot, captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    qtbot.waitUntil(lambda: len(live_rows(app)) >= 2)
    assert captions.listen.text() == "Stop Listening"
    qtbot.waitUntil(lambda: live_rows(app)[-1][1] == "a dog barks" and live_rows(app)[-2][1] == "rain falls")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", live_rows(app)[0][0]) and live_rows(app)[0][2] == "14 %"
    assert re.match(r"latency \d\.\d s", captions.latency.text())
    assert large.caption.text() in ("rain falls", "wind blows")
    click(qtbot, captions.listen_pause)
    assert captions.listen_pause.text() == "Resume"
    qtbot.wait(300)
    heard = app.captions._live_records[-1].end_s
    qtbot.wait(500)
    assert app.captions._live_records[-1].end_s == heard
    click(qtbot, captions.listen_pause)
    qtbot.waitUntil(lambda: app.captions._live_records[-1].end_s > heard)
    click(qtbot, captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    [entry] = app._history.entries
    assert entry.kind == "live" and entry.records[0].caption == "a dog barks" and len(entry.records) >= 2
    large.close()


def test_a_slow_captioner_is_told_as_behind(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    import time

    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 60), 6.0

    def slow(waveform: object) -> str:
        time.sleep(0.5)
        return "a slow caption"

    engine.live_text = slow
    app.change(live_window_s=1.0, live_hop_s=0.5)
    click(qtbot, app.window.captions.listen)
    pattern = r"behind by \d+ s, \d+ windows left out"
    qtbot.waitUntil(lambda: bool(re.fullmatch(pattern, app.window.captions.latency.text())), timeout=8000)
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_silence_is_said_and_its_threshold_is_on_the_meter(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.zeros(0, np.float32), 4.0  # noise at about -90 dB
    app.change(live_window_s=1.0, live_hop_s=1.0)
    meter = app.window.controls.meter
    assert meter.threshold_db == -50.0
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: bool(live_rows(app)))
    assert live_rows(app)[0][1:] == ["(silence)", ""]
    for _ in range(3):
        qtbot.keyClick(meter, Qt.Key.Key_Right)
    assert meter.threshold_db == -47.0 and app.settings.silence_db == -47.0
    qtbot.waitUntil(lambda: app._workers.microphone._live.silence_peak == pytest.approx(10 ** (-47 / 20)))
    qtbot.mouseClick(meter, Qt.MouseButton.LeftButton, pos=QPoint(round(meter._x(-30.0)), 15))
    assert meter.threshold_db == pytest.approx(-30, abs=1)
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_recording_and_listening_at_once(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    app.change(live_window_s=1.0, live_hop_s=0.5)
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    path = record(qtbot, app, 1.0)
    assert len(system.opened) == 1 and soundfile.info(path).duration > 0.5  # one stream serves both
    assert app.state.listening is Listening.ON
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_a_loud_event_flashes_the_large_window(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    quiet, loud = np.zeros(48000 * 2, np.float32), chirp(1.0, 48000)
    system.waveform, system.speed = np.concatenate([quiet, loud, quiet]), 2.0
    app.window.show_large()
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.window.large.is_flashing)
    colour = app.window.large.styleSheet()
    qtbot.waitUntil(lambda: not app.window.large.is_flashing)
    assert app.window.large.styleSheet() != colour
    click(qtbot, app.window.captions.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    app.window.large.close()


def test_devices_are_listed_chosen_and_renewed(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    box: QComboBox = app.window.controls.devices
    qtbot.waitUntil(lambda: box.count() == 3)
    box.setCurrentIndex(2)
    box.activated.emit(2)
    assert app.settings.input_device == "USB"
    system.devices = system.devices[:2]  # it was pulled out
    box.opening.emit()
    qtbot.waitUntil(lambda: box.itemText(box.count() - 1) == "USB (not connected)")
    system.devices.append(type(system.devices[0])("Headset", "Headset"))
    box.opening.emit()
    qtbot.waitUntil(lambda: box.findText("Headset") >= 0)
    record(qtbot, app, 0.2)
    assert system.opened == ["USB"]


def test_the_log_folds_away(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    assert not app.window.log.isVisible()
    click(qtbot, app.window.log_button)
    assert app.window.log.isVisible() and "Loaded" in app.window.log.toPlainText()
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: "chirp.wav: chirp 0 caption 1" in app.window.log.toPlainText())
    click(qtbot, app.window.log_button)
    assert not app.window.log.isVisible()


def ancestors(widget: QWidget) -> Iterator[QWidget]:
    owner = widget.parentWidget()
    while owner is not None:
        yield owner
        owner = owner.parentWidget()


def test_every_control_has_a_name_a_tooltip_and_a_place_in_the_tab_order(app: Controller, qtbot: QtBot) -> None:
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    for part in app.window.findChildren(QWidget):
        inside_another = any(isinstance(owner, QComboBox | QTabBar) for owner in ancestors(part))
        internal = part.objectName().startswith("qt_") or inside_another
        if not internal and (isinstance(part, kinds) or part.focusPolicy() & Qt.FocusPolicy.TabFocus):
            owner = part.parent()
            named = part.accessibleName() or (isinstance(owner, QWidget) and owner.accessibleName())
            assert named, part
            if isinstance(part, kinds) and part.accessibleName():
                assert part.toolTip(), part
    order, widget = [], app.window.controls.path
    controls = app.window.controls
    for _ in range(200):
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [controls.path, controls.open, controls.devices, controls.meter, controls.record, controls.run_model]
    assert [order.index(part) for part in wanted] == sorted(order.index(part) for part in wanted)


def test_shortcuts_do_what_the_buttons_do(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    keys = [shortcut for _, shortcut in app.window.shortcuts]
    assert len(keys) == len(set(keys)) >= 15
    open_file(qtbot, app, sound_file)
    qtbot.keyClick(app.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(model_rows(app)) == 3)
    qtbot.keyClick(app.window, Qt.Key.Key_Space, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.playing)
    qtbot.keyClick(app.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON and not app.state.playing)
    qtbot.keyClick(app.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier)
    before = app.window.sound.heads[0].value()
    app.window.sound.keyPressEvent(event)
    qtbot.waitUntil(lambda: app.window.sound.heads[0].value() > before)

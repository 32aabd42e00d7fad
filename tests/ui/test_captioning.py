"""Captions of recordings, queue, history and exports, in the window."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QPoint, Qt, QTimer, QUrl
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication, QFileDialog, QMessageBox
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, drop, open_file, record, rows
from ui.controllers.main import Controller
from ui.widgets.state import Recording
from ui.widgets.tabs import HISTORY


def test_the_count_box_sets_how_many_captions_come(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    open_file(qtbot, app, sound_file)
    for number in (3, 5, 1):
        app.window.controls.num_captions.setValue(number)
        click(qtbot, app.window.controls.run_model)
        qtbot.waitUntil(lambda number=number: len(rows(app)) == number and not app.state.captioning)
        assert engine.requests[-1].decoding == {"num_captions": number}
    assert rows(app)[0] == ["00:00 – 00:02", "chirp 0 caption 1", "37 %"]
    assert len(engine.loads) == 1  # not again at each click


@pytest.mark.parametrize(
    ("probability", "shown", "tip"),
    [
        (0.714, "71 %", "Probability that this caption names the right sounds: 71 % (log-probability -1.00)"),
        (None, "37 %", "Probability of exactly this sentence: 37 % (log-probability -1.00)"),
    ],
)
def test_a_probability_tells_what_it_is_of(
    app: Controller,
    qtbot: QtBot,
    sound_file: Path,
    engine: SimulatedEngine,
    probability: float | None,
    shown: str,
    tip: str,
) -> None:
    engine.probability = probability
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: bool(rows(app)))
    model = app.window.captions.table.rows
    text, likely = (model.index(0, column) for column in (1, 2))
    role = Qt.ItemDataRole.ToolTipRole
    assert likely.data() == shown and likely.data(role) == tip and text.data(role) == f"{text.data()}\n{tip}"


def test_run_live_prediction_captions_the_last_recording(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine
) -> None:
    assert not app.window.controls.run_live.isEnabled()
    path = record(qtbot, app, 0.3)
    click(qtbot, app.window.controls.run_live)
    qtbot.waitUntil(lambda: bool(rows(app)))
    assert captions(app)[0] == f"{path.stem} 0 caption 1" and app.window.captions.live_heading.isVisible()
    assert engine.requests[-1].silence_peak == pytest.approx(10 ** (-50 / 20))


def test_run_live_prediction_stops_and_saves_a_running_recording_first(app: Controller, qtbot: QtBot) -> None:
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.wait(200)
    click(qtbot, app.window.controls.run_live)
    qtbot.waitUntil(lambda: bool(rows(app)))
    assert app.state.recording is Recording.OFF and Path(app.sound.last_recording).stem in rows(app)[0][1]


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
    qtbot.waitUntil(lambda: bool(rows(app)))


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
    qtbot.waitUntil(lambda: len(rows(app)) == 5)
    assert rows(app)[2][:2] == ["00:04 – 00:06", "chirp 2 caption 1"]
    table = app.window.captions.table
    assert table.rows.rowCount(table.rows.index(2, 0)) == 2  # the other captions of this window
    timeline = app.window.sound.timeline
    qtbot.waitUntil(timeline.isVisible)
    qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=QPoint(round(timeline._x(7.0)), 15))
    qtbot.waitUntil(lambda: app.window.controls.progress.value() == 60)
    place = table.visualRect(table.rows.index(1, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.waitUntil(lambda: app.window.controls.progress.value() == 20)


def test_cancel_works_within_a_second(app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine) -> None:
    engine.step_s, engine.num_steps = 0.3, 100
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.window.controls.share.value() > 0)
    assert app.window.controls.cancel.isEnabled()
    click(qtbot, app.window.controls.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning, timeout=1000)
    assert app.window.status.text() == "Cancelled."
    engine.step_s, engine.num_steps = 0.01, 2
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(rows(app)) == 3)


def test_a_queue_of_files_and_folders(
    app: Controller, qtbot: QtBot, folder: Path, sound_file: Path, engine: SimulatedEngine, tmp_path: Path
) -> None:
    (folder / "bad.wav").write_text("no sound")
    drop(app.window, QUrl.fromLocalFile(str(folder)), QUrl.fromLocalFile(str(sound_file)))
    files = app.window.queue.files
    assert app.window.queue.isVisible() and files.topLevelItemCount() == 5
    assert [files.topLevelItem(row).text(1) for row in range(5)] == ["waiting"] * 5
    engine.step_s, engine.num_steps = 0.15, 4
    click(qtbot, app.window.queue.run)
    qtbot.waitUntil(lambda: bool(re.fullmatch(r"captioning [1-9]\d %", files.topLevelItem(0).text(1))))
    pattern = r"\d of 5 done, \d+ %, about 00:0\d left"
    qtbot.waitUntil(lambda: bool(re.fullmatch(pattern, app.window.queue.summary.text())), timeout=10000)
    qtbot.waitUntil(lambda: bool(re.fullmatch(r"\d+ %, 00:0\d left", app.window.controls.left.text())))
    qtbot.waitUntil(lambda: app.window.queue.summary.text() == "5 of 5 done", timeout=10000)
    assert [files.topLevelItem(row).text(1) for row in range(5)] == ["done"] * 5
    app.export(tmp_path / "all.csv", "csv", True)
    app._writing.flush()
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 6
    click(qtbot, app.window.queue.clear)
    assert files.topLevelItemCount() == 0


def test_one_bad_file_does_not_stop_the_queue_and_cancel_stops_it(
    app: Controller, qtbot: QtBot, folder: Path, engine: SimulatedEngine
) -> None:
    caption_file = engine.caption_file

    def fail_first(request: object, on_progress: object) -> object:
        is_first = len(engine.requests) == 0
        engine.file_error, engine.step_s = ("0.flac is damaged.", 0.0) if is_first else ("", 60.0)
        return caption_file(request, on_progress)  # type: ignore[arg-type]

    engine.caption_file = fail_first  # type: ignore[method-assign,assignment]
    app.open_paths([folder])
    click(qtbot, app.window.queue.run)
    files = app.window.queue.files
    qtbot.waitUntil(lambda: len(engine.requests) == 2 and files.topLevelItem(0).text(1) == "failed")
    assert "damaged" in files.topLevelItem(0).text(2)
    click(qtbot, app.window.queue.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning)
    assert [files.topLevelItem(row).text(1) for row in range(1, 3)] == ["cancelled", "cancelled"]


def test_history_opens_captions_again_and_deletes(
    make_app: Callable[[], Controller], qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    first = make_app()
    qtbot.waitUntil(lambda: first.state.model_ready)
    recording = record(qtbot, first, 0.3)
    open_file(qtbot, first, sound_file)
    click(qtbot, first.window.controls.run_model)
    qtbot.waitUntil(lambda: len(rows(first)) == 3)
    first.window.close()
    engine._closed.clear()
    app = make_app()
    qtbot.waitUntil(lambda: app.state.model_ready)
    panel = app.window.history
    app.window.tabs.show_tab(HISTORY)
    assert [panel.entries.topLevelItem(row).text(1) for row in range(2)] == ["File", "Recording"]
    panel.entries.setCurrentItem(panel.entries.topLevelItem(0))
    click(qtbot, panel.open)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert captions(app)[0] == "chirp 0 caption 1" and app.state.path == str(sound_file)
    app.window.tabs.show_tab(HISTORY)
    panel.entries.setCurrentItem(panel.entries.topLevelItem(1))
    click(qtbot, panel.rerun)
    qtbot.waitUntil(lambda: any(recording.stem in row[1] for row in rows(app)))
    key = app._history.find(str(recording)).key  # type: ignore[union-attr]
    app.window.tabs.show_tab(HISTORY)
    panel.delete_asked.emit(key, True)
    assert not recording.exists() and panel.entries.topLevelItemCount() == 1


@pytest.mark.parametrize("answer", ["Cancel", "Forget", "Forget and Delete the Recording"])
def test_deleting_asks_first(app: Controller, qtbot: QtBot, answer: str) -> None:
    recording = record(qtbot, app, 0.2)
    panel = app.window.history
    app.window.tabs.show_tab(HISTORY)
    panel.entries.setCurrentItem(panel.entries.topLevelItem(0))

    def press() -> None:
        [box] = [part for part in QApplication.topLevelWidgets() if isinstance(part, QMessageBox)]
        assert recording.name in box.text()
        [button] = [button for button in box.buttons() if button.text().replace("&", "") == answer]
        button.click()

    QTimer.singleShot(100, press)
    click(qtbot, panel.delete)  # returns when the question is answered
    assert panel.entries.topLevelItemCount() == (answer == "Cancel")
    assert recording.exists() == (answer != "Forget and Delete the Recording")


def test_copy_and_export(
    app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not app.window.captions.copy.isEnabled() and not app.window.captions.export.isEnabled()
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    click(qtbot, app.window.captions.copy)
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None and clipboard.text().splitlines() == [f"chirp 0 caption {n}" for n in (1, 2, 3)]
    for chosen, name, written, content in (
        ("Text (*.txt)", "captions", "captions.txt", "chirp 0 caption 1"),
        ("CSV table (*.csv)", "captions", "captions.csv", "caption_predicted"),
        ("JSON (*.json)", "captions", "captions.json", '"log_probability": -1.0'),
        ("SubRip subtitles (*.srt)", "captions.srt", "captions.srt", "00:00:00,000 --> 00:00:02,000"),
        ("WebVTT subtitles (*.vtt)", "captions", "captions.vtt", "WEBVTT"),
        ("Sound-event SubRip subtitles (*.srt)", "events", "events.srt", "[chirp 0 caption 1]"),
        ("Sound-event WebVTT subtitles (*.vtt)", "events", "events.vtt", "[chirp 0 caption 1]"),
        ("Audacity labels (*.labels.txt)", "events", "events.labels.txt", "0.000000\t2.000000\tchirp 0 caption 1"),
        ("Raven selection table (*.selections.txt)", "events", "events.selections.txt", "\tchirp 0 caption 1\n"),
    ):
        answer = (str(tmp_path / name), chosen)
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, answer=answer, **options: answer)
        click(qtbot, app.window.captions.export)
        qtbot.waitUntil(lambda written=written: written in app.window.status.text())
        assert content in (tmp_path / written).read_text(), chosen
    app.export(sound_file / "captions.txt", "txt", False)  # below a file
    qtbot.waitUntil(lambda: "cannot be written" in app.window.banner.text.text())

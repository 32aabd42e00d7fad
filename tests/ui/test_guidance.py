"""What the window tells: hints of empty lists, counts of the queue, numbers and dates of the user's locale."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import SimulatedEngine, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QLocale, QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.ui.actions import click, open_file, record, rows
from ui.controllers.main import Controller
from ui.store.documents import Row
from ui.widgets.captions_panel import BUSY_HINT, FILE_HINT, LIVE_HINT, NO_MATCH_HINT, RUN_HINT, WAITING_HINT
from ui.widgets.numbers import localised, minutes_seconds, per_cent, time_span
from ui.widgets.sound_view import HINT
from ui.widgets.state import Listening
from ui.widgets.tabs import HISTORY, LIVE, RECORDING


@pytest.fixture
def german() -> Iterator[None]:
    before = QLocale()
    QLocale.setDefault(QLocale(QLocale.Language.German, QLocale.Country.Germany))
    yield
    QLocale.setDefault(before)


def test_an_empty_table_says_why_it_is_empty_and_what_to_do(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    panel = app.window.captions
    hint = lambda: panel.table._hint  # noqa: E731 - it changes
    assert hint() == FILE_HINT
    app.window.tabs.show_tab(LIVE)
    assert hint() == LIVE_HINT
    open_file(qtbot, app, sound_file)
    assert hint() == RUN_HINT
    engine.step_s = 0.3
    click(qtbot, app.window.controls.run_model)
    assert hint() == WAITING_HINT
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    panel.search.setText("nothing like it")
    assert rows(app) == [] and hint() == NO_MATCH_HINT
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    assert hint() == WAITING_HINT
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_while_another_recording_is_captioned_the_table_says_so_and_long_ones_have_a_clock_time(
    app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    other = sound_file.with_name("long.wav")
    soundfile.write(other, chirp(75.0, 16000), 16000)
    engine.step_s = 1.0
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    open_file(qtbot, app, other)
    assert app.state.captioning and not app.window.controls.run_model.isEnabled()
    assert app.window.captions.table._hint == BUSY_HINT and app.window.status.text() == "long.wav, 01:15."
    qtbot.waitUntil(lambda: not app.state.captioning)
    assert app.window.captions.table._hint == RUN_HINT and app.window.controls.run_model.isEnabled()


def test_an_export_of_many_files_names_their_number_and_folder(
    app: Controller, qtbot: QtBot, folder: Path, tmp_path: Path
) -> None:
    app.open_paths([folder])
    click(qtbot, app.window.queue.run)
    qtbot.waitUntil(lambda: app.window.queue.summary.text() == "3 of 3 done" and not app.state.captioning)
    app.export(tmp_path / "all", "srt", True)
    qtbot.waitUntil(lambda: app.window.status.text() == f"Exported to 3 files in {tmp_path}.")
    written = sorted(tmp_path.glob("*.srt"))
    assert len(written) == 3 and all(str(path) in app.window.log.toPlainText() for path in written)
    app.export(tmp_path / "all.csv", "csv", True)
    qtbot.waitUntil(lambda: app.window.status.text() == f"Exported to {tmp_path / 'all.csv'}.")


def test_while_a_recording_is_read_nothing_of_the_previous_one_is_shown(
    app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path
) -> None:
    open_file(qtbot, app, sound_file)
    sound = app.window.sound
    sound.select(0.5, 1.0)
    qtbot.waitUntil(lambda: app.window.controls.play_time.text() == "00:00 / 00:02")
    shown: list[tuple[str, bool, str]] = []
    app.sound._workers.decoding.progress.connect(
        lambda: shown.append(
            (sound.hint.text(), sound.example.isVisibleTo(sound), app.window.controls.play_time.text())
        )
    )
    soundfile.write(tmp_path / "long.flac", chirp(40.0, 16000), 16000)
    app.open_paths([tmp_path / "long.flac"])
    qtbot.waitUntil(lambda: app.state.path.endswith("long.flac") and app.state.can_play)
    assert set(shown) == {("Reading long.flac…", False, "00:00 / 00:00")}
    app.documents.show_live(app._history.new(app.documents.open.kind, ""))
    assert sound.hint.text() == HINT and sound.example.isVisibleTo(sound)


def test_the_queue_counts_what_was_captioned_failed_or_cancelled(
    app: Controller, qtbot: QtBot, folder: Path, engine: SimulatedEngine
) -> None:
    queue = app.window.queue
    app.open_paths([folder])
    assert not queue.clear.isEnabled() and not queue.export.isEnabled() and queue.summary.text() == "0 of 3 done"
    engine.step_s, engine.num_steps = 10.0, 1
    click(qtbot, queue.run)
    qtbot.waitUntil(lambda: len(engine.requests) == 1)
    click(qtbot, queue.cancel)
    qtbot.waitUntil(lambda: queue.summary.text() == "0 of 3 done, 3 cancelled")
    assert queue.clear.isEnabled() and not queue.export.isEnabled()
    engine.step_s = 0.01
    click(qtbot, queue.run)
    qtbot.waitUntil(lambda: queue.summary.text() == "3 of 3 done" and not app.state.captioning)
    assert queue.export.isEnabled()


@pytest.mark.usefixtures("german")
def test_numbers_percentages_and_dates_follow_the_locale(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    open_file(qtbot, app, sound_file)
    assert app.window.status.text() == "chirp.wav, 2,0 s."
    captions = (ScoredCaption("a dog", -1.5, 0.666), ScoredCaption("a cat", -9.5))
    app.documents.open.swap([], [Row(CaptionRecord(str(sound_file), 0.25, 0.75, captions))])
    assert [row[0] for row in rows(app)][0] == "00:00,2 – 00:00,8"
    assert [row[2] for row in rows(app)] == ["67 %", "0,0075 %"]
    table = app.window.captions.table
    assert "log-probability -1,50" in table.rows.index(0, 2).data(Qt.ItemDataRole.ToolTipRole)
    axis = app.window.sound.waveform.getAxis("left")
    assert axis.tickStrings([-0.5, 0.0, 0.5], 1.0, 0.5) == ["-0,5", "0,0", "0,5"]
    assert app.window.sound.waveform.getAxis("bottom").tickStrings([0.2], 1.0, 0.2) == ["0:00,2"]
    app.documents.keep(app.documents.open)
    app.window.tabs.show_tab(HISTORY)
    when = app.window.history.entries.topLevelItem(0).text(0)
    day, month, year = (
        app.documents.open.created[8:10],
        app.documents.open.created[5:7],
        app.documents.open.created[2:4],
    )
    assert when.startswith(f"{day}.{month}.{year} "), when
    app.window.tabs.show_tab(RECORDING)


@pytest.mark.parametrize(
    ("name", "sentence", "clock", "share"),
    [
        (
            "de_DE",
            "noise.v1.5.wav is damaged: only its first 1.234,5 s of 2.000 samples, 0,25 s are needed.",
            "01:05",
            "50 %",
        ),
        (
            "ar_EG",
            "noise.v1.5.wav is damaged: only its first ١٬٢٣٤٫٥ s of ٢٬٠٠٠ samples, ٠٫٢٥ s are needed.",
            "٠١:٠٥",
            "٥٠ ٪؜",
        ),
        (
            "en_US",
            "noise.v1.5.wav is damaged: only its first 1,234.5 s of 2,000 samples, 0.25 s are needed.",
            "01:05",
            "50 %",
        ),
    ],
)
def test_sentences_of_libraries_have_the_locales_numbers_too(
    app: Controller, name: str, sentence: str, clock: str, share: str
) -> None:
    before = QLocale()
    QLocale.setDefault(QLocale(name))
    try:
        app.window.show_message(
            "noise.v1.5.wav is damaged: only its first 1234.5 s of 2,000 samples, 0.25 s are needed."
        )
        assert app.window.banner.text.text() == sentence
        assert localised(sentence) == sentence or name != "en_US"
        assert minutes_seconds(65.0) == clock
        assert per_cent(0.5) == share
    finally:
        QLocale.setDefault(before)


def test_the_ends_of_a_short_span_are_distinguishable() -> None:
    point = QLocale().decimalPoint()
    assert time_span(50.0, 50.42) == f"00:50{point}0 – 00:50{point}4"
    assert time_span(9.5, 10.1) == "00:09 – 00:10"


def test_scrolling_the_panel_does_not_change_the_values_below_the_pointer(app: Controller, qtbot: QtBot) -> None:
    controls = app.window.controls
    app.window.activateWindow()
    controls.record.setFocus()
    for part in (controls.num_captions, controls.meter, controls.devices):
        before = part.currentIndex() if part is controls.devices else part.value()
        event = QWheelEvent(
            QPointF(5, 5), QPointF(part.mapToGlobal(QPoint(5, 5))), QPoint(0, 0), QPoint(0, -120), Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(part, event)
        assert (part.currentIndex() if part is controls.devices else part.value()) == before
    controls.meter.setFocus()
    qtbot.keyClick(controls.meter, Qt.Key.Key_Right)
    assert controls.meter.value() == -49 and app.settings.silence_db == -49.0


def test_labels_at_the_ends_of_the_spectrograms_axis_are_whole(app: Controller, qtbot: QtBot) -> None:
    record(qtbot, app, 0.3)
    qtbot.wait(100)
    plot = app.window.sound.spectrogram
    zero = plot.getViewBox().sceneBoundingRect().bottom()
    digit = plot.fontMetrics().tightBoundingRect("0").height()
    assert plot.viewport().height() - zero >= digit // 2 and digit > 6

"""Work on captions in the window: edit, choose, accept, delete, search, sort, export, the list of files."""

import re
import wave
from pathlib import Path

import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFileDialog, QLineEdit, QStyle, QStyleOptionFrame
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, open_file, rows
from ui.controllers.main import Controller
from ui.store.documents import Review, Row
from ui.widgets.state import Listening
from ui.widgets.tabs import HISTORY, RECORDING


@pytest.fixture
def work(app: Controller, qtbot: QtBot, sound_file: Path) -> Controller:
    """A recording of ten seconds with five captions, less probable one after the other."""
    soundfile.write(sound_file, chirp(10.0, 16000), 16000)
    open_file(qtbot, app, sound_file)
    names = ("a dog barks", "rain falls", "a car passes by", "a dog howls", "wind blows")
    scores = [
        (ScoredCaption(text, -1.0 - n, 0.9 - 0.2 * n), ScoredCaption("a sound", -9.0)) for n, text in enumerate(names)
    ]
    records = [CaptionRecord(str(sound_file), 2.0 * n, 2.0 * n + 2, captions) for n, captions in enumerate(scores)]
    assert app.documents.open is not None
    app.documents.open.swap([], [Row(record) for record in records])
    return app


def choose(app: Controller, place: int) -> None:
    """Make a row current, as a click does."""
    table = app.window.captions.table
    table.setCurrentIndex(table.rows.index(place, 1))


def test_a_caption_is_edited_in_place_deleted_and_brought_back(work: Controller, qtbot: QtBot) -> None:
    table = work.window.captions.table
    choose(work, 1)
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = table.viewport().findChild(QLineEdit)
    assert editor is not None and editor.text() == "rain falls"
    editor.setText("heavy rain falls on a roof")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: captions(work)[1] == "heavy rain falls on a roof")
    assert rows(work)[1][2] == "edited" and work.window.sound.timeline._rows[1].record.caption == captions(work)[1]
    choose(work, 0)
    work.window.captions.delete_asked.emit(table.selected())
    assert len(captions(work)) == 4 and work.window.captions.undo.isEnabled()
    qtbot.keyClick(work.window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(work.window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert captions(work)[:2] == ["a dog barks", "rain falls"] and not work.window.captions.undo.isEnabled()
    qtbot.keyClick(work.window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert captions(work)[1] == "heavy rain falls on a roof"


def test_a_row_that_goes_does_not_move_the_play_head(work: Controller, qtbot: QtBot) -> None:
    choose(work, 1)
    qtbot.waitUntil(lambda: work.window.sound.heads[0].value() == pytest.approx(2.0, abs=0.05))
    work.window.captions.delete_asked.emit(work.window.captions.table.selected())
    qtbot.wait(100)
    assert len(captions(work)) == 4 and work.window.sound.heads[0].value() == pytest.approx(2.0, abs=0.05)


def test_deleting_goes_on_to_the_next_row(work: Controller, qtbot: QtBot) -> None:
    table = work.window.captions.table
    work.window.activateWindow()
    table.setFocus()
    choose(work, 2)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: captions(work) == ["a dog barks", "rain falls", "a dog howls", "wind blows"])
    assert [row.record.caption for row in table.selected()] == ["a dog howls"]
    for left in (3, 2, 1, 0):
        qtbot.keyClick(table, Qt.Key.Key_Delete)
        qtbot.waitUntil(lambda left=left: len(captions(work)) == left)
    assert work.window.captions.undo.isEnabled()


def test_searching_and_sorting_keep_the_play_head_and_the_selected_row(work: Controller, qtbot: QtBot) -> None:
    panel = work.window.captions
    choose(work, 1)
    head = work.window.sound.heads[0]
    qtbot.waitUntil(lambda: head.value() == pytest.approx(2.0, abs=0.05))
    panel.table.expand(panel.table.rows.index(1, 0))
    panel.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert [row.record.caption for row in panel.table.selected()] == ["rain falls"]
    assert panel.table.isExpanded(panel.table.rows.index(3, 0)) and rows(work)[4][1] == "a sound"
    panel.search.setText("dog")
    qtbot.wait(100)
    assert head.value() == pytest.approx(2.0, abs=0.05)


def test_the_text_is_whole_while_it_is_edited(work: Controller, qtbot: QtBot) -> None:
    table = work.window.captions.table
    choose(work, 1)
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = table.viewport().findChild(QLineEdit)
    assert editor is not None
    inner = QStyleOptionFrame()
    inner.initFrom(editor)
    room = editor.style().subElementRect(QStyle.SubElement.SE_LineEditContents, inner, editor)
    assert room.height() >= editor.fontMetrics().height(), (room, editor.size())
    qtbot.keyClick(editor, Qt.Key.Key_Escape)


def test_only_actions_that_apply_are_offered(work: Controller, qtbot: QtBot) -> None:
    table = work.window.captions.table
    actions = {action.text(): action for action in table.actions()}
    offered = lambda: {name for name, action in actions.items() if action.isEnabled()}  # noqa: E731 - what is offered changes
    assert offered() == set()
    choose(work, 0)
    assert offered() == set(actions) - {"Use This Caption"}
    table.expand(table.rows.index(0, 0))
    table.setCurrentIndex(table.rows.index(0, 1, table.rows.index(0, 0)))
    assert offered() == set(actions) - {"Edit"}
    assert actions["Edit"].shortcut().toString() == "F2"


def test_keys_accept_and_delete_and_another_caption_can_be_used(work: Controller, qtbot: QtBot) -> None:
    table = work.window.captions.table
    work.window.activateWindow()
    table.setFocus()
    choose(work, 2)
    qtbot.keyClick(table, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: rows(work)[2][2] == "accepted")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: len(captions(work)) == 4)
    table.expand(table.rows.index(0, 0))
    assert rows(work)[1][:2] == ["2.", "a sound"]
    table.setCurrentIndex(table.rows.index(0, 1, table.rows.index(0, 0)))
    table.choose()
    assert captions(work)[0] == "a sound" and work.documents.open.rows[0].review is Review.ACCEPTED


def test_a_row_is_captioned_again_alone(work: Controller, qtbot: QtBot, engine: SimulatedEngine) -> None:
    choose(work, 3)
    work.window.captions.again_asked.emit(work.window.captions.table.selected())
    qtbot.waitUntil(lambda: "chirp 0 caption 1" in captions(work) and not work.state.captioning)
    assert (engine.requests[-1].start_s, engine.requests[-1].end_s) == (6.0, 8.0)
    assert captions(work)[3] == "chirp 0 caption 1" and len(work.documents.open.rows) == 5


def test_a_search_starts_at_the_current_row_or_at_the_top(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    open_file(qtbot, app, sound_file)
    names = ["a dog barks"] * 100 + ["rain falls"] * 20
    path = str(sound_file)
    records = [
        CaptionRecord(path, n / 60, (n + 1) / 60, (ScoredCaption(name, -1.0, 0.5),)) for n, name in enumerate(names)
    ]
    app.documents.open.swap([], [Row(record) for record in records])
    table, search = app.window.captions.table, app.window.captions.search
    table.scrollToBottom()
    bar = table.verticalScrollBar()
    assert bar.value() > 0
    search.setText("dog")
    assert len(rows(app)) == 100 and bar.value() == bar.minimum()
    search.clear()
    table.show_row(table.rows.shown[70].number)
    search.setText("dog")
    assert bar.value() > bar.minimum() and table.viewport().rect().intersects(table.visualRect(table.currentIndex()))
    app.window.captions.delete_asked.emit([table.rows.shown[70]])
    assert app.window.status.text() == "Deleted 1 of 120 captions; Ctrl+Z restores them."


def test_search_sort_and_threshold(work: Controller, qtbot: QtBot) -> None:
    panel = work.window.captions
    panel.search.setText("DOG a")
    assert captions(work) == ["a dog barks", "a dog howls"]
    panel.search.clear()
    panel.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert captions(work) == ["wind blows", "a dog howls", "a car passes by", "rain falls", "a dog barks"]
    panel.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    panel.perhaps.setValue(40)
    assert captions(work)[2:] == ["a car passes by", "perhaps a dog howls", "perhaps wind blows"]
    assert work.settings.perhaps_below == 40 and work.window.sound.timeline._threshold == 0.4


def test_nothing_is_overwritten_unasked(
    work: Controller, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "captions.srt").write_text("precious")
    asked: list[list[str]] = []
    answers = iter([False, True])

    def confirm(paths: list[Path]) -> bool:
        asked.append([path.name for path in paths])
        return next(answers)

    monkeypatch.setattr(work.window, "confirm_replacing", confirm)
    work.export(tmp_path / "captions", "srt", False)
    assert asked == [["captions.srt"]] and (tmp_path / "captions.srt").read_text() == "precious"
    work.export(tmp_path / "captions", "srt", False)
    work._writing.flush()
    assert "a dog barks" in (tmp_path / "captions.srt").read_text()
    assert work.settings.export_folder == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "chosen", "written"),
    [
        ("walk.txt", "WebVTT subtitles (*.vtt)", "walk.vtt"),  # a dialog that leaves the proposed name
        ("walk.csv", "Text (*.txt)", "walk.csv"),
        ("walk.labels.txt", "Audacity labels (*.labels.txt)", "walk.labels.txt"),
        ("walk", "JSON (*.json)", "walk.json"),
        ("walk.srt", "", "walk.srt"),
    ],
)
def test_name_and_format_of_an_export_agree(
    work: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chosen: str, written: str
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments, **options: (str(tmp_path / name), chosen))
    work.window.captions.export.click()
    work._writing.flush()
    text = (tmp_path / written).read_text(encoding="utf-8")
    starts = {".vtt": "WEBVTT", ".csv": "file", ".txt": "0.0", ".json": "[", ".srt": "1\n"}
    assert text.startswith(starts[Path(written).suffix]), text[:40]
    assert [path.name for path in tmp_path.glob("walk*")] == [written]


def test_a_clip_is_saved(work: Controller, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []

    def dialog(parent: object, title: str, name: str, *arguments: object, **options: object) -> tuple[str, str]:
        named.append(Path(name).name)
        return str(tmp_path / "clip"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    choose(work, 1)
    work.window.captions.clip_asked.emit(work.window.captions.table.selected()[0])
    assert named == ["chirp 00-02 rain falls.wav"]
    qtbot.waitUntil(lambda: work.window.status.text() == f"Saved {tmp_path / 'clip.wav'}.")
    with wave.open(str(tmp_path / "clip.wav")) as clip:
        assert clip.getnframes() == pytest.approx(2 * clip.getframerate(), abs=2)


def test_files_that_were_cancelled_run_again_and_the_list_is_given_back(
    app: Controller, qtbot: QtBot, folder: Path, engine: SimulatedEngine
) -> None:
    engine.step_s, engine.num_steps = 10.0, 1
    app.open_paths([folder])
    queue = app.window.queue
    click(qtbot, queue.run)
    qtbot.waitUntil(lambda: len(engine.requests) == 1)
    click(qtbot, queue.cancel)
    qtbot.waitUntil(lambda: not app.state.captioning)
    engine.step_s = 0.01
    click(qtbot, queue.run)
    qtbot.waitUntil(lambda: queue.summary.text() == "3 of 3 done" and not app.state.captioning)
    assert [queue.files.topLevelItem(n).text(1) for n in range(3)] == ["done"] * 3
    queue.files.setFocus()
    queue.files.itemActivated.emit(queue.files.topLevelItem(1), 0)
    qtbot.waitUntil(lambda: captions(app)[:1] == ["1 0 caption 1"])  # a captioned file shows its captions
    qtbot.waitUntil(app.window.captions.table.hasFocus)
    app.window.tabs.show_tab(HISTORY)
    assert app.window.history.entries.hasFocus()
    app.window.controls.play.setFocus()
    app.window.tabs.show_tab(RECORDING)
    assert app.window.controls.play.hasFocus()
    click(qtbot, queue.clear) if queue.isVisible() else queue.clear_clicked.emit()
    assert queue.files.topLevelItemCount() == 0 and app.window.banner.isVisible()
    click(qtbot, app.window.banner.action)
    assert queue.files.topLevelItemCount() == 3 and not app.window.banner.isVisible()
    assert len(app._history.entries) == 3


def test_an_alert_word_is_reported_once(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.waveform = chirp(20.0, 48000)
    system.speed = 4.0
    engine.live_text = lambda waveform: "two dogs bark and an alarm rings"
    told: list[str] = []
    monkeypatch.setattr(app.live._notifier, "notify", lambda title, sentence: told.append(sentence))
    app.change(live_window_s=1.0, live_hop_s=0.5, alert_words="Alarm, dog, baby")
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: bool(told))
    qtbot.waitUntil(lambda: app.live.document.rows[0].record.end_s > 3.0)
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    assert told == ["Alarm, dog: two dogs bark and an alarm rings"]
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  {told[0]}", app.window.banner.text.text())


def test_an_alert_stays_until_it_is_closed(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(["an alarm rings", "a baby cries", "an alarm beeps"])
    engine.live_text = lambda waveform: next(texts, "rain falls")
    system.waveform, system.speed = chirp(20.0, 48000), 4.0
    told: list[str] = []
    monkeypatch.setattr(app.live._notifier, "notify", lambda title, sentence: told.append(sentence))
    app.change(live_window_s=1.0, live_hop_s=1.0, alert_words="alarm, baby")
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: len(told) == 3)
    alerts = "Baby: a baby cries\nAlarm: an alarm beeps"
    banner = app.window.banner
    shown = lambda: re.sub(r"\d\d:\d\d:\d\d  ", "", banner.text.text())  # noqa: E731 - without the times
    assert shown() == alerts  # the latest of each word
    system.inputs_made[0].sends_zeros = True
    qtbot.waitUntil(lambda: "digital silence" in shown())
    assert shown().startswith(alerts)
    system.inputs_made[0].sends_zeros = False
    qtbot.waitUntil(lambda: shown() == alerts)
    system.inputs_made[0].lose()
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    assert "was lost" in told[-1] and shown().startswith(alerts) and "was lost" in shown()
    assert banner.rect().contains(banner.text.geometry()) and banner.text.height() >= banner.text.heightForWidth(
        banner.text.width()
    )
    click(qtbot, banner.close_button)
    assert not banner.isVisible()
    app.window.show_message("Something else.")
    assert shown() == "Something else."


def test_recent_recordings_title_and_example(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    assert app.window.windowTitle() == "Audio Caption Interface" and not app.window.windowIcon().isNull()
    click(qtbot, app.window.sound.example)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert app.state.path.endswith("siren_then_waves.flac") and app.settings.recent_paths == []
    open_file(qtbot, app, sound_file)
    assert app.window.windowTitle() == "chirp.wav – Audio Caption Interface"
    assert app.settings.recent_paths == [str(sound_file)] and app.settings.open_folder == str(sound_file.parent)
    [action] = app.window._recent.actions()
    action.trigger()
    qtbot.waitUntil(lambda: not app.state.reading and app.state.can_play)

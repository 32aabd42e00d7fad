"""Tasks of the lists, the dialogs and the other windows by keyboard alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QApplication, QDialog, QFileDialog, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.actions import open_file
from tests.ui.test_keyboard import CTRL, SHIFT, keyboard, press, tab_to
from ui.controllers.main import Controller
from ui.store.caption_queue import Status
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import Listening
from ui.widgets.tabs import FILES, HISTORY, RECORDING
from ui.widgets.tall_dialog import TextDialog

__all__ = ["keyboard"]  # a fixture
Key = Qt.Key


def in_dialog(qtbot: QtBot, open_it: Callable[[], None], work: Callable[[QDialog], None]) -> None:
    """Open a dialog by a key and do something in it, by keys, that closes it."""
    seen: list[bool] = []

    def begin() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, QDialog) or not dialog.isVisible():
            QTimer.singleShot(20, begin)
            return
        dialog.activateWindow()
        seen.append(True)
        work(dialog)

    QTimer.singleShot(20, begin)
    open_it()
    assert seen == [True]


def press_button(qtbot: QtBot, dialog: QDialog, text: str) -> None:
    """Tab to a button of a dialog and press it."""
    button = next(part for part in dialog.findChildren(QPushButton) if part.text().replace("&", "") == text)
    for _ in range(30):
        if button.hasFocus():
            break
        qtbot.keyClick(QApplication.focusWidget() or dialog, Key.Key_Tab)
    assert button.hasFocus(), text
    qtbot.keyClick(button, Key.Key_Space)


def go_to_tab(qtbot: QtBot, app: Controller, tab: int) -> None:
    tab_to(qtbot, app.window.tabs.bar)
    press(qtbot, Key.Key_Home)
    for _ in range(tab):
        press(qtbot, Key.Key_Right)
    assert app.window.tabs.current == tab


def again(app: Controller, qtbot: QtBot) -> None:
    """After a dialog the window is active again, which a screen without a window manager does not do by itself."""
    app.window.activateWindow()
    qtbot.waitUntil(app.window.isActiveWindow)


def test_the_queue(
    keyboard: Controller, qtbot: QtBot, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, queue = keyboard, keyboard.window.queue
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **o: str(folder))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **o: (str(tmp_path / "all.csv"), ""))
    press(qtbot, Key.Key_O, CTRL | SHIFT)
    assert app.window.tabs.current == FILES
    tab_to(qtbot, queue.run)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: [item.status for item in app.queue.files.items] == [Status.DONE] * 3, timeout=20000)
    assert queue.run.hasFocus()
    tab_to(qtbot, queue.export)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil((tmp_path / "all.csv").exists)
    tab_to(qtbot, queue.clear)
    press(qtbot, Key.Key_Space)
    assert app.queue.files.items == []
    tab_to(qtbot, app.window.banner.action)  # Undo
    press(qtbot, Key.Key_Space)
    assert len(app.queue.files.items) == 3
    tab_to(qtbot, queue.files)
    press(qtbot, Key.Key_Home)
    press(qtbot, Key.Key_Return)
    qtbot.waitUntil(lambda: app.state.can_play and app.window.tabs.current == RECORDING and app.state.has_captions)


def test_the_queue_is_cancelled(keyboard: Controller, qtbot: QtBot, folder: Path, engine: SimulatedEngine) -> None:
    app = keyboard
    engine.num_windows, engine.num_steps = 4, 400
    app.open_paths([folder])
    tab_to(qtbot, app.window.queue.run)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: app.state.captioning and app.window.queue.cancel.isEnabled())
    tab_to(qtbot, app.window.queue.cancel)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: not app.state.captioning, timeout=10000)
    assert {item.status for item in app.queue.files.items} == {Status.CANCELLED}
    tab_to(qtbot, app.window.queue.run)
    assert app.window.queue.run.isEnabled()


def test_the_history_opens_captions_again_and_deletes(
    keyboard: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine
) -> None:
    app, history = keyboard, keyboard.window.history
    open_file(qtbot, app, sound_file)
    press(qtbot, Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    go_to_tab(qtbot, app, HISTORY)
    tab_to(qtbot, history.entries)
    press(qtbot, Key.Key_Home)
    requests = len(engine.requests)
    tab_to(qtbot, history.rerun)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: len(engine.requests) > requests and not app.state.captioning)
    go_to_tab(qtbot, app, HISTORY)
    tab_to(qtbot, history.entries)
    press(qtbot, Key.Key_Home)
    tab_to(qtbot, history.delete)
    in_dialog(qtbot, lambda: press(qtbot, Key.Key_Space), lambda box: qtbot.keyClick(box, Key.Key_Escape))
    again(app, qtbot)
    assert len(app._history.entries) == 1
    tab_to(qtbot, history.delete)
    in_dialog(qtbot, lambda: press(qtbot, Key.Key_Space), lambda box: press_button(qtbot, box, "Forget"))
    again(app, qtbot)
    assert app._history.entries == [] and sound_file.exists()
    tab_to(qtbot, app.window.banner.action)  # Undo
    press(qtbot, Key.Key_Space)
    assert len(app._history.entries) == 1


def test_a_clip_is_saved_and_an_alternative_used(
    keyboard: Controller, qtbot: QtBot, tmp_path: Path, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, table = keyboard, keyboard.window.captions.table
    soundfile.write(tmp_path / "chirp.wav", chirp(8.0, 16000), 16000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **o: (str(tmp_path / "clip.wav"), ""))
    engine.num_windows = 4
    open_file(qtbot, app, tmp_path / "chirp.wav")
    press(qtbot, Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: table.rows.rowCount() == 4 and not app.state.captioning)
    app.sound._seek.emit(5.0)
    qtbot.waitUntil(lambda: app.window.sound.heads[0].value() == pytest.approx(5.0, abs=0.01))
    tab_to(qtbot, table)
    qtbot.wait(50)
    assert app.window.sound.heads[0].value() == pytest.approx(5.0, abs=0.01)  # the play head stays
    press(qtbot, Key.Key_Home)  # selects the first row, which is current already
    qtbot.waitUntil(lambda: app.window.sound.heads[0].value() == 0)
    assert len(table.selected()) == 1
    press(qtbot, Key.Key_Down)
    press(qtbot, Key.Key_S, CTRL | SHIFT)
    qtbot.waitUntil((tmp_path / "clip.wav").exists)
    assert soundfile.info(tmp_path / "clip.wav").duration == pytest.approx(2.0, abs=0.01)
    in_dialog(  # nothing is overwritten unasked; Escape keeps the file
        qtbot, lambda: press(qtbot, Key.Key_S, CTRL | SHIFT), lambda box: qtbot.keyClick(box, Key.Key_Escape)
    )
    again(app, qtbot)
    assert table.hasFocus()
    press(qtbot, Key.Key_Right)  # expand
    press(qtbot, Key.Key_Down)
    press(qtbot, Key.Key_U, CTRL)
    qtbot.waitUntil(lambda: table.rows.shown[1].record.caption == "chirp 1 caption 2")
    requests = len(engine.requests)
    tab_to(qtbot, table)
    press(qtbot, Key.Key_Home)
    press(qtbot, Key.Key_A, CTRL | SHIFT)
    qtbot.waitUntil(lambda: len(engine.requests) == requests + 1 and not app.state.captioning)


def test_values_and_the_microphone(keyboard: Controller, qtbot: QtBot) -> None:
    app, controls = keyboard, keyboard.window.controls
    qtbot.waitUntil(lambda: controls.devices.count() == 3)
    changes: list[tuple[QWidget, Qt.Key, Callable[[], object]]] = [
        (controls.devices, Key.Key_Down, lambda: app.settings.input_device),
        (controls.meter, Key.Key_Right, lambda: app.settings.silence_db),
        (controls.num_captions, Key.Key_Up, lambda: app.settings.num_captions),
        (app.window.captions.perhaps, Key.Key_Up, lambda: app.settings.perhaps_below),
    ]
    for part, key, value in changes:
        before = value()
        tab_to(qtbot, part)
        press(qtbot, key)
        assert value() != before, part.accessibleName()
        assert part.hasFocus()


def test_presets_and_alert_words(keyboard: Controller, qtbot: QtBot) -> None:
    app = keyboard

    def work(dialog: QDialog) -> None:
        assert isinstance(dialog, SettingsDialog)
        for part, key in ((dialog.method, Key.Key_Down), (dialog.theme, Key.Key_Down)):
            while not part.hasFocus():
                qtbot.keyClick(QApplication.focusWidget() or dialog, Key.Key_Tab)
            qtbot.keyClick(part, key)
        while not dialog.alert_words.hasFocus():
            qtbot.keyClick(QApplication.focusWidget() or dialog, Key.Key_Backtab)
        qtbot.keyClicks(dialog.alert_words, "alarm, baby")
        qtbot.keyClick(dialog.alert_words, Key.Key_Return)

    in_dialog(qtbot, lambda: press(qtbot, Key.Key_Comma, CTRL), work)
    assert (app.settings.method, app.settings.theme, app.settings.alert_words) == ("beam", "light", "alarm, baby")


def test_large_type(keyboard: Controller, qtbot: QtBot) -> None:
    app, large = keyboard, keyboard.window.large
    press(qtbot, Key.Key_F11)
    large.activateWindow()
    qtbot.waitUntil(large.isActiveWindow)
    qtbot.keyClick(large, Key.Key_F11)
    qtbot.waitUntil(large.isFullScreen)
    qtbot.keyClick(large, Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON)
    qtbot.keyClick(large, Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    qtbot.keyClick(large, Key.Key_Escape)
    qtbot.waitUntil(lambda: not large.isFullScreen())
    assert large.isVisible()
    qtbot.keyClick(large, Key.Key_Escape)
    qtbot.waitUntil(lambda: not large.isVisible())


def test_escape_closes_the_message_and_the_help_which_lists_every_shortcut(keyboard: Controller, qtbot: QtBot) -> None:
    app, texts = keyboard, []
    app.window.show_message("A message.")
    press(qtbot, Key.Key_Escape)
    assert not app.window.banner.isVisible()

    def read(dialog: QDialog) -> None:
        assert isinstance(dialog, TextDialog)
        texts.append(dialog.text.text())
        qtbot.keyClick(dialog, Key.Key_Escape)

    in_dialog(qtbot, lambda: press(qtbot, Key.Key_F1), read)
    for keys in (
        "Ctrl+O",
        "Ctrl+Return",
        "F11",
        "Ctrl+L",
        "Ctrl+Shift+S",
        "Ctrl+U",
        "Ctrl+Y",
        "Page Up",
        "Space",
        "F1",
    ):
        assert keys in texts[0], keys

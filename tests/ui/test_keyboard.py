"""Every task of the window by keyboard alone: no click, no call of a slot."""

from pathlib import Path

import pytest
import soundfile

from tests.ui.simulated import SimulatedEngine, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QApplication, QFileDialog, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions
from ui.controllers.main import Controller
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import Listening, Recording
from ui.widgets.tabs import FILES, HISTORY, LIVE, RECORDING

Key, CTRL, SHIFT = Qt.Key, Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def press(qtbot: QtBot, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key in the widget that has the focus."""
    target = QApplication.focusWidget() or QApplication.activeWindow()
    assert target is not None
    qtbot.keyClick(target, key, modifiers)


def tab_to(qtbot: QtBot, part: QWidget) -> None:
    """Press Tab until a control has the focus."""
    for _ in range(60):
        if part.hasFocus():
            return
        press(qtbot, Key.Key_Tab)
    raise AssertionError(f"Tab does not reach {part.accessibleName()}")


@pytest.fixture
def keyboard(app: Controller, qtbot: QtBot) -> Controller:
    app.window.activateWindow()
    qtbot.waitUntil(app.window.isActiveWindow)
    return app


def test_a_recording_is_opened_captioned_searched_edited_exported_and_played(
    keyboard: Controller, qtbot: QtBot, engine: SimulatedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, window = keyboard, keyboard.window
    soundfile.write(tmp_path / "chirp.wav", chirp(8.0, 16000), 16000)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *a, **o: ([str(tmp_path / "chirp.wav")], ""))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **o: (str(tmp_path / "out.srt"), ""))
    engine.num_windows = 4
    app.change(num_captions=1)
    press(qtbot, Key.Key_O, CTRL)
    qtbot.waitUntil(lambda: app.state.can_play)
    press(qtbot, Key.Key_Return, CTRL)
    qtbot.waitUntil(lambda: len(captions(app)) == 4 and not app.state.captioning)
    press(qtbot, Key.Key_F, CTRL)
    assert window.captions.search.hasFocus()
    qtbot.keyClicks(window.captions.search, "chirp 2")
    assert captions(app) == ["chirp 2 caption 1"]
    window.captions.search.selectAll()
    press(qtbot, Key.Key_Delete)
    tab_to(qtbot, window.captions.table)
    press(qtbot, Key.Key_Home)
    press(qtbot, Key.Key_Down)
    press(qtbot, Key.Key_F2)
    editor = QApplication.focusWidget()
    assert isinstance(editor, QLineEdit) and editor.text() == "chirp 1 caption 1"
    qtbot.keyClicks(editor, "a whistle")  # the text is selected
    press(qtbot, Key.Key_Return)
    qtbot.waitUntil(lambda: captions(app)[1] == "a whistle")
    assert window.captions.table.hasFocus()
    press(qtbot, Key.Key_Down)
    press(qtbot, Key.Key_Y, CTRL)
    press(qtbot, Key.Key_Delete)
    qtbot.waitUntil(lambda: len(captions(app)) == 3)
    press(qtbot, Key.Key_Z, CTRL)
    qtbot.waitUntil(lambda: len(captions(app)) == 4)
    press(qtbot, Key.Key_E, CTRL)
    qtbot.waitUntil(lambda: (tmp_path / "out.srt").exists())
    tab_to(qtbot, window.sound)
    press(qtbot, Key.Key_Home)
    press(qtbot, Key.Key_Right)
    press(qtbot, Key.Key_Right)
    qtbot.waitUntil(lambda: window.sound.heads[0].value() == pytest.approx(2.0, abs=0.05))
    press(qtbot, Key.Key_BracketRight)
    qtbot.waitUntil(lambda: app.sound.region == pytest.approx((0.0, 2.0), abs=0.05))
    press(qtbot, Key.Key_Return, CTRL)  # the selection only
    qtbot.waitUntil(lambda: engine.requests[-1].end_s == pytest.approx(2.0, abs=0.05) and not app.state.captioning)
    press(qtbot, Key.Key_0, CTRL)
    assert app.sound.region is None
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: app.state.playing)
    press(qtbot, Key.Key_Space)
    qtbot.waitUntil(lambda: not app.state.playing)


def test_the_microphone_the_tabs_and_the_settings(keyboard: Controller, qtbot: QtBot) -> None:
    app, window = keyboard, keyboard.window
    press(qtbot, Key.Key_R, CTRL)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    press(qtbot, Key.Key_R, CTRL | SHIFT)
    assert app.state.recording is Recording.PAUSED
    press(qtbot, Key.Key_R, CTRL | SHIFT)
    qtbot.waitUntil(lambda: window.sound.sound is not None and window.sound.sound.duration_s > 0.3)
    press(qtbot, Key.Key_Return, CTRL | SHIFT)  # stops, saves, captions
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning and app.state.can_play)
    press(qtbot, Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: app.state.listening is Listening.ON and window.tabs.current == LIVE)
    press(qtbot, Key.Key_L, CTRL | SHIFT)
    assert app.state.listening is Listening.PAUSED
    press(qtbot, Key.Key_L, CTRL)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)
    tab_to(qtbot, window.tabs.bar)
    for key, tab in ((Key.Key_Right, FILES), (Key.Key_Right, HISTORY), (Key.Key_Left, FILES)):
        press(qtbot, key)
        assert window.tabs.current == tab
    press(qtbot, Key.Key_Right)
    press(qtbot, Key.Key_Tab)
    assert window.history.entries.hasFocus()
    press(qtbot, Key.Key_Home)
    press(qtbot, Key.Key_Return)  # opens the recording, whose captions are shown
    qtbot.waitUntil(lambda: window.tabs.current in (RECORDING, LIVE))
    dialogs: list[bool] = []

    def leave() -> None:
        dialog = QApplication.activeModalWidget()
        dialogs.append(isinstance(dialog, SettingsDialog))
        if dialog is not None:
            qtbot.keyClick(dialog, Key.Key_Escape)

    QTimer.singleShot(200, leave)
    press(qtbot, Key.Key_Comma, CTRL)
    assert dialogs == [True]
    window.activateWindow()  # which a screen without a window manager does not do
    qtbot.waitUntil(window.isActiveWindow)
    press(qtbot, Key.Key_F11)
    window.large.activateWindow()
    qtbot.waitUntil(window.large.isActiveWindow)
    qtbot.keyClick(window.large, Key.Key_Escape)
    qtbot.waitUntil(lambda: not window.large.isVisible())

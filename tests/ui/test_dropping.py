"""A file can be dropped anywhere in the window."""

from pathlib import Path

import pytest

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QMimeData, QPointF, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PyQt6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from tests.ui.actions import open_file
from ui.controllers.main import Controller


def drop_on(part: QWidget, path: Path) -> bool:
    """Drag and drop as Qt hands it to the widget under the mouse, and from there to those around it."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    data.setText(str(path))  # as file managers do, so that fields for text want it too
    place = QPointF(part.rect().center())
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    target: QWidget | None = part
    while target is not None and not target.acceptDrops():  # as Qt looks for the one that takes drops
        target = None if target.isWindow() else target.parentWidget()
    if target is None:
        return False
    place = QPointF(part.mapTo(target, place.toPoint()))
    enter, move = (kind(place.toPoint(), copy, data, buttons, keys) for kind in (QDragEnterEvent, QDragMoveEvent))
    QApplication.sendEvent(target, enter)
    if not enter.isAccepted():
        return False
    move.setDropAction(copy)
    move.accept()  # "handling DragEnter should suffice" (QGuiApplicationPrivate::processDrag), unless this is refused
    QApplication.sendEvent(target, move)
    if not move.isAccepted():
        return False
    QApplication.sendEvent(target, QDropEvent(place, copy, data, buttons, keys))
    return True


@pytest.mark.parametrize(
    "part",
    ["controls.path", "controls.num_captions.lineEdit()", "controls.devices", "controls.record", "sound.waveform.viewport()",
     "sound.spectrogram.viewport()", "sound.timeline", "captions.table.viewport()", "queue.files.viewport()",
     "history.entries.viewport()", "log.viewport()", "banner", "status", "tabs"],
)  # fmt: skip
def test_a_file_is_dropped_anywhere(app: Controller, qtbot: QtBot, sound_file: Path, part: str) -> None:
    open_file(qtbot, app, sound_file)  # so that the plots are there
    other = sound_file.rename(sound_file.with_name("other.wav"))
    target: object = app.window
    for name in part.split("."):
        target = getattr(target, name.removesuffix("()"))
        target = target() if name.endswith("()") else target  # type: ignore[operator]
    assert isinstance(target, QWidget)
    number = app.window.controls.num_captions.value()
    assert drop_on(target, other)
    qtbot.waitUntil(lambda: app.state.path == str(other) and app.state.can_play)
    assert app.window.controls.num_captions.value() == number


def test_the_idle_window_takes_a_file_where_its_hint_says_so(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    hint = app.window.sound.hint
    assert hint.isVisible() and "drop a recording here" in hint.text()
    assert drop_on(hint, sound_file)
    qtbot.waitUntil(lambda: app.state.can_play)

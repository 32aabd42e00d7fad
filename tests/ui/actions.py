"""User actions shared by the tests of the window."""

from pathlib import Path

from PyQt6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from ui.controllers.main import Controller
from ui.widgets.state import Recording


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


def rows(app: Controller) -> list[list[str]]:
    """What stands in the table of captions: each row, and below it its other captions where they are unfolded."""
    table, found = app.window.captions.table, []
    for place in range(table.rows.rowCount()):
        top = table.rows.index(place, 0)
        indexes = [top]
        if table.isExpanded(top):
            indexes += [table.rows.index(child, 0, top) for child in range(table.rows.rowCount(top))]
        found += [[str(index.siblingAtColumn(column).data()) for column in range(3)] for index in indexes]
    return found


def captions(app: Controller) -> list[str]:
    """The second column of it."""
    return [row[1] for row in rows(app)]


def record(qtbot: QtBot, app: Controller, seconds: float) -> Path:
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.waitUntil(lambda: app.window.sound.sound is not None and app.window.sound.sound.duration_s > seconds)
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    return Path(app.sound.last_recording)

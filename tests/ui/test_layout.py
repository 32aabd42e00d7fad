"""In every window that can be had, captions can be read and no control is cut off or hidden behind another."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from data.caption_formats import CaptionRecord, ScoredCaption

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtGui import QFont
from PyQt6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QSizePolicy,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from tests.ui.actions import click, open_file
from ui.controllers.main import Controller
from ui.widgets.meter import LevelMeter
from ui.widgets.parts import Table
from ui.widgets.sound_view import SoundView

ROOT = Path(__file__).parents[2]
READABLE = 200  # pixels of a caption
LONG = "a large church bell is ringing slowly while people are talking in the background and a car passes by"
KINDS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLabel, QLineEdit, QProgressBar, LevelMeter, SoundView, Table)


def controls(window: QWidget) -> list[QWidget]:
    """What is shown and read or pressed; parts of a control belong to it."""
    found = [part for part in window.findChildren(QWidget) if isinstance(part, KINDS) and part.isVisible()]
    return [part for part in found if not any(other is not part and other.isAncestorOf(part) for other in found)]


def place_of(part: QWidget, owner: QWidget) -> QRect:
    return QRect(part.mapTo(owner, QPoint(0, 0)), part.size())


def is_whole(part: QWidget) -> bool:
    """Whether it lies within all that it lies in."""
    owner = part.parentWidget()
    while owner is not None and not part.isWindow():
        if not owner.rect().contains(place_of(part, owner)):
            return False
        owner = None if owner.isWindow() else owner.parentWidget()
    return True


def faults(app: Controller) -> list[str]:
    """What is cut off, squeezed or covered, after scrolling to it."""
    window, found = app.window, []
    for part in controls(window):
        name = f"{type(part).__name__} {part.accessibleName() or getattr(part, 'text', str)()!r}"
        if window.controls.isAncestorOf(part):
            window.controls.ensureWidgetVisible(part, 0, 0)
            window.controls.horizontalScrollBar().setValue(0)  # which nobody sees
        if not is_whole(part):
            found.append(f"{name} is cut off")
        needed = part.minimumSizeHint() if not isinstance(part, QAbstractButton) else part.sizeHint()
        yields = part.sizePolicy().horizontalPolicy() is QSizePolicy.Policy.Ignored
        if (part.width() < needed.width() and not yields) or part.height() < needed.height():
            found.append(f"{name} is squeezed: {part.size()} of {needed}")
    viewport = window.controls.viewport()
    places = [(part, place_of(part, window)) for part in controls(window)]
    places = [
        (part, place & place_of(viewport, window) if viewport.isAncestorOf(part) else place) for part, place in places
    ]
    for (first, here), (second, there) in combinations(places, 2):
        if here.intersects(there):
            found.append(f"{first.accessibleName()} {here} and {second.accessibleName()} {there} overlap")
    for bar in window.findChildren(QTabBar):
        if bar.isVisible() and bar.tabRect(bar.count() - 1).right() > bar.width():
            found.append("tabs are cut off")
    return found


def caption_widths(app: Controller) -> list[int]:
    """Of the lists that are shown."""
    captions = app.window.captions
    return [tree.columnWidth(1) for tree in (captions.model, captions.live) if tree.isVisible()]


def fill(qtbot: QtBot, app: Controller, path: Path, at_s: float = 0.0) -> None:
    """A timeline of long captions in both lists."""
    open_file(qtbot, app, path)
    scores = (ScoredCaption(LONG, -2.0, 1.0), ScoredCaption("waves", -3.0, 0.5))
    records = [CaptionRecord(str(path), at_s + 5 * n, at_s + 5 * n + 5, scores) for n in range(12)]
    app.captions._show_recording(records)
    app.captions._show_model(records)
    app.window.captions.set_latency("behind by 123 s, 4567 left out")


def shrink(qtbot: QtBot, app: Controller) -> None:
    """As small as the window goes."""
    size = None
    while app.window.size() != size:
        size = app.window.size()
        app.window.resize(100, 100)
        qtbot.wait(50)


@pytest.mark.parametrize("at_s", [0.0, 3600.0], ids=["minutes", "hours"])
@pytest.mark.parametrize("points", [10, 14])
def test_captions_can_be_read_in_the_smallest_window(
    app: Controller, qtbot: QtBot, sound_file: Path, points: int, at_s: float
) -> None:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    usual = application.font()
    try:
        application.setFont(QFont("Inter", points))
        app._paint()  # a style sheet hands the font on
        fill(qtbot, app, sound_file, at_s)
        shrink(qtbot, app)
        if points == 10:
            assert app.window.width() <= 800 and app.window.height() <= 640, app.window.size()
        for live in (False, True):
            app.window.tabs.show_captions(live)
            qtbot.wait(30)
            [width] = caption_widths(app)
            assert width >= READABLE
            assert faults(app) == []
    finally:
        application.setFont(usual)


def test_captions_can_be_read_at_every_width(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    fill(qtbot, app, sound_file)
    lists = []
    for width in range(780, 1700, 60):
        app.window.resize(width, 720)
        qtbot.wait(30)
        assert min(caption_widths(app)) >= READABLE, width
        assert faults(app) == [], width
        lists.append(len(caption_widths(app)))
    assert lists == sorted(lists) and lists[0] == 1 and lists[-1] == 2  # one at a time, then side by side
    app.window.resize(1280, 800)
    qtbot.wait(30)
    assert not app.window.captions.model.isColumnHidden(2)  # probabilities stand in a window of the usual size


def test_one_pull_makes_a_wide_window_narrow(app: Controller, qtbot: QtBot) -> None:
    app.window.resize(1400, 800)
    qtbot.wait(30)
    app.window.resize(800, 700)
    qtbot.wait(30)
    assert app.window.width() == 800 and app.window.tabs.is_apart


def test_everything_at_once_in_the_smallest_window(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    """Message, log, saved path, progress and a queue."""
    fill(qtbot, app, sound_file)
    shrink(qtbot, app)
    window = app.window
    window.tell("The microphone was lost: it was unplugged. What was recorded until then is kept in /a/long/path.wav.")
    window.fold_log(False)
    window.controls.set_saved("/home/somebody/Music/Audio Caption/" + "a very long folder name " * 4 + "/x.wav", 12.3)
    app._session.update(captioning=True)
    window.controls.set_share(0.4, 3700.0)
    window.set_status("Exported to " + "/a/long/path" * 20)
    for page in range(window.tabs.count()):
        window.tabs.setCurrentIndex(page)
        qtbot.wait(50)
        assert faults(app) == [], window.tabs.tabText(page)
    app._session.update(captioning=False)


def test_the_picture_gives_way_to_buttons_in_a_low_window(app: Controller, qtbot: QtBot) -> None:
    picture = app.window.controls.picture
    app.window.resize(1280, 800)
    qtbot.waitUntil(picture.isVisible)
    height = 800
    while picture.isVisible() and height > 500:
        height -= 10
        app.window.resize(1280, height)
        qtbot.wait(20)
    assert height > 500
    live = app.window.controls.run_live
    qtbot.waitUntil(lambda: is_whole(live))  # without scrolling
    app.window.resize(1280, height + 10)
    qtbot.waitUntil(picture.isVisible)
    app.window.controls.set_saved("/home/somebody/Music/Audio Caption/recording_2026-11-25_09-06-09.wav", 3.0)
    qtbot.waitUntil(lambda: not picture.isVisible())  # what was saved needs its room
    qtbot.waitUntil(lambda: is_whole(live))
    app.window.controls.saved.hide()
    qtbot.waitUntil(picture.isVisible)


def test_the_list_in_front_and_the_focus_survive_a_change_of_width(app: Controller, qtbot: QtBot) -> None:
    window, tabs = app.window, app.window.tabs
    window.activateWindow()
    app.window.resize(1500, 800)
    qtbot.wait(30)
    window.captions.listen.setFocus()
    assert not tabs.is_apart and tabs.currentWidget() is window.captions
    tabs.show_captions(live=True)
    for width in (800, 1500, 800):
        app.window.resize(width, 800)
        qtbot.wait(30)
        assert tabs.is_apart == (width == 800)
        assert window.captions.listen.isVisible() and window.captions.listen.hasFocus()
    tabs.show_captions(live=False)
    assert window.captions.copy.isVisible() and not window.captions.listen.isVisible()
    tabs.setCurrentWidget(window.history)
    app.window.resize(1500, 800)
    qtbot.wait(30)
    assert tabs.currentWidget() is window.history


def test_what_happens_comes_to_the_front_in_a_narrow_window(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    shrink(qtbot, app)
    open_file(qtbot, app, sound_file)
    captions = app.window.captions
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: captions.model.isVisible() and captions.model.topLevelItemCount() == 3)
    qtbot.keyClick(app.window, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(captions.live.isVisible)
    click(qtbot, captions.listen)
    qtbot.waitUntil(lambda: captions.listen.text() == "Listen")


@pytest.mark.parametrize("factor", ["1.5", "2"])
def test_a_screen_of_high_resolution(tmp_path: Path, factor: str) -> None:
    """The same layout, drawn from more pixels."""
    script = (
        "import sys; from pathlib import Path\n"
        "from PyQt6.QtCore import QSettings\nfrom PyQt6.QtTest import QTest\nfrom PyQt6.QtWidgets import QApplication\n"
        "from tests.ui.simulated import SimulatedEngine, SimulatedSystem\nfrom tests.ui.test_layout import faults\n"
        "from ui.app import build\n"
        "application, folder = QApplication([]), Path(sys.argv[1])\n"
        "settings = QSettings(str(folder / 's.ini'), QSettings.Format.IniFormat)\n"
        "app = build(SimulatedEngine(), SimulatedSystem(), settings, folder / 'history')\n"
        "app.start(); QTest.qWait(300)\n"
        "shot = app.window.grab(); shot.save(str(folder / 'shot.png'))\n"
        "print(shot.devicePixelRatio(), shot.width() / app.window.width(), faults(app))\n"
        "app.window.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False,
        env={**os.environ, "QT_SCALE_FACTOR": factor},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ratio, share, found = done.stdout.strip().split(" ", 2)
    assert float(ratio) == float(factor) and float(share) == pytest.approx(float(factor), abs=0.01) and found == "[]"

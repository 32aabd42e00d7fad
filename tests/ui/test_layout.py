"""In every window that can be had, captions can be read and no control is cut off or hidden behind another."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from data.caption_formats import CaptionRecord, ScoredCaption

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QPoint, QRect, QSize, Qt
from PyQt6.QtGui import QFont
from PyQt6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QSizePolicy,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from tests.ui.actions import open_file
from ui.controllers.main import Controller
from ui.store.documents import Row
from ui.widgets.caption_table import CaptionTable
from ui.widgets.columns import Table
from ui.widgets.messages import Banner
from ui.widgets.meter import LevelMeter
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.sound_view import SoundView
from ui.widgets.state import Listening, Recording
from ui.widgets.tall_dialog import TallDialog, TextDialog

ROOT = Path(__file__).parents[2]
READABLE = 200  # pixels of a caption
LONG = "a large church bell is ringing slowly while people are talking in the background and a car passes by"
KINDS = (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    LevelMeter,
    SoundView,
    Table,
    CaptionTable,
)


def controls(window: QWidget) -> list[QWidget]:
    """Return the visible controls and labels, without the parts of controls."""
    found = [part for part in window.findChildren(QWidget) if isinstance(part, KINDS) and part.isVisible()]
    banner = window.findChild(Banner)  # floats above the others
    found = [part for part in found if banner is None or not banner.isAncestorOf(part)]
    return [part for part in found if not any(other is not part and other.isAncestorOf(part) for other in found)]


def place_of(part: QWidget, owner: QWidget) -> QRect:
    return QRect(part.mapTo(owner, QPoint(0, 0)), part.size())


def is_whole(part: QWidget) -> bool:
    """Return whether a widget lies entirely within all of its parents."""
    owner = part.parentWidget()
    while owner is not None and not part.isWindow():
        if not owner.rect().contains(place_of(part, owner)):
            return False
        owner = None if owner.isWindow() else owner.parentWidget()
    return True


def faults(app: Controller) -> list[str]:
    """Return the controls that are cut off, squeezed or covered after scrolling to them."""
    window, found = app.window, []
    for part in controls(window):
        name = f"{type(part).__name__} {part.accessibleName() or getattr(part, 'text', str)()!r}"
        if window.area.isAncestorOf(part):
            window.area.ensureWidgetVisible(part, 0, 0)
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


def fill(qtbot: QtBot, app: Controller, path: Path, at_s: float = 0.0) -> None:
    """A timeline of long captions."""
    open_file(qtbot, app, path)
    scores = (ScoredCaption(LONG, -2.0, 1.0), ScoredCaption("waves", -3.0, 0.5))
    records = [CaptionRecord(str(path), at_s + 5 * n, at_s + 5 * n + 5, scores) for n in range(12)]
    assert app.documents.open is not None
    app.documents.open.swap([], [Row(record) for record in records])
    app.window.captions.set_latency("behind by 123 s, 4567 skipped")


def shrink(qtbot: QtBot, app: Controller) -> None:
    """As small as the window goes without scroll bars around everything."""
    for _ in range(3):
        page = app.window.area.widget()
        assert page is not None
        app.window.resize(page.minimumSizeHint() + app.window.size() - app.window.area.size())
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
            assert app.window.width() <= 960 and app.window.height() <= 700, app.window.size()
        assert app.window.captions.table.columnWidth(1) >= READABLE
        assert faults(app) == []
    finally:
        application.setFont(usual)


def test_captions_can_be_read_at_every_width(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    fill(qtbot, app, sound_file)
    for width in range(960, 1700, 120):
        app.window.resize(width, 760)
        qtbot.wait(30)
        assert app.window.captions.table.columnWidth(1) >= READABLE, width
        assert faults(app) == [], width
    app.window.resize(1280, 800)
    qtbot.wait(30)
    assert not app.window.captions.table.isColumnHidden(2)  # probabilities stand in a window of the usual size


def test_ten_minutes_show_twenty_rows(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    open_file(qtbot, app, sound_file)
    records = [
        CaptionRecord(str(sound_file), 10.0 * n, 10.0 * n + 10, (ScoredCaption(f"a dog {n}", -1.0),)) for n in range(60)
    ]
    app.documents.open.swap([], [Row(record) for record in records])
    app.window.resize(1440, 1000)
    qtbot.wait(50)
    table = app.window.captions.table
    seen = [n for n in range(60) if table.viewport().rect().contains(table.visualRect(table.rows.index(n, 1)))]
    assert len(seen) >= 20


@pytest.mark.parametrize("size", [(960, 480), (640, 400)])
def test_on_a_small_or_magnified_screen_everything_can_be_scrolled_to(
    app: Controller, qtbot: QtBot, sound_file: Path, size: tuple[int, int]
) -> None:
    """960 by 480 is what a window has on a screen of 1920 by 1080 at 200 %."""
    fill(qtbot, app, sound_file)
    window = app.window
    window.resize(*size)
    qtbot.wait(50)
    assert (window.width(), window.height()) == size
    for part in controls(window):
        for area in (window.area, window.controls):
            if area.isAncestorOf(part):
                area.ensureWidgetVisible(part, 0, 0)
        if not isinstance(part, SoundView | Table | CaptionTable) and not is_inside(part, window.statusBar()):
            seen = place_of(part, window) & place_of(window.area.viewport(), window)
            assert seen.height() >= part.height() - 2 or not part.width(), part.accessibleName()  # its frame aside


def is_inside(part: QWidget, owner: QWidget | None) -> bool:
    return owner is not None and owner.isAncestorOf(part)


def test_scroll_bars_are_wide_enough_to_be_hit(app: Controller, qtbot: QtBot) -> None:
    app.window.resize(960, 540)  # logical pixels of a screen of 1920 by 1080 at 200 %
    qtbot.wait(50)
    vertical, horizontal = app.window.area.verticalScrollBar(), app.window.sound.overview.bar
    assert vertical is not None and vertical.isVisible() and vertical.width() >= 14
    assert horizontal.sizeHint().height() >= 14
    page = app.window.area.widget()
    assert page is not None and page.minimumSizeHint().width() <= 960 - 14  # so that nothing is scrolled sideways


@pytest.mark.parametrize("kind", ["settings", "shortcuts"])
def test_dialogs_fit_on_a_low_screen(app: Controller, qtbot: QtBot, kind: str) -> None:
    """960 by 540 logical pixels are a screen of 1920 by 1080 at 200 %."""
    lines = "<br>".join(["A line of the help"] * 60)
    dialog: TallDialog = (
        SettingsDialog(app.settings, "mn04", app.window)
        if kind == "settings"
        else TextDialog("Keyboard shortcuts", lines, app.window)
    )
    qtbot.addWidget(dialog)
    assert dialog.size_on(QSize(3000, 3000)).height() > 540  # else the test shows nothing
    dialog.show()
    dialog.resize(dialog.size_on(QSize(960, 540)))
    qtbot.wait(50)
    assert dialog.width() <= 960 and dialog.height() < 540
    for part in dialog.findChildren(QAbstractButton):
        if part.parent() in dialog.findChildren(QDialogButtonBox):
            assert dialog.rect().contains(QRect(part.mapTo(dialog, QPoint()), part.size()))
    page, bar = dialog.area.widget(), dialog.area.verticalScrollBar()
    assert page is not None and bar is not None and page.width() >= page.minimumSizeHint().width()
    bar.setValue(bar.maximum())
    assert page.mapTo(dialog.area, QPoint(0, page.height())).y() <= dialog.area.height() + 1
    dialog.resize(dialog.size_on(QSize(3000, 3000)))
    qtbot.wait(50)
    assert bar.maximum() == 0  # a large screen shows everything


def test_no_button_moves_or_changes_its_width(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    window = app.window
    buttons = [part for part in controls(window) if isinstance(part, QAbstractButton | LevelMeter | QProgressBar)]
    qtbot.wait(50)
    before = {part: place_of(part, window) for part in buttons}
    fill(qtbot, app, sound_file)
    window.show_message(
        "The microphone was lost: it was unplugged. What was recorded until then is kept in /a/long/path.wav."
    )
    window.controls.set_saved("/home/somebody/Music/Audio Caption/recording_2026-11-25_09-06-09.wav", 3.0)
    states = [
        {"captioning": True}, {"captioning": False, "has_region": True}, {"has_region": False, "playing": True},
        {"playing": False, "recording": Recording.OPENING}, {"recording": Recording.ON}, {"recording": Recording.PAUSED},
        {"recording": Recording.OFF, "listening": Listening.ON}, {"listening": Listening.PAUSED}, {"num_waiting": 3},
        {"listening": Listening.OFF},
    ]  # fmt: skip
    for state in states:
        app._session.update(**state)
        qtbot.wait(30)
        for part, place in before.items():
            assert place_of(part, window) == place, (part.accessibleName(), state)


def test_the_focus_stays_where_the_person_is(app: Controller, qtbot: QtBot, sound_file: Path, folder: Path) -> None:
    window, controls = app.window, app.window.controls
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    controls.record.setFocus()
    qtbot.keyClick(controls.record, Qt.Key.Key_Space)
    assert controls.record.hasFocus() and not controls.record.isEnabled()  # until the device answers
    qtbot.keyClick(controls.record, Qt.Key.Key_Space)  # which does nothing now
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    assert controls.record.hasFocus() and controls.record.isEnabled()
    qtbot.wait(100)
    qtbot.keyClick(controls.record, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    assert controls.record.hasFocus()
    app.open_paths([folder])
    window.queue.run.setFocus()
    qtbot.keyClick(window.queue.run, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: window.queue.summary.text() == "3 of 3 done", timeout=20000)
    assert window.queue.run.hasFocus() and not window.queue.run.isEnabled()
    qtbot.keyClick(window.queue.run, Qt.Key.Key_Tab)
    assert not window.queue.run.hasFocus()


def test_everything_at_once_in_the_smallest_window(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    """Message, log, saved path, progress and a queue."""
    fill(qtbot, app, sound_file)
    shrink(qtbot, app)
    window = app.window
    window.show_message(
        "The microphone was lost: it was unplugged. What was recorded until then is kept in /a/long/path.wav."
    )
    window.fold_log(False)
    window.controls.set_saved("/home/somebody/Music/Audio Caption/" + "a very long folder name " * 4 + "/x.wav", 12.3)
    app._session.update(captioning=True)
    window.controls.set_share(0.4, 3700.0)
    window.set_status("Exported to " + "/a/long/path" * 20)
    for page in range(window.tabs.bar.count()):
        window.tabs.show_tab(page)
        qtbot.wait(50)
        assert faults(app) == [], window.tabs.bar.tabText(page)
    app._session.update(captioning=False)


def test_the_picture_gives_way_to_buttons_in_a_low_window(app: Controller, qtbot: QtBot) -> None:
    picture = app.window.controls.picture
    app.window.resize(1280, 900)
    qtbot.waitUntil(picture.isVisible)
    live, place = app.window.controls.run_live, app.window.controls.run_live.pos()
    app.window.resize(1280, 700)
    qtbot.waitUntil(lambda: not picture.isVisible())
    assert is_whole(live) and live.pos() == place  # without scrolling


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
        "page = app.window.area.widget()\n"
        "app.window.resize(page.minimumSizeHint() + app.window.size() - app.window.area.size()); QTest.qWait(200)\n"
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

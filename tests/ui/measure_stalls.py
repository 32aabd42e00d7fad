"""Measures how long each action keeps the window's thread busy, with long lists and an hour of sound.

    python -m tests.ui.measure_stalls [ACTION...]

Prints, for each action, the longest and the total processor time of the window's thread between two ticks of a timer, in
milliseconds: for that time at least the window did not answer. The figures are printed, not asserted, since they depend on the
machine; `test_background.py` asserts counts of the work instead.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import soundfile
from PyQt6.QtCore import QEvent, QLocale, QPoint, QPointF, QSettings, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.gaps import Gaps
from tests.ui.simulated import SimulatedEngine, SimulatedSystem
from ui.app import build
from ui.controllers.main import Controller
from ui.store.documents import Document, Kind, Row
from ui.widgets.tabs import FILES, HISTORY, LIVE, RECORDING

HOUR_S = 3600
NUM_FILES, NUM_ENTRIES, NUM_LIVE = 1000, 1000, 10_000  # the history keeps 1,000 entries
WORDS = ("a dog barks", "rain falls on a roof and thunder rumbles", "a man speaks", "a car passes by", "music plays")


def wait(condition: Callable[[], bool]) -> None:
    while not condition():
        QTest.qWait(5)


def captions(path: str, number: int) -> tuple[ScoredCaption, ...]:
    return tuple(
        ScoredCaption(f"{WORDS[(number + k) % 5]} {number % 97}", -1.0 - k, 0.9 - 0.2 * k - number % 7 / 30)
        for k in range(3)
    )


def rows(path: str, count: int = HOUR_S) -> list[Row]:
    return [Row(CaptionRecord(path, float(n), n + 1.0, captions(path, n))) for n in range(count)]


class Measurement:
    """Prints the processor time of actions.

    Args:
        wanted: names of the actions to measure; empty for all.
    """

    def __init__(self, wanted: list[str]) -> None:
        self._wanted = wanted

    def __call__(self, name: str, action: Callable[[], object], settle_ms: int = 700) -> None:
        """Do an action and let the window settle; print how long it was busy."""
        QTest.qWait(100)
        gaps = Gaps()
        action()
        QTest.qWait(settle_ms)
        gaps.stop()
        if not self._wanted or any(word in name for word in self._wanted):
            longest = 1000 * max(gaps.busy)
            print(f"{'*' if longest > 100 else ' '} {name:42} {longest:6.0f} {1000 * sum(gaps.busy):7.0f}", flush=True)


def wheel(widget: object, modifiers: Qt.KeyboardModifier, steps: int = 1) -> None:
    viewport = widget.viewport()  # type: ignore[attr-defined]
    middle = QPointF(viewport.rect().center())
    QApplication.sendEvent(
        viewport,
        QWheelEvent(middle, QPointF(viewport.mapToGlobal(QPoint(200, 60))), QPoint(), QPoint(0, 120 * steps),
                    Qt.MouseButton.NoButton, modifiers, Qt.ScrollPhase.NoScrollPhase, False),
    )  # fmt: skip


def main(wanted: list[str]) -> None:
    application = QApplication([])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = folder / "hour.wav", folder / "other hour.wav"
        rng = np.random.default_rng(0)
        noise = (0.1 * rng.normal(size=8000 * HOUR_S)).astype(np.float32)
        for path in (first, second):
            soundfile.write(path, noise, 8000)
        engine, system = SimulatedEngine(), SimulatedSystem(noise[: 48000 * 20])
        settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
        app = build(engine, system, settings, folder / "history")  # type: ignore[arg-type]
        app.change(recordings_folder=str(folder / "recordings"), theme="light")
        app.window.resize(1440, 900)
        app.start()
        wait(lambda: app.state.model_ready)
        QTest.qWait(500)
        try:
            measure_all(app, engine, folder, first, second, Measurement(wanted))
        finally:
            app.close()
            app.window.close()
    application.quit()


def measure_all(
    app: Controller, engine: SimulatedEngine, folder: Path, first: Path, second: Path, measure: Measurement
) -> None:
    """Measure every action."""
    window, table, sound = app.window, app.window.captions.table, app.window.sound
    keys = QTest.keyClick

    def opened(path: Path) -> None:
        app.open_paths([path])
        wait(lambda: app.state.path == str(path) and app.state.can_play)

    measure("open an hour of sound", lambda: opened(first), 1500)

    def caption() -> None:
        engine.num_windows, app_captions = HOUR_S, window.controls.run_model
        app.change(num_captions=3)
        app_captions.click()
        wait(lambda: not app.state.captioning and app.state.has_captions)

    measure("caption 3,600 windows", caption)
    document = app.documents.open
    assert document is not None
    document.swap(document.rows, rows(str(first)))
    app._history.of(str(second)).rows = rows(str(second))
    QTest.qWait(2500)
    print(len(document.rows), "rows,", table.rows.rowCount(), "in the table")
    table.setFocus()
    measure("arrow down", lambda: keys(table, Qt.Key.Key_Down))
    measure("page down", lambda: keys(table, Qt.Key.Key_PageDown))
    measure("end of the list", lambda: keys(table, Qt.Key.Key_End))
    measure("home", lambda: keys(table, Qt.Key.Key_Home))
    measure("expand a row", lambda: keys(table, Qt.Key.Key_Right))
    measure("select all", lambda: keys(table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier))
    measure("deselect all", lambda: keys(table, Qt.Key.Key_Home))
    measure("shift end (extend selection)", lambda: keys(table, Qt.Key.Key_End, Qt.KeyboardModifier.ShiftModifier))
    measure("copy selected", window.captions.copy.click)
    measure("accept all", lambda: keys(table, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier), 2500)
    measure("undo accept", window.captions.undo.click, 2500)
    table.selectAll()
    measure("delete all", lambda: keys(table, Qt.Key.Key_Delete), 2500)
    measure("undo delete all", window.captions.undo.click, 2500)
    measure("redo delete all", window.captions.redo_clicked.emit, 2500)
    measure("undo delete all again", window.captions.undo.click, 2500)
    keys(table, Qt.Key.Key_Home)
    measure("delete one", lambda: keys(table, Qt.Key.Key_Delete), 2500)
    measure("undo delete one", window.captions.undo.click, 2500)
    for column in (2, 1, 0):
        measure(
            f"sort by column {column}", lambda column=column: table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
        )
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    measure("search", lambda: window.captions.search.setText("dog"))
    measure("search without a match", lambda: window.captions.search.setText("dog xyz"))
    measure("clear search", window.captions.search.clear)
    measure("threshold", lambda: window.captions.perhaps.setValue(60))
    measure("threshold step", window.captions.perhaps.stepUp)
    measure("expand all", table.expandAll)
    measure("collapse all", table.collapseAll)
    for theme in ("dark", "light"):
        measure(
            f"theme {theme}",
            lambda theme=theme: app.apply_settings(app.settings.__class__(**{**vars(app.settings), "theme": theme})),
        )
    measure(
        "locale",
        lambda: (
            QLocale.setDefault(QLocale("de_DE")),
            QApplication.sendEvent(window, QEvent(QEvent.Type.LocaleChange)),
        ),
    )
    measure("resize", lambda: window.resize(1200, 800))
    measure("resize back", lambda: window.resize(1440, 900))
    measure("zoom", lambda: wheel(sound.waveform, Qt.KeyboardModifier.NoModifier, 5))
    measure("pan", lambda: wheel(sound.waveform, Qt.KeyboardModifier.ShiftModifier))
    measure("scroll bar", lambda: sound.overview.bar.setValue(1_000_000))
    measure("show all", sound.show_all)
    measure("seek", lambda: sound._on_click(1800.0))
    measure("select a part", lambda: sound.select(100.0, 2000.0))
    measure("play", lambda: window.controls.play.click(), 3000)
    measure("pause", lambda: window.controls.play.click())
    sound.clear_region()
    for form in ("txt", "json", "srt", "audacity", "raven"):
        measure(f"export {form}", lambda form=form: app.export(folder / f"out.{form}", form, False), 1500)
    measure("open another hour", lambda: opened(second), 2500)
    measure("back to the first", lambda: opened(first), 2500)
    app.change(style="", method="beam")
    measure(
        "style change", lambda: app.apply_settings(app.settings.__class__(**{**vars(app.settings), "method": "greedy"}))
    )
    measure("tab live", lambda: window.tabs.show_tab(LIVE))
    measure("tab captions", lambda: window.tabs.show_tab(RECORDING))
    measure_lists(app, engine, folder, measure)


def measure_lists(app: Controller, engine: SimulatedEngine, folder: Path, measure: Measurement) -> None:
    """Measure the queue, the history and a listening session."""
    window = app.window
    sounds = folder / "sounds"
    sounds.mkdir()
    for number in range(NUM_FILES):
        soundfile.write(sounds / f"{number:04}.wav", np.zeros(800), 8000)
    engine.num_windows = 1
    measure("queue of 1,000 files", lambda: app.open_paths([sounds]), 1500)

    def caption_all() -> None:
        window.queue.run.click()
        QTest.qWait(3000)
        window.queue.cancel.click()

    measure("caption the queue", caption_all)
    measure("clear the queue", window.queue.clear.click)
    measure("undo clear", window.banner.action.click)
    history = app._history
    for number in range(NUM_ENTRIES):
        created = f"2020-01-{1 + number % 28:02}T12:00:00"
        entry = Document(f"key{number}", Kind.FILE, created, f"/x/{number}.wav", rows("x", 3))
        history.entries.append(history._adopt(entry))
    window.tabs.show_tab(RECORDING)
    measure("set 10,000 entries", lambda: window.history.set_entries(history.entries))
    measure("show the history", lambda: window.tabs.show_tab(HISTORY))
    measure("new entry in view", lambda: app.documents.keep(history.new(Kind.FILE, "/x/new.wav")))
    entry = history.entries[50]
    measure("delete an entry", lambda: app.past._delete(entry.key, False))
    measure("files tab", lambda: window.tabs.show_tab(FILES))
    window.controls.listen.click()
    wait(lambda: app.live.document is not None)
    live = app.live.document
    assert live is not None
    live.rows = rows("", NUM_LIVE)
    measure("a live caption after 10,000", lambda: live.grow(rows("", 1)[0], False), 1500)
    measure("large type", window.show_large)
    measure("stop listening", window.controls.listen.click, 2500)
    measure("search 10,000", lambda: window.captions.search.setText("dog"))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Work of the window's thread in long lists, in counts: times are printed by measure_stalls.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import SimulatedEngine, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.ui.actions import open_file
from ui.controllers.main import Controller
from ui.store import exports
from ui.store.documents import Row
from ui.widgets.caption_model import CaptionModel

NUM_ROWS = 3600


@pytest.fixture
def long(app: Controller, qtbot: QtBot, sound_file: Path) -> Controller:
    """The app with 3,600 captions open, two for each row."""
    open_file(qtbot, app, sound_file)
    assert app.documents.open is not None
    rows = [
        Row(CaptionRecord(str(sound_file), n, n + 1.0, tuple(ScoredCaption(f"dog {k} {n}", -1.0, 0.5) for k in (1, 2))))
        for n in range(NUM_ROWS)
    ]
    app.documents.open.swap((), rows)
    qtbot.wait(100)
    return app


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Calls that Qt makes of the model, by name."""
    counts = dict.fromkeys(("data", "index", "hasChildren", "flags"), 0)
    for name in counts:
        method = getattr(CaptionModel, name)

        def counted(*arguments: object, name: str = name, method: Callable[..., object] = method) -> object:
            counts[name] += 1
            return method(*arguments)

        monkeypatch.setattr(CaptionModel, name, counted)
    yield counts


def layouts(qtbot: QtBot, calls: dict[str, int], action: Callable[[], object]) -> float:
    """How many times all rows were laid out while an action was done."""
    calls.update(dict.fromkeys(calls, 0))
    action()
    qtbot.wait(50)
    return calls["hasChildren"] / NUM_ROWS


def test_rows_are_laid_out_few_times_and_their_texts_hardly_read(
    long: Controller, qtbot: QtBot, calls: dict[str, int]
) -> None:
    app, table = long, long.window.captions.table
    undo = app.window.captions.undo.click
    control = Qt.KeyboardModifier.ControlModifier
    actions: list[tuple[str, Callable[[], object], float, float]] = [  # most layouts and reads of a cell, for each row
        ("select all", lambda: qtbot.keyClick(table, Qt.Key.Key_A, control), 0.1, 0.5),
        ("accept all", lambda: qtbot.keyClick(table, Qt.Key.Key_Y, control), 2.1, 1.5),
        ("undo", undo, 2.1, 1.5),
        ("delete all", lambda: qtbot.keyClick(table, Qt.Key.Key_Delete), 2.1, 0.5),
        ("undo", undo, 4.1, 1.5),
        ("end", lambda: qtbot.keyClick(table, Qt.Key.Key_End), 2.1, 1.5),
        ("sort", lambda: table.sortByColumn(2, Qt.SortOrder.DescendingOrder), 2.1, 1.5),
        ("threshold", lambda: app.window.captions.perhaps.setValue(60), 2.1, 0.5),
        ("theme", lambda: app.apply_settings(app.settings.__class__(theme="dark")), 3.1, 0.5),
    ]
    for name, action, most_layouts, most_reads in actions:
        found = layouts(qtbot, calls, action)
        assert found <= most_layouts, (name, found)
        assert calls["data"] <= most_reads * NUM_ROWS, (name, calls["data"])


def test_a_change_of_the_theme_keeps_the_place_the_selection_and_what_is_expanded(
    long: Controller, qtbot: QtBot
) -> None:
    table = long.window.captions.table
    table.expand(table.rows.index(1000, 0))
    table.setCurrentIndex(table.rows.index(1005, 0))
    bar = table.verticalScrollBar()
    assert bar is not None
    bar.setValue(1003)
    long.apply_settings(long.settings.__class__(theme="dark"))
    qtbot.wait(50)
    assert bar.value() == 1003
    assert [row.record.start_s for row in table.selected()] == [1005]
    assert table.isExpanded(table.rows.index(1000, 0)) and table.rows.hasChildren()


def test_progress_of_a_queue_reads_the_captions_of_one_file(
    app: Controller, qtbot: QtBot, tmp_path: Path, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    summary = exports.summary
    monkeypatch.setattr(
        "ui.widgets.lists_panel.summary", lambda records: (read.append(len(records)), summary(records))[1]
    )
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        soundfile.write(folder / f"{number:02}.wav", chirp(0.2, 16000), 16000)
    app.open_paths([folder])
    qtbot.wait(50)
    read.clear()
    engine.num_windows = 1
    app.window.queue.run.click()
    qtbot.waitUntil(lambda: app.queue.files.working is None and not app.state.captioning, timeout=30000)
    assert len(read) < 40 * 8  # a few times for each file, not all files at each step of each

"""Files are written beside the window's thread, in order, and completely when the window closes."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import chirp
from ui.store.background import Background

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from pytestqt.qtbot import QtBot

from configs import atomic_files
from tests.ui.actions import click, open_file
from ui.controllers.main import Controller
from ui.store import history as history_module
from ui.store.documents import Row
from ui.widgets.caption_model import CaptionModel


def test_tasks_run_in_order_on_one_other_thread_and_all_before_the_end() -> None:
    background, done = Background(), []
    for number in range(100):
        background.run(lambda number=number: done.append((number, threading.current_thread())))
    background.close()
    assert [number for number, _ in done] == list(range(100))
    assert len({thread for _, thread in done}) == 1 and done[0][1] is not threading.current_thread()
    background.run(lambda: done.append((100, threading.current_thread())))
    assert done[-1] == (100, threading.current_thread())


def test_an_unforeseen_error_is_logged_and_later_tasks_run(caplog: pytest.LogCaptureFixture) -> None:
    background, done = Background(), []
    with caplog.at_level(logging.ERROR):
        background.run(lambda: {}["nothing"])
        background.run(lambda: done.append(1))
        background.close()
    assert done == [1] and "could not be written" in caplog.text and "KeyError" in caplog.text


def test_no_file_of_history_or_settings_is_written_on_the_windows_thread(
    make_app: Callable[[], Controller], qtbot: QtBot, sound_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes its time keeps neither the window waiting nor anything from being written."""
    writers: set[threading.Thread] = set()
    slow = threading.Event()
    write = atomic_files.write_file

    def write_slowly(path: Path, content: str) -> None:
        writers.add(threading.current_thread())
        slow.wait(30)
        write(path, content)

    monkeypatch.setattr(history_module, "write_file", write_slowly)
    app = make_app()
    qtbot.waitUntil(lambda: app.state.model_ready)
    for name in ("one", "two"):
        soundfile.write(tmp_path / f"{name}.wav", chirp(2.0, 16000), 16000)
        open_file(qtbot, app, tmp_path / f"{name}.wav")
        click(qtbot, app.window.controls.run_model)
        qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    app.window.controls.meter.setValue(-44)
    qtbot.waitUntil(lambda: bool(writers))
    assert list((tmp_path / "history").glob("*.json")) == []  # and yet the window has done all of this
    slow.set()
    app.window.close()
    assert threading.current_thread() not in writers and len(list((tmp_path / "history").glob("*.json"))) == 2
    again = make_app()
    assert [entry.name for entry in again._history.entries] == ["two.wav", "one.wav"]
    assert again.window.controls.meter.value() == -44


def test_changes_of_a_setting_in_quick_succession_are_written_once(
    app: Controller, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    app._writing.flush()
    written: list[float] = []
    blocked = threading.Event()
    app._writing.run(lambda: blocked.wait(30) and None)
    write = app._store._write_newest
    monkeypatch.setattr(app._store, "_write_newest", lambda: (written.append(1.0), write()))
    for value in range(-70, -20):  # as when the threshold is dragged
        app.window.controls.meter.setValue(value)
    blocked.set()
    app._writing.flush()
    assert len(written) == 1 and app._store.read().silence_db == -21.0


def test_work_per_change_is_bounded_by_what_is_shown(
    app: Controller, qtbot: QtBot, sound_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts of cells that Qt asks for, in lists of thousands of captions: each call of `data` or `index` is Python's."""
    calls = [0]
    for name in ("data", "index"):
        method = getattr(CaptionModel, name)

        def counted(*arguments: object, method: Callable[..., object] = method) -> object:
            calls[0] += 1
            return method(*arguments)

        monkeypatch.setattr(CaptionModel, name, counted)

    def count(action: Callable[[], object]) -> int:
        calls[0] = 0
        action()
        qtbot.wait(100)
        return calls[0]

    def caption(number: int) -> Row:
        return Row(CaptionRecord("x", float(number), number + 1.0, (ScoredCaption(f"a dog {number}", -1.0, 0.5),)))

    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.live.document is not None)
    document = app.live.document
    document.rows = [caption(number) for number in range(8000)]
    document.grow(caption(8000), False)
    table = app.window.captions.table
    assert table.rows.rowCount() <= 1000 and "of 8" in app.window.captions.name.text()
    assert count(lambda: document.grow(caption(8001), False)) < 12_000
    app.window.captions.search.setText("dog 77")
    assert [row.record.caption for row in table.rows.shown][:1] == ["a dog 77"]  # a search covers all
    app.window.captions.search.clear()
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: table.rows.rowCount() >= 8002)
    assert count(lambda: app.window.captions.perhaps.setValue(60)) < 5 * 8002

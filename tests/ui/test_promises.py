"""What the window promises beyond single controls: the queue is followed, blocks fade, captions come back after a restart."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, open_file, rows
from ui.controllers.main import Controller
from ui.store.documents import Row
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import Listening
from ui.widgets.theme import LIGHT
from ui.widgets.timeline_strip import TimelineStrip


def test_the_list_of_files_follows_the_work(
    app: Controller, qtbot: QtBot, tmp_path: Path, engine: SimulatedEngine
) -> None:
    for number in range(60):
        soundfile.write(tmp_path / f"{number:02}.wav", chirp(0.1, 8000), 8000)
    engine.step_s = 0.001
    app.open_paths([tmp_path])
    files, items = app.window.queue.files, app.queue.files.items
    room = files.viewport().rect()
    assert not room.intersects(files.visualItemRect(files.topLevelItem(59)))
    click(qtbot, app.window.queue.run)
    qtbot.waitUntil(lambda: items[58].share > 0 and not app.state.captioning, timeout=30000)
    assert room.intersects(files.visualItemRect(files.topLevelItem(59)))


def test_blocks_fade_with_the_probability(qtbot: QtBot) -> None:
    strip = TimelineStrip(0, 0)
    qtbot.addWidget(strip)
    strip.set_colours(LIGHT)
    strip.resize(600, 34)
    strip.set_range(0.0, 3.0)
    strip.set_position(-1.0)
    shares = (0.9, 0.5, 0.2)
    records = [CaptionRecord("x", n, n + 1.0, (ScoredCaption("a", -1.0, share),)) for n, share in enumerate(shares)]
    strip.set_rows([Row(record) for record in records], 0.0)
    picture = strip.grab().toImage()
    strengths = [255 - QColor(picture.pixel(200 * n + 150, 17)).red() for n in range(3)]
    assert strengths[0] > strengths[1] > strengths[2] > 0


def test_captions_come_back_when_a_recording_is_opened_after_a_restart(
    make_app: Callable[[], Controller], qtbot: QtBot, sound_file: Path
) -> None:
    first = make_app()
    qtbot.waitUntil(lambda: first.state.model_ready)
    open_file(qtbot, first, sound_file)
    click(qtbot, first.window.controls.run_model)
    qtbot.waitUntil(lambda: first.state.has_captions and not first.state.captioning)
    before = rows(first)
    first.window.close()
    again = make_app()
    open_file(qtbot, again, sound_file)
    assert rows(again) == before
    assert [row[0] for row in before] == [before[0][0], "2.", "3."]  # ranks in order
    shares = [float(re.sub(r"[^\d.]", "", row[2])) for row in before]
    assert shares == sorted(shares, reverse=True)


def test_rows_of_a_listening_have_the_times_of_its_axis(
    app: Controller, qtbot: QtBot, system: SimulatedSystem, engine: SimulatedEngine
) -> None:
    system.waveform = chirp(20.0, 48000)
    app.change(live_window_s=1.0, live_hop_s=0.5, alert_words="dog")
    engine.live_text = lambda waveform: "a dog barks"
    app.window.show_large()
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: bool(captions(app)))
    assert rows(app)[0][0].startswith("00:00")
    tip = app.window.captions.table.rows.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert re.search(r"heard at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", tip)  # the clock's time
    qtbot.waitUntil(lambda: app.window.large.is_flashing, timeout=2000)  # an alert word
    click(qtbot, app.window.controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_presets_are_in_plain_words(app: Controller, qtbot: QtBot) -> None:
    dialog = SettingsDialog(app.settings, "", app.window, ("audiocaps", "clotho"))
    qtbot.addWidget(dialog)
    methods = [dialog.method.itemText(place) for place in range(dialog.method.count())]
    assert [text.split(" (")[0] for text in methods] == ["the checkpoint's method", "careful", "fastest", "varied"]
    styles = [dialog.style_choice.itemText(place) for place in range(dialog.style_choice.count())]
    assert [text.split(" (")[0] for text in styles] == [
        "as the checkpoint has it",
        "short sentences",
        "longer sentences",
    ]


@pytest.mark.parametrize("form", ["audacity", "raven", "srt", "txt"])
def test_an_export_is_named_after_the_recording_and_repeats_no_path(
    app: Controller, qtbot: QtBot, sound_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from PyQt6.QtWidgets import QFileDialog

    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    proposed: list[str] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **o: (proposed.append(a[2]), ("", ""))[1])
    click(qtbot, app.window.captions.export)
    assert Path(proposed[0]).name == "chirp.txt" and Path(proposed[0]).parent == sound_file.parent
    app.export(tmp_path / "out", form, False)
    app._writing.flush()
    text = next(tmp_path.glob("out*")).read_text()
    assert "chirp 0 caption 1" in text and text.count(str(sound_file)) <= 1
    click(qtbot, app.window.captions.copy)

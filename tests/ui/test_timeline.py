"""Waveform, captions, spectrogram and overview share one time axis, and show what is there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.caption_formats import CaptionRecord, ScoredCaption
from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp, wait_for
from ui.sound.decoded import PCM_RATE_HZ, decode
from ui.sound.player import Player

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from tests.ui.actions import captions, click, open_file
from ui.controllers.main import Controller
from ui.store.documents import Kind, Row
from ui.widgets.state import Listening
from ui.widgets.time_axis import TimeAxis, clock_text
from ui.widgets.timeline_strip import TimelineStrip


@pytest.fixture
def timeline(app: Controller, qtbot: QtBot, sound_file: Path, engine: SimulatedEngine) -> Controller:
    """Ten seconds with five captions."""
    soundfile.write(sound_file, chirp(10.0, 16000), 16000)
    engine.num_windows = 5
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: len(app.documents.open.rows) == 5 and not app.state.captioning)
    return app


def test_all_parts_show_the_same_span(timeline: Controller, qtbot: QtBot) -> None:
    sound = timeline.window.sound
    sound._box.setXRange(2.0, 5.0, padding=0)  # as the wheel does
    qtbot.wait(80)
    assert sound._lower_box.viewRange()[0] == pytest.approx([2.0, 5.0], abs=0.1)
    assert sound.timeline._range == pytest.approx((2.0, 5.0), abs=0.1)
    assert sound.overview.outline.range == pytest.approx((2.0, 5.0), abs=0.1)
    sound.overview.bar.setValue(6000)
    assert sound._box.viewRange()[0] == pytest.approx([6.0, 9.0], abs=0.1)
    outline = sound.overview.outline
    qtbot.mouseClick(outline, Qt.MouseButton.LeftButton, pos=QPoint(round(outline._x(1.6)), 10))
    assert sound._box.viewRange()[0] == pytest.approx([0.1, 3.1], abs=0.15)


def test_row_span_and_play_head_follow_each_other(timeline: Controller, qtbot: QtBot) -> None:
    sound, table = timeline.window.sound, timeline.window.captions.table
    qtbot.mouseClick(sound.timeline, Qt.MouseButton.LeftButton, pos=QPoint(round(sound.timeline._x(5.0)), 15))
    qtbot.waitUntil(lambda: sound.heads[0].value() == pytest.approx(4.0, abs=0.05))
    assert [row.record.start_s for row in table.selected()] == [4.0]
    sound._box.setXRange(0.0, 2.0, padding=0)
    table.setCurrentIndex(table.rows.index(4, 1))
    qtbot.waitUntil(lambda: sound.heads[0].value() == pytest.approx(8.0, abs=0.05))
    assert sound._box.viewRange()[0][0] <= 8.0 <= sound._box.viewRange()[0][1]
    timeline.sound._seek.emit(0.5)
    qtbot.waitUntil(lambda: sound.heads[0].value() == pytest.approx(0.5, abs=0.05))
    click(qtbot, timeline.window.controls.play)
    qtbot.waitUntil(lambda: [row.record.start_s for row in table.selected()] == [0.0])
    qtbot.waitUntil(lambda: [row.record.start_s for row in table.selected()] == [2.0])  # as it is heard
    click(qtbot, timeline.window.controls.play)


def test_space_plays_the_selection_again_and_again_and_a_click_deselects(timeline: Controller, qtbot: QtBot) -> None:
    sound = timeline.window.sound
    sound.select(4.0, 4.4)
    qtbot.waitUntil(lambda: timeline.state.has_region)
    qtbot.keyClick(sound, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: timeline.state.playing)
    qtbot.wait(700)
    assert timeline.state.playing and 3.8 <= sound.heads[0].value() <= 4.4
    qtbot.keyClick(sound, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: not timeline.state.playing)
    sound._on_click(1.0)
    assert not timeline.state.has_region
    qtbot.waitUntil(lambda: sound.heads[0].value() == pytest.approx(1.0, abs=0.01))
    sound.setFocus()
    qtbot.keyClick(sound, Qt.Key.Key_BracketLeft)  # from here
    assert timeline.sound.region == pytest.approx((1.0, 10.0), abs=0.1)
    bar = timeline.window.controls.progress
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(bar.width() // 2, 5))
    qtbot.waitUntil(lambda: bar.value() == pytest.approx(50, abs=1))


def test_a_loop_plays_its_samples_only() -> None:
    system = SimulatedSystem(speed=5.0)
    player = Player(system.open_output, lambda message: None)
    samples = np.arange(PCM_RATE_HZ, dtype=np.int16)
    player.load(samples, PCM_RATE_HZ)
    player.set_loop((0.25, 0.5))
    player.play()
    wait_for(lambda: sum(map(len, system.outputs_made[0].played)) > 30000)
    player.pause()
    played = np.round(np.concatenate(system.outputs_made[0].played) * 32768).astype(int)
    assert played[0] == 12000 and played.min() == 12000 and played.max() == 23999
    assert set(np.diff(played)) == {1, -11999}


def test_time_axes_are_in_minutes_and_seconds() -> None:
    assert [clock_text(value, 10) for value in (0, 70, 3670)] == ["0:00", "1:10", "1:01:10"]
    assert clock_text(61.25, 0.05) == "1:01.25" and clock_text(0.5, 0.5) == "0:00.5"
    axis = TimeAxis()
    assert axis.tickSpacing(0, 3600, 900)[0][0] == 600 and axis.tickSpacing(0, 1, 900)[0][0] == pytest.approx(0.1)


def test_an_hour_of_captions_is_painted_in_groups_that_can_be_read(qtbot: QtBot) -> None:
    strip = TimelineStrip(0, 0)
    qtbot.addWidget(strip)
    strip.resize(800, 34)
    texts = ["waves crash"] * 200 + ["a dog barks"] * 160
    strip.set_rows(
        [
            Row(CaptionRecord("a", 10.0 * n, 10.0 * n + 10, (ScoredCaption(text, -1.0, 0.5),)))
            for n, text in enumerate(texts)
        ],
        0.0,
    )
    strip.set_range(0.0, 3600.0)
    blocks = strip.blocks()
    assert 6 <= len(blocks) <= 12 and all(block.right - block.left > 60 for block in blocks[:-1])
    assert sum(len(block.rows) for block in blocks) == 360
    assert blocks[0].commonest.record.caption == "waves crash" and blocks[-1].commonest.record.caption == "a dog barks"
    strip.set_range(0.0, 60.0)
    assert [len(block.rows) for block in strip.blocks()] == [1] * 6


def test_silence_is_drawn_as_nothing_and_high_sounds_are_in_the_picture(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(48000), 48000)
    time_s = np.arange(48000) / 48000
    soundfile.write(tmp_path / "high.wav", 0.5 * np.sin(2 * np.pi * 18000 * time_s), 48000)
    silence, high = (
        decode(tmp_path / name, tmp_path / "sound.pcm", lambda share: None, lambda: False)
        for name in ("silence.wav", "high.wav")
    )
    assert silence is not None and silence.spectrogram.max() == 0
    assert high is not None and 18000 < high.highest_hz <= 24000
    loudest = high.spectrogram[20].argmax() / high.spectrogram.shape[1] * high.highest_hz
    assert loudest == pytest.approx(18000, abs=50)


def test_a_pause_is_heard_by_nobody_and_joins_nothing(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 20), 4.0
    app.change(live_window_s=1.0, live_hop_s=1.0)
    controls = app.window.controls
    click(qtbot, controls.listen)
    qtbot.waitUntil(lambda: "a dog barks" in captions(app))
    click(qtbot, controls.listen_pause)
    qtbot.wait(200)
    drawn, level = app.window.sound.sound.duration_s, controls.meter._peak_db
    qtbot.wait(400)
    assert app.window.sound.sound.duration_s == drawn and level == controls.meter._peak_db == -90
    before = len(app.live.document.rows)
    click(qtbot, controls.listen_pause)
    qtbot.waitUntil(lambda: len(app.live.document.rows) > before)  # the same words, but a row of its own
    first, second = app.live.document.rows[before - 1], app.live.document.rows[before]
    assert second.record.start_s >= first.record.end_s - 0.01
    click(qtbot, controls.listen)
    qtbot.waitUntil(lambda: app.state.listening is Listening.OFF)


def test_large_type_says_when_it_does_not_listen(
    app: Controller, qtbot: QtBot, engine: SimulatedEngine, system: SimulatedSystem
) -> None:
    system.waveform, system.speed = np.concatenate([chirp(2.0, 48000)] * 20), 4.0
    app.change(live_window_s=1.0, live_hop_s=1.0)
    app.window.show_large()
    large = app.window.large
    assert "NOT LISTENING" in large.caption.text() and "Ctrl+L" in large.state.text()
    large.activateWindow()
    qtbot.waitUntil(large.isActiveWindow)
    qtbot.keyClick(large, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: large.caption.text() == "a dog barks")
    system.inputs_made[0].lose()
    qtbot.waitUntil(lambda: "NOT LISTENING" in large.caption.text())
    assert large.before.text().endswith("a dog barks") and large.caption.font().pixelSize() > 20
    qtbot.keyClick(large, Qt.Key.Key_F11)
    assert large.isFullScreen()
    qtbot.keyClick(large, Qt.Key.Key_Escape)
    assert not large.isFullScreen() and large.isVisible()
    large.close()
    assert app.documents.live is not None and app.documents.live.kind is Kind.LIVE

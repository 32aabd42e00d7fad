"""The window's parts, files, playback, recording and access, with simulated devices and captioner."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.ui.simulated import SimulatedSystem, chirp

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QEvent, QPoint, QPointF, Qt, QThread, QUrl
from PyQt6.QtGui import QColor, QImage, QKeyEvent, QKeySequence, QMouseEvent
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QFileDialog,
    QGraphicsView,
    QLabel,
    QLineEdit,
    QSplitter,
    QTabBar,
    QWidget,
)
from pytestqt.qtbot import QtBot

from tests.ui.actions import click, drop, open_file, record, rows
from ui.controllers.main import Controller
from ui.sound.devices import InputDevice
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import Recording
from ui.widgets.tall_dialog import TextDialog
from ui.widgets.theme import colours_of


def test_the_window_has_the_seeds_parts_under_their_labels(app: Controller) -> None:
    window, controls = app.window, app.window.controls
    assert window.windowTitle() == "Audio Caption Interface"
    assert isinstance(window.splitter, QSplitter) and window.splitter.orientation() is Qt.Orientation.Horizontal
    labels = {label.text() for label in window.findChildren(QLabel)}
    assert labels >= {
        "Audio Path:", "Image:", "Number of Predictions:", "Model Predictions:", "Live Environment Sound Captions:",
        "Audio Waveform",
    }  # fmt: skip
    buttons = {button.text() for button in window.findChildren(QAbstractButton)}
    assert buttons >= {"Record Audio", "Play Audio", "Run Model Prediction", "Run Live Prediction"}
    assert controls.path.isReadOnly() and controls.num_captions.value() == 3
    picture = controls.picture.pixmap().toImage()
    assert {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())} >= {
        "#2f5fd9"
    }


def test_the_window_is_resizable(app: Controller, qtbot: QtBot) -> None:
    for width, height in ((900, 640), (1600, 1000)):
        app.window.resize(width, height)
        qtbot.wait(20)
        assert abs(app.window.width() - width) < 80 and app.window.sound.waveform.width() > 300
        assert app.window.captions.table.columnWidth(1) >= 200
    app.window.splitter.setSizes([500, 400])
    assert app.window.controls.width() == pytest.approx(500, abs=200)


def test_a_file_chosen_in_the_dialog_fills_path_waveform_and_spectrogram(
    app: Controller, qtbot: QtBot, sound_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def dialog(*arguments: object, filter: str, options: object) -> tuple[list[str], str]:
        asked.append(filter)
        return [str(sound_file)], ""

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", dialog)
    click(qtbot, app.window.controls.open)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert all(f"*.{form}" in asked[0] for form in ("wav", "mp3", "flac", "ogg", "m4a"))
    assert app.window.controls.path.text() == str(sound_file)
    sound = app.window.sound
    qtbot.waitUntil(lambda: sound.curve.getData()[0] is not None and len(sound.curve.getData()[0]) > 100)
    times, amplitudes = sound.curve.getData()
    assert times[-1] == pytest.approx(2.0, abs=0.05) and np.abs(amplitudes).max() == pytest.approx(0.5, abs=0.02)
    assert sound.image.image.shape[1] == round(sound.sound.highest_hz / 48000 * 2048)
    assert sound.waveform.getAxis("left").labelText == "amplitude"


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg", "m4a"])
def test_a_dropped_file_is_opened(app: Controller, qtbot: QtBot, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dropped sound.{suffix}"
    if suffix == "m4a":
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(chirp(1.0, 16000)[None], format="fltp", layout="mono")
            frame.sample_rate = 16000
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
    else:
        soundfile.write(path, chirp(1.0, 16000), 16000)
    assert drop(app.window, QUrl.fromLocalFile(str(path)))
    qtbot.waitUntil(lambda: app.state.can_play)
    assert app.window.controls.path.text() == str(path) and not app.window.banner.isVisible()


def test_what_cannot_be_opened_is_reported_plainly(app: Controller, qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty").mkdir()
    drop(app.window, QUrl.fromLocalFile(str(tmp_path / "text.wav")))
    qtbot.waitUntil(app.window.banner.isVisible)
    assert "text.wav" in app.window.banner.text.text()
    assert app.state.path == "" and app.window.controls.path.text() == ""
    drop(app.window, QUrl("https://example.org/sound.wav"))
    assert "Only files on this machine" in app.window.banner.text.text()
    drop(app.window, QUrl.fromLocalFile(str(tmp_path / "empty")))
    assert "contains no audio files" in app.window.banner.text.text()
    click(qtbot, app.window.banner.close_button)
    assert not app.window.banner.isVisible()


def test_play_pause_progress_seek_and_end(
    app: Controller, qtbot: QtBot, sound_file: Path, system: SimulatedSystem
) -> None:
    open_file(qtbot, app, sound_file)
    controls = app.window.controls
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: 10 < controls.progress.value() < 60)
    assert controls.play.text() == "Pause Audio" and controls.progress.text() == f"{controls.progress.value()} %"
    assert app.window.sound.heads[0].value() > 0.2
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: not app.state.playing)
    stopped_at = controls.progress.value()
    qtbot.wait(200)
    assert controls.progress.value() == stopped_at and controls.play.text() == "Play Audio"
    app.window.sound._on_click(1.7)  # as the plot tells a click at 1.7 s
    qtbot.waitUntil(lambda: controls.progress.value() == 85)
    click(qtbot, controls.play)
    qtbot.waitUntil(lambda: app.state.playing)
    qtbot.waitUntil(lambda: not app.state.playing)
    assert controls.progress.value() == 100 and controls.play_time.text() == "00:02 / 00:02"
    assert len(np.concatenate(system.outputs_made[-1].played)) == pytest.approx(0.3 * 48000, abs=2000)


def test_recording_is_timed_drawn_saved_and_opened(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    controls = app.window.controls
    assert controls.record.property("primary")  # what to press first
    click(qtbot, controls.record)
    assert controls.record.text() == "Stop Recording" and not controls.record.isEnabled()  # until the device answers
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    qtbot.waitUntil(lambda: controls.timer.text() == "00:01")
    drawn = len(app.window.sound.curve.getData()[0])
    qtbot.waitUntil(lambda: len(app.window.sound.curve.getData()[0]) > drawn)  # it moves
    assert app.window.controls.meter._peak_db > -10
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.can_play)
    path = Path(app.sound.last_recording)
    assert controls.path.text() == str(path) and path.name in controls.saved.text()
    assert controls.saved.toolTip() == str(path)
    samples, rate = soundfile.read(path)
    assert rate == 48000  # the device's own
    np.testing.assert_allclose(samples[:48000], chirp(3.0, 48000)[:48000], atol=2e-4)
    assert controls.record.text() == "Record Audio"


def test_pause_and_resume_a_recording(app: Controller, qtbot: QtBot) -> None:
    controls = app.window.controls
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    click(qtbot, controls.pause)
    assert controls.pause.text() == "Resume"
    qtbot.wait(150)
    paused_at = app.window.sound.sound.duration_s
    qtbot.wait(300)
    assert app.window.sound.sound.duration_s == paused_at and controls.meter._peak_db == -90
    click(qtbot, controls.pause)
    qtbot.waitUntil(lambda: app.window.sound.sound.duration_s > paused_at)
    click(qtbot, controls.record)
    qtbot.waitUntil(lambda: app.state.can_play)
    assert controls.pause.text() == "Pause" and not controls.pause.isEnabled()


def test_devices_are_listed_chosen_and_renewed(app: Controller, qtbot: QtBot, system: SimulatedSystem) -> None:
    box: QComboBox = app.window.controls.devices
    qtbot.waitUntil(lambda: box.count() == 3)
    box.setCurrentIndex(2)
    box.activated.emit(2)
    assert app.settings.input_device == "USB"
    system.devices = system.devices[:2]  # it was pulled out
    box.opening.emit()
    qtbot.waitUntil(lambda: box.itemText(box.count() - 1) == "USB (not connected)")
    system.devices.append(type(system.devices[0])("Headset", "Headset"))
    box.opening.emit()
    qtbot.waitUntil(lambda: box.findText("Headset") >= 0)
    record(qtbot, app, 0.2)
    assert system.opened == ["USB"]


def test_the_log_folds_away(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    assert not app.window.log.isVisible()
    click(qtbot, app.window.log_button)
    assert app.window.log.isVisible() and "Loaded" in app.window.log.toPlainText()
    open_file(qtbot, app, sound_file)
    click(qtbot, app.window.controls.run_model)
    qtbot.waitUntil(lambda: "chirp.wav: chirp 0 caption 1" in app.window.log.toPlainText())
    click(qtbot, app.window.log_button)
    assert not app.window.log.isVisible()


def ancestors(widget: QWidget) -> Iterator[QWidget]:
    owner = widget.parentWidget()
    while owner is not None:
        yield owner
        owner = owner.parentWidget()


def test_every_control_has_a_name_a_tooltip_and_a_place_in_the_tab_order(app: Controller, qtbot: QtBot) -> None:
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    for part in app.window.findChildren(QWidget):
        inside_another = any(isinstance(owner, QComboBox | QTabBar) for owner in ancestors(part))
        internal = part.objectName().startswith("qt_") or inside_another
        if not internal and (isinstance(part, kinds) or part.focusPolicy() & Qt.FocusPolicy.TabFocus):
            owner = part.parent()
            named = part.accessibleName() or (isinstance(owner, QWidget) and owner.accessibleName())
            assert named, part
            if isinstance(part, kinds) and part.accessibleName():
                assert part.toolTip(), part
    order, widget = [], app.window.controls.path
    controls = app.window.controls
    for _ in range(200):
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [controls.path, controls.open, controls.devices, controls.meter, controls.record, controls.run_model]
    assert [order.index(part) for part in wanted] == sorted(order.index(part) for part in wanted)


def test_shortcuts_do_what_the_buttons_do(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    keys = [shortcut for _, shortcut in app.window.shortcuts]
    assert len(keys) == len(set(keys)) >= 15
    open_file(qtbot, app, sound_file)
    qtbot.keyClick(app.window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: len(rows(app)) == 3)
    qtbot.keyClick(app.window, Qt.Key.Key_Space, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.playing)
    qtbot.keyClick(app.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON and not app.state.playing)
    qtbot.keyClick(app.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: app.state.recording is Recording.OFF and app.state.can_play)
    event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier)
    before = app.window.sound.heads[0].value()
    app.window.sound.keyPressEvent(event)
    qtbot.waitUntil(lambda: app.window.sound.heads[0].value() > before)


def test_every_shortcut_stands_on_its_button_and_in_the_help(app: Controller, monkeypatch: pytest.MonkeyPatch) -> None:
    window = app.window
    bound = {QKeySequence(keys).toString(): name for name, keys in window.shortcuts}
    told = {}
    for part in window.findChildren(QAbstractButton):
        found = re.search(r"\((\w+(\+\w+)*)\)$", part.toolTip())
        if found is not None and part.isVisible():
            told[found.group(1)] = part.text()
    told.pop("Esc", None)  # shown while something is captioned
    assert len(told) >= 10 and told.keys() <= bound.keys(), told.keys() - bound.keys()
    shown: list[str] = []
    monkeypatch.setattr(TextDialog, "exec", lambda dialog: shown.append(dialog.text.text()))
    window._show_shortcuts()
    assert all(keys in shown[0] for keys in (*bound, "F2", "Ctrl+Y", "Del", "Ctrl+Shift+A", "Space", "Home, End"))


def test_the_tab_key_reaches_every_control_from_top_to_bottom(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    window = app.window
    window.fold_log(False)
    open_file(qtbot, app, sound_file)
    click(qtbot, window.controls.run_model)
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    window.activateWindow()
    window.controls.path.setFocus()
    reached: list[QWidget] = []
    while (part := QApplication.focusWidget()) is not None and part not in reached:
        reached.append(part)
        qtbot.keyClick(part, Qt.Key.Key_Tab)
    wanted = [
        part
        for part in window.findChildren(QWidget)
        if part.isVisible() and part.isEnabled() and part.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not part.objectName().startswith("qt_") and part.focusProxy() is None and not isinstance(part, QGraphicsView)
    ]  # fmt: skip
    assert [part for part in wanted if part not in reached] == []
    left = [part for part in reached if window.controls.isAncestorOf(part)]
    assert len(left) >= 7
    places = [part.mapTo(window, part.rect().center()) for part in left]
    assert [place.y() // 40 for place in places] == sorted(place.y() // 40 for place in places)
    assert left == reached[: len(left)] and reached[len(left)] is window.sound


def test_every_control_shows_that_it_has_the_focus(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    """The picture of the window around a control changes when it gets the focus, by more than a text cursor."""
    window = app.window
    open_file(qtbot, app, sound_file)
    click(qtbot, window.controls.run_model)
    qtbot.waitUntil(lambda: app.state.has_captions and not app.state.captioning)
    window.activateWindow()
    window.controls.record.setFocus()
    seen: list[QWidget] = []
    while (part := QApplication.focusWidget()) is not None and part not in seen:
        seen.append(part)
        qtbot.wait(20)
        focused = pixels(part)
        window.log_button.setFocus() if part is not window.log_button else window.controls.record.setFocus()
        qtbot.wait(20)
        changed = int((focused != pixels(part)).any(axis=-1).sum())
        part.setFocus()
        assert changed >= 40, (type(part).__name__, part.accessibleName(), changed)
        qtbot.keyClick(part, Qt.Key.Key_Tab)
    assert len(seen) >= 14 and window.sound in seen and window.tabs.bar in seen and window.controls.progress in seen


def pixels(part: QWidget) -> np.ndarray:
    """Colours of a widget's picture, (height, width, 4)."""
    image = part.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    bits = image.constBits()
    assert bits is not None
    bits.setsize(image.sizeInBytes())
    return np.frombuffer(bytes(bits), np.uint8).reshape(image.height(), image.width(), 4)


def test_other_windows_name_their_controls_too(app: Controller, qtbot: QtBot) -> None:
    dialog = SettingsDialog(app.settings, "mobilenet on cpu", app.window)
    qtbot.addWidget(dialog)
    earlier = app.window.large.before  # which says nothing until something was heard
    for part in (*dialog.findChildren(QWidget), *app.window.large.findChildren(QLabel)):
        inner = part.objectName().startswith("qt_") or any(isinstance(owner, QComboBox) for owner in ancestors(part))
        if not inner and (part.focusPolicy() & Qt.FocusPolicy.TabFocus or part.parentWidget() is app.window.large):
            named = part.accessibleName() or (
                isinstance(part, QAbstractButton | QLabel) and (part.text() or part is earlier)
            )
            assert named, part


def test_texts_are_read_as_they_are_and_a_message_names_its_banner(app: Controller, qtbot: QtBot) -> None:
    """A name of its own would be read in place of a text: a label's accessible name is its text as long as none is set."""
    app.window.show_message("The microphone was lost.")
    for label in (*app.window.findChildren(QLabel), *app.window.large.findChildren(QLabel)):
        assert not (label.text() and label.accessibleName()), label.text()
    assert app.window.banner.accessibleName() == "The microphone was lost."


def test_devices_that_come_and_go_are_noticed_without_a_click(
    app: Controller, qtbot: QtBot, system: SimulatedSystem
) -> None:
    box = app.window.controls.devices
    app.window.activateWindow()
    app.sound._devices_timer.setInterval(30)
    qtbot.waitUntil(lambda: box.count() == 3)
    system.devices.append(InputDevice("Headset", "Headset"))
    qtbot.waitUntil(lambda: box.findText("Headset") >= 0)
    del system.devices[:]
    qtbot.waitUntil(lambda: box.itemText(0) == "No microphone found")


def test_the_meter_shows_level_and_threshold(app: Controller, qtbot: QtBot) -> None:
    meter = app.window.controls.meter
    meter.set_threshold(-40.0)
    meter.set_level(-20.0, -60.0)
    picture = meter.grab().toImage()

    def colour(level_db: float, above: int = 0) -> str:
        return picture.pixelColor(round(meter._x(level_db)), round(meter._bar().center().y()) - above).name()

    line, peak, loudness, nothing = colour(-40.0, 8), colour(-25.0), colour(-75.0), colour(-10.0)
    text = QColor(colours_of(app.settings.theme).text).getRgb()
    assert np.allclose(QColor(line).getRgb(), text, atol=30)  # above the bar stands a line, where the threshold is
    assert colour(-41.5, 8) != line and colour(-38.5, 8) != line
    assert len({peak, loudness, nothing, line}) == 4
    assert "-40" in meter.accessibleDescription() or "-40" in meter.toolTip() or "-40" in meter.accessibleName()


def test_workers_live_on_other_threads_and_drawing_on_the_windows(
    app: Controller, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, here = app._workers, QThread.currentThread()
    for worker in (workers.captioning, workers.microphone, workers.devices, workers.decoding, workers.playback):
        assert worker.thread() is not here
    drawn_by: list[bool] = []
    grow = app.window.sound.grow
    draw = lambda: (drawn_by.append(QThread.currentThread() is here), grow())  # noqa: E731 - one use
    monkeypatch.setattr(app.window.sound, "grow", draw)
    record(qtbot, app, 0.3)
    assert drawn_by and all(drawn_by)


def test_a_file_dropped_during_a_recording_does_not_disturb_it(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.recording is Recording.ON)
    drop(app.window, QUrl.fromLocalFile(str(sound_file)))
    qtbot.waitUntil(lambda: app.state.can_play)
    assert app.state.path == str(sound_file) and app.window.sound.sound.duration_s == pytest.approx(2.0, abs=0.1)
    qtbot.wait(200)
    click(qtbot, app.window.controls.record)
    qtbot.waitUntil(lambda: app.state.path == app.sound.last_recording != "")
    assert soundfile.info(app.sound.last_recording).duration > 0.1


def test_the_mouse_seeks_selects_zooms_and_lets_go(app: Controller, qtbot: QtBot, sound_file: Path) -> None:
    open_file(qtbot, app, sound_file)
    sound = app.window.sound
    qtbot.wait(100)
    viewport = sound.waveform.viewport()

    def place(seconds: float) -> QPoint:
        return sound.waveform.mapFromScene(sound._box.mapViewToScene(QPointF(seconds, 0.0)))

    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=place(1.0))
    qtbot.waitUntil(lambda: app.window.controls.progress.value() == 50)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=place(0.4))
    for step in range(1, 11):
        event = QMouseEvent(
            QEvent.Type.MouseMove, QPointF(place(0.4 + 0.08 * step)), QPointF(place(0.4 + 0.08 * step)),
            Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier,
        )  # fmt: skip
        QApplication.sendEvent(viewport, event)
        qtbot.wait(15)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=place(1.2))
    qtbot.waitUntil(lambda: app.state.has_region)
    assert app.sound.region == pytest.approx((0.4, 1.2), abs=0.1)
    sound._box.setXRange(0.5, 0.7, padding=0)  # as the wheel does
    qtbot.waitUntil(lambda: sound.curve.getData()[0].max() < 0.8)  # drawn anew, finer
    assert np.diff(np.unique(sound.curve.getData()[0])).min() < 0.001
    qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=place(0.6))
    qtbot.waitUntil(lambda: not app.state.has_region)
    assert sound._box.viewRange()[0][1] == pytest.approx(2.0, abs=0.1)

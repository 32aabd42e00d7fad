"""Settings are kept, shown, changed and mended."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from tests.ui.simulated import SimulatedEngine

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtCore import QSettings, Qt, QTimer
from PyQt6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from captioning.files import DEFAULT_CHECKPOINT
from ui.controllers.main import Controller
from ui.store.settings import AppSettings, SettingsStore, default_recordings_folder
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.theme import DARK, LIGHT, colours_of


def store_at(path: Path) -> SettingsStore:
    return SettingsStore(QSettings(str(path), QSettings.Format.IniFormat))


def test_settings_survive_a_restart(tmp_path: Path) -> None:
    changed = AppSettings(
        checkpoint="somewhere", method="sample", num_captions=5, temperature=0.7, top_k=40, seed=3, always_windows=True,
        theme="dark", silence_db=-42.0, recordings_folder=str(tmp_path), live_window_s=4.0, live_hop_s=1.5,
    )  # fmt: skip
    store_at(tmp_path / "s.ini").write(changed)
    assert store_at(tmp_path / "s.ini").read() == changed
    store_at(tmp_path / "s.ini").write(AppSettings())
    assert store_at(tmp_path / "s.ini").read() == AppSettings()


def test_every_single_setting_is_kept(tmp_path: Path) -> None:
    changed = AppSettings(
        checkpoint="c", device="cpu", method="beam", num_captions=4, num_beams=9, temperature=0.25, top_k=7, seed=8,
        window_s=6.0, always_windows=True, live_window_s=3.0, live_hop_s=1.0, silence_db=-33.0, input_device="USB",
        recordings_folder="r", theme="light", log_shown=True, style="clotho", perhaps_below=30, alert_words="alarm, baby",
        open_folder="o", export_folder="e", recent="/a/b.wav\n/c d/e, f.wav",
    )  # fmt: skip
    assert all(getattr(changed, item.name) != item.default for item in fields(AppSettings))
    store_at(tmp_path / "s.ini").write(changed)
    assert store_at(tmp_path / "s.ini").read() == changed


def test_what_the_dialog_changes_is_there_after_a_restart(
    make_app: Callable[[], Controller], qtbot: QtBot, engine: SimulatedEngine
) -> None:
    first = make_app()
    qtbot.waitUntil(lambda: first.state.model_ready)

    def answer() -> None:
        [dialog] = [part for part in QApplication.topLevelWidgets() if isinstance(part, SettingsDialog)]
        dialog.checkpoint.setText("another")
        dialog.device.setCurrentIndex(dialog.device.findData("cpu"))
        dialog.method.setCurrentIndex(dialog.method.findData("beam"))
        dialog.num_beams.setValue(6)
        dialog.theme.setCurrentIndex(dialog.theme.findData("dark"))
        dialog.accept()

    QTimer.singleShot(100, answer)
    qtbot.keyClick(first.window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)  # runs until it is answered
    qtbot.waitUntil(lambda: first.window.captioner.text().startswith("another"))
    first.window.close()
    engine._closed.clear()
    again = make_app()
    qtbot.waitUntil(lambda: again.state.model_ready)
    found = again.settings
    assert (found.checkpoint, found.device, found.theme) == ("another", "cpu", "dark")
    assert found.decoding == {"num_captions": 3, "method": "beam", "num_beams": 6}
    assert (engine.loads[-1].checkpoint, engine.loads[-1].device) == ("another", "cpu")


def test_settings_that_make_no_sense_take_their_default(tmp_path: Path) -> None:
    (tmp_path / "s.ini").write_text(
        "[General]\ntheme=pink\nnum_captions=0\ntemperature=hot\nmethod=guess\nlive_window_s=2\nlive_hop_s=9\nseed=5\n"
    )
    found = store_at(tmp_path / "s.ini").read()
    assert found == AppSettings(live_window_s=2.0, live_hop_s=1.0, seed=5)


def test_only_what_a_person_chose_replaces_the_checkpoints_decoding() -> None:
    assert AppSettings().decoding == {"num_captions": 3}
    assert AppSettings(method="beam", num_beams=5).decoding == {"num_captions": 3, "method": "beam", "num_beams": 5}
    sampling = AppSettings(method="sample", temperature=0.5, top_k=10, seed=2).decoding
    assert sampling == {"num_captions": 3, "method": "sample", "temperature": 0.5, "top_k": 10, "seed": 2}


def test_the_shipped_captioner_is_the_default_and_recordings_go_to_the_music_folder() -> None:
    assert AppSettings().checkpoint == str(DEFAULT_CHECKPOINT)
    assert (
        AppSettings().recordings == default_recordings_folder() and default_recordings_folder().name == "Audio Caption"
    )


def test_the_dialog_shows_and_gives_back_settings(qtbot: QtBot, tmp_path: Path) -> None:
    dialog = SettingsDialog(AppSettings(), "mobilenet on cpu")
    qtbot.addWidget(dialog)
    assert dialog.settings() == AppSettings()
    assert not dialog.temperature.isEnabled() and not dialog.num_beams.isEnabled()
    dialog.method.setCurrentIndex(dialog.method.findData("sample"))
    assert dialog.temperature.isEnabled() and dialog.top_k.isEnabled() and not dialog.num_beams.isEnabled()
    dialog.temperature.setValue(0.7)
    dialog.top_k.setValue(12)
    dialog.checkpoint.setText(" other ")
    dialog.recordings_folder.setText(str(tmp_path))
    dialog.live_window_s.setValue(2.0)  # the hop follows: it must not be the longer
    dialog.theme.setCurrentIndex(dialog.theme.findData("dark"))
    assert dialog.settings() == AppSettings(
        method="sample", temperature=0.7, top_k=12, checkpoint="other", recordings_folder=str(tmp_path),
        live_window_s=2.0, live_hop_s=2.0, theme="dark",
    )  # fmt: skip
    for part in dialog.findChildren(QWidget):
        if type(part).__name__ in ("QLineEdit", "QComboBox", "QSpinBox", "QDoubleSpinBox", "QCheckBox"):
            inner = part.objectName().startswith("qt_")
            assert inner or (part.accessibleName() and part.toolTip()), part


def test_only_another_captioner_is_loaded_again(app: Controller, qtbot: QtBot, engine: SimulatedEngine) -> None:
    assert "mobilenet" in app.window.captioner.text()  # the encoder is shown
    app.apply_settings(AppSettings(theme="dark", num_beams=7, recordings_folder=app.settings.recordings_folder))
    assert len(engine.loads) == 1
    app.apply_settings(AppSettings(checkpoint="other", recordings_folder=app.settings.recordings_folder))
    qtbot.waitUntil(lambda: app.window.captioner.text().startswith("other"))
    assert [load.checkpoint for load in engine.loads] == [str(DEFAULT_CHECKPOINT), "other"]


def test_light_and_dark_reach_every_painted_part(app: Controller) -> None:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    for theme, colours in (("light", LIGHT), ("dark", DARK)):
        app.apply_settings(AppSettings(theme=theme))  # type: ignore[arg-type]
        assert colours.window in application.styleSheet()
        assert app.window.sound.waveform.backgroundBrush().color().name() == colours.surface
        assert app.window.controls.meter._colours is colours and app.window.large._colours is colours
    assert colours_of("system") in (LIGHT, DARK)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(colours: object) -> None:
    """Contrast of at least 4.5 to 1 (W3C, Web Content Accessibility Guidelines 2.2, criterion 1.4.3)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(first: str, second: str) -> float:
        high, low = sorted((luminance(first), luminance(second)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for text, behind in (
        ("text", "window"), ("text", "surface"), ("text", "raised"), ("text", "warning"), ("muted", "window"),
        ("muted", "surface"), ("on_accent", "accent"),
    ):  # fmt: skip
        assert contrast(getattr(colours, text), getattr(colours, behind)) >= 4.5, (text, behind)


def test_the_windows_place_is_remembered(make_app: Callable[[], Controller], qtbot: QtBot) -> None:
    first = make_app()
    first.window.resize(1000, 700)
    first.window.splitter.setSizes([450, 500])
    first.window.fold_log(False)
    qtbot.wait(50)
    size, sizes = first.window.size(), first.window.splitter.sizes()
    first.window.close()
    again = make_app()
    qtbot.wait(50)
    assert again.window.size() == size and again.window.splitter.sizes() == sizes
    assert again.window.log.isVisible()


def test_the_count_and_the_threshold_are_kept(make_app: Callable[[], Controller]) -> None:
    first = make_app()
    first.window.controls.num_captions.setValue(7)
    first.window.controls.meter.setValue(-33)
    first.window.close()
    again = make_app()
    assert again.window.controls.num_captions.value() == 7 and again.window.controls.meter.threshold_db == -33.0

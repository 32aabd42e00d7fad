"""Settings dialog."""

from collections.abc import Sequence
from dataclasses import replace

from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from ui.store.settings import AppSettings, default_recordings_folder
from ui.widgets.parts import button, card, describe, muted
from ui.widgets.tall_dialog import TallDialog

_ROLES = QFormLayout.ItemRole
METHODS = {
    "own": "the checkpoint's method (recommended)",
    "beam": "careful (beam search)",
    "greedy": "fastest (greedy, one caption)",
    "sample": "varied (sampling)",
}
STYLES = {"audiocaps": "short sentences (audiocaps)", "clotho": "longer sentences (clotho)"}
THEMES = {"system": "system theme", "light": "light", "dark": "dark"}
DEVICES = {"auto": "automatic", "cpu": "processor", "cuda": "NVIDIA card", "mps": "Apple chip"}


class SettingsDialog(TallDialog):
    """Dialog to edit the settings.

    Args:
        settings: initial settings.
        encoder: encoder of the loaded captioner, displayed only; empty if none is loaded.
        styles: caption styles of the loaded captioner.
        parent: parent window.
    """

    def __init__(
        self, settings: AppSettings, encoder: str, parent: QWidget | None = None, styles: Sequence[str] = ()
    ) -> None:
        super().__init__("Settings", parent)
        self.setMinimumWidth(540)
        self._settings = settings
        self.checkpoint = QLineEdit(settings.checkpoint)
        self.device = _choice(DEVICES, settings.device)
        names = {"": "as the checkpoint has it", **{style: STYLES.get(style, style) for style in styles}}
        self.style_choice = _choice(names, settings.style)
        self.method = _choice(METHODS, settings.method)
        self.alert_words = QLineEdit(settings.alert_words)
        self.alert_words.setPlaceholderText("alarm, baby, doorbell")
        self.num_beams = _whole(settings.num_beams, 1, 20)
        self.temperature = _number(settings.temperature, 0.05, 5.0, 0.05)
        self.top_k = _whole(settings.top_k, 0, 10_000)
        self.top_k.setSpecialValueText("all")
        self.seed = _whole(settings.seed, 0, 2**31 - 1)
        self.window_s = _number(settings.window_s, 1.0, 30.0, 1.0, " s")
        self.always_windows = QCheckBox("Caption short recordings in windows too")
        self.always_windows.setChecked(settings.always_windows)
        self.live_window_s = _number(settings.live_window_s, 1.0, 30.0, 0.5, " s")
        self.live_hop_s = _number(settings.live_hop_s, 0.5, 30.0, 0.5, " s")
        self.recordings_folder = QLineEdit(str(settings.recordings))
        self.theme = _choice(THEMES, settings.theme)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        form = self._form(encoder)
        self.build(card(form), self.buttons)
        _centre_names(form)
        self._describe()
        self.method.currentIndexChanged.connect(self._enable)
        self.live_window_s.valueChanged.connect(self.live_hop_s.setMaximum)
        self.live_hop_s.setMaximum(settings.live_window_s)
        self._enable()

    def _describe(self) -> None:
        for box, name, tip in (
            (self.checkpoint, "Checkpoint", "A checkpoint folder, a step=N.pth file, or the id of a hub repository."),
            (self.device, "Device", "The device that the captioner runs on."),
            (self.style_choice, "Style", "How captions are worded."),
            (self.alert_words, "Alert words", "Listen notifies you when a caption has one of these words."),
            (self.method, "Search", "Decoding method."),
            (self.num_beams, "Beams", "Number of beams in beam search."),
            (self.temperature, "Temperature", "Sampling temperature: higher values give more varied captions."),
            (self.top_k, "Top-k", "Sample from this number of most probable tokens; 0 for all."),
            (self.seed, "Seed", "Random seed: the same seed gives the same captions."),
            (self.window_s, "Window", "Long recordings are captioned in windows of this length."),
            (self.always_windows, "Always in windows", "Gives short recordings a timeline too."),
            (self.live_window_s, "Listening window", "Window length of continuous captioning, seconds."),
            (self.live_hop_s, "Listening hop", "Time between two captions of Listen, seconds."),
            (self.recordings_folder, "Recordings folder", "The folder in which recordings are saved."),
            (self.theme, "Theme", "Light or dark."),
        ):
            describe(box, name, tip)

    def _form(self, encoder: str) -> QFormLayout:
        browse_checkpoint = button("Browse…", "Choose a checkpoint folder.")
        browse_checkpoint.clicked.connect(lambda: self._browse(self.checkpoint, "Checkpoint folder"))
        browse_folder = button("Browse…", "Choose the folder of recordings.")
        browse_folder.clicked.connect(lambda: self._browse(self.recordings_folder, "Folder for recordings"))
        form = QFormLayout()
        form.setVerticalSpacing(9)
        form.addRow("Checkpoint", _row(self.checkpoint, browse_checkpoint))
        form.addRow("Encoder", muted(encoder or "none loaded"))
        form.addRow("Device", self.device)
        form.addRow("Style", self.style_choice)
        form.addRow("Search", self.method)
        form.addRow("Beams", self.num_beams)
        form.addRow("Temperature", self.temperature)
        form.addRow("Top-k", self.top_k)
        form.addRow("Seed", self.seed)
        form.addRow("Window", self.window_s)
        form.addRow("", self.always_windows)
        form.addRow("Listening window", self.live_window_s)
        form.addRow("Listening hop", self.live_hop_s)
        form.addRow("Alert words", self.alert_words)
        form.addRow("Recordings", _row(self.recordings_folder, browse_folder))
        form.addRow("Theme", self.theme)
        return form

    def settings(self) -> AppSettings:
        """Return the settings entered in the dialog."""
        folder = self.recordings_folder.text().strip()
        return replace(
            self._settings,
            checkpoint=self.checkpoint.text().strip() or AppSettings().checkpoint,
            device=self.device.currentData(),
            style=self.style_choice.currentData(),
            method=self.method.currentData(),
            alert_words=self.alert_words.text().strip(),
            num_beams=self.num_beams.value(),
            temperature=round(self.temperature.value(), 2),
            top_k=self.top_k.value(),
            seed=self.seed.value(),
            window_s=self.window_s.value(),
            always_windows=self.always_windows.isChecked(),
            live_window_s=self.live_window_s.value(),
            live_hop_s=self.live_hop_s.value(),
            recordings_folder="" if folder == str(default_recordings_folder()) else folder,
            theme=self.theme.currentData(),
        )

    def _enable(self) -> None:
        method = self.method.currentData()
        self.num_beams.setEnabled(method == "beam")
        for box in (self.temperature, self.top_k, self.seed):
            box.setEnabled(method == "sample")

    def _browse(self, line: QLineEdit, title: str) -> None:
        folder = QFileDialog.getExistingDirectory(self, title, line.text())
        if folder:
            line.setText(folder)


def _centre_names(form: QFormLayout) -> None:
    """Centre the labels of a form vertically; QFormLayout aligns them at the top."""
    for row in range(form.rowCount()):
        name, field = (form.itemAt(row, role) for role in (_ROLES.LabelRole, _ROLES.FieldRole))
        label = name.widget() if name is not None else None
        if label is not None and field is not None:
            label.setMinimumHeight(field.sizeHint().height())


def _choice(names: dict[str, str], chosen: str) -> QComboBox:
    box = QComboBox()
    for value, name in names.items():
        box.addItem(name, value)
    box.setCurrentIndex(max(0, box.findData(chosen)))
    return box


def _whole(value: int, lowest: int, highest: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(lowest, highest)
    box.setValue(value)
    return box


def _number(value: float, lowest: float, highest: float, step: float, suffix: str = "") -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(lowest, highest)
    box.setSingleStep(step)
    box.setSuffix(suffix)
    box.setDecimals(1 if suffix else 2)
    box.setValue(value)
    return box


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for widget in widgets:
        row.addWidget(widget)
    return row

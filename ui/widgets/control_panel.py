"""Control panel on the left side of the window: input, recording, playback and captioning."""

from collections.abc import Sequence
from pathlib import Path

from PyQt6.QtCore import QEvent, QObject, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from ui.widgets.buttons import SeekBar
from ui.widgets.meter import LevelMeter
from ui.widgets.numbers import decimal, minutes_seconds, per_cent
from ui.widgets.parts import YieldingLabel, button, card, describe, heading, muted, set_primary
from ui.widgets.picture import PICTURE, FlowPicture
from ui.widgets.state import Listening, Recording, WindowState
from ui.widgets.theme import Colours

MAX_CAPTIONS = 20
SCROLL_BAR = 14  # width, pixels, as in the style sheet


class DeviceBox(QComboBox):
    """Combo box of input devices; requests an updated list when it opens."""

    opening = pyqtSignal()
    device_chosen = pyqtSignal(str)  # name of the chosen device

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.activated.connect(lambda index: self.device_chosen.emit(self.itemData(index)))
        self.set_devices([], "")

    def set_devices(self, devices: Sequence[tuple[str, str]], chosen: str) -> None:
        """Set the devices as (name, label) pairs; a chosen device that was disconnected stays in the list and is marked."""
        shown = list(devices)
        if chosen and chosen not in [name for name, _ in devices]:
            shown.append((chosen, f"{chosen} (not connected)"))
        shown = shown or [("", "No microphone found")]
        if shown == [(self.itemData(index), self.itemText(index)) for index in range(self.count())]:
            return
        self.blockSignals(True)
        self.clear()
        for name, label in shown:
            self.addItem(label, name)
        self.setCurrentIndex(max(0, self.findData(chosen)))
        self.blockSignals(False)

    def showPopup(self) -> None:
        """Open the list and request an update of it."""
        self.opening.emit()
        super().showPopup()


class ControlPanel(QScrollArea):
    """Buttons and displays of the control panel; emits signals for user actions."""

    open_clicked = pyqtSignal()
    record_clicked = pyqtSignal()
    pause_clicked = pyqtSignal()
    play_clicked = pyqtSignal()
    model_clicked = pyqtSignal()
    live_clicked = pyqtSignal()
    cancel_clicked = pyqtSignal()
    listen_clicked = pyqtSignal()
    listen_pause_clicked = pyqtSignal()
    num_captions_changed = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._make()
        for control in (self.devices, self.meter, self.num_captions):
            control.installEventFilter(self)
        picture = QHBoxLayout()
        picture.addStretch(1)
        picture.addWidget(self.picture)
        picture.addStretch(1)
        self._image = card(heading("Image:"), picture)
        page = QWidget()
        page.setObjectName("page")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(10)
        for part in (
            self._sound_card(),
            self._microphone_card(),
            self._playback_card(),
            self._model_card(),
            self._image,
        ):
            layout.addWidget(part)  # picture last, so that its changes of size do not move other widgets
        layout.addStretch(1)
        self._page_layout = layout
        self.setWidget(page)
        for clicked, signal in (
            (self.open.clicked, self.open_clicked),
            (self.record.clicked, self.record_clicked),
            (self.pause.clicked, self.pause_clicked),
            (self.play.clicked, self.play_clicked),
            (self.run_model.clicked, self.model_clicked),
            (self.run_live.clicked, self.live_clicked),
            (self.cancel.clicked, self.cancel_clicked),
            (self.listen.clicked, self.listen_clicked),
            (self.listen_pause.clicked, self.listen_pause_clicked),
        ):
            clicked.connect(lambda checked=False, signal=signal: signal.emit())
        self.num_captions.valueChanged.connect(self.num_captions_changed)

    def _make(self) -> None:
        self.path = QLineEdit()
        self.path.setReadOnly(True)
        self.path.setPlaceholderText("nothing chosen yet")
        describe(self.path, "Audio Path", "The recording that is open.")
        self.open = button("Open…", "Choose recordings: wav, mp3, flac, ogg, m4a and more.", "Ctrl+O")
        self.picture = FlowPicture()
        self.devices = DeviceBox()
        describe(self.devices, "Input device", "The microphone to record from; the list is updated when it opens.")
        self.meter = LevelMeter()
        self.record = button("Record Audio", "Record the microphone; the recording is saved as it grows.", "Ctrl+R")
        self.pause = button("Pause", "Pause recording until you resume.", "Ctrl+Shift+R")
        self.listen = button("Listen", "Caption the microphone continuously.", "Ctrl+L")
        self.listen_pause = button("Pause", "Pause listening until you resume.", "Ctrl+Shift+L")
        self.timer = QLabel("00:00")
        self.timer.setProperty("heading", True)
        self.timer.setToolTip("Recorded time")
        self.saved = YieldingLabel()
        self.saved.setProperty("muted", True)
        self.play = button("Play Audio", "Play or pause the recording that is open.", "Ctrl+Space")
        self.play_time = muted("00:00 / 00:00")
        self.progress = SeekBar()
        self.progress.setFormat("%p %")
        describe(self.progress, "Playback progress", "Playback position; click to seek.")
        self.num_captions = QSpinBox()
        self.num_captions.setRange(1, MAX_CAPTIONS)
        describe(self.num_captions, "Number of Predictions", "Number of captions to generate per sound.")
        self.run_model = button("Run Model Prediction", "Caption the recording that is open.", "Ctrl+Return")
        self.run_live = button("Run Live Prediction", "Caption your last recording.", "Ctrl+Shift+Return")
        self.cancel = button("Cancel", "Stop captioning.", "Esc")
        self.share = QProgressBar()
        self.share.setFormat("%p %")
        self.share.setTextVisible(False)  # the percentage is displayed beside the bar, on a single background colour
        describe(self.share, "Captioning progress")
        self.left = YieldingLabel()
        self.left.setProperty("muted", True)
        for part, texts in (
            (self.record, ("Record Audio", "Stop Recording")),
            (self.pause, ("Pause", "Resume")),
            (self.play, ("Play Audio", "Pause Audio")),
            (self.listen, ("Listen", "Stop Listening")),
            (self.listen_pause, ("Pause", "Resume")),
            (self.run_model, ("Run Model Prediction", "Run Model Prediction on Selection")),
        ):
            part.set_texts(*texts)

    def _sound_card(self) -> QWidget:
        row = QHBoxLayout()
        row.addWidget(self.path, 1)
        row.addWidget(self.open)
        return card(heading("Audio Path:", self.path), row)

    def _microphone_card(self) -> QWidget:
        row = QHBoxLayout()
        row.addWidget(self.record, 1)
        row.addWidget(self.pause)
        row.addWidget(self.timer)
        listen = QHBoxLayout()
        listen.addWidget(self.listen, 1)
        listen.addWidget(self.listen_pause)
        return card(heading("Input device:", self.devices), self.devices, self.meter, row, self.saved, listen)

    def _playback_card(self) -> QWidget:
        row = QHBoxLayout()
        row.addWidget(self.play)
        row.addWidget(self.progress, 1)
        row.addWidget(self.play_time)
        return card(row)

    def _model_card(self) -> QWidget:
        count = QHBoxLayout()
        count.addWidget(heading("Number of Predictions:", self.num_captions))
        count.addStretch(1)
        count.addWidget(self.num_captions)
        work = QHBoxLayout()
        work.addWidget(self.share, 1)
        work.addWidget(self.left, 1)
        work.addWidget(self.cancel)
        return card(count, self.run_model, self.run_live, work)

    def minimumSizeHint(self) -> QSize:
        """Minimum size with room for all buttons and a scroll bar."""
        page = self.widget()
        width = page.minimumSizeHint().width() if page is not None else 0
        return QSize(max(330, width + SCROLL_BAR), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Update the picture's visibility after a resize."""
        super().resizeEvent(event)
        self._show_image()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Update the picture's visibility after a layout change; the wheel scrolls unless a control has the focus."""
        is_wheel = event is not None and event.type() is QEvent.Type.Wheel
        if event is not None and is_wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()  # or scrolling the panel would change the values that pass under the pointer
            return True
        answer = super().eventFilter(watched, event)
        if event is not None and event.type() is QEvent.Type.LayoutRequest:
            self._show_image()
        return answer

    def _show_image(self) -> None:
        """Show the picture only if the window is high enough for it and the buttons."""
        viewport = self.viewport()
        if viewport is None:
            return
        width, layout = viewport.width(), self._page_layout
        hint = layout.heightForWidth(width) if layout.hasHeightForWidth() else layout.sizeHint().height()
        if self._image.isHidden():
            hint += self._image.sizeHint().height() + layout.spacing()
        self._image.setVisible(hint <= viewport.height())

    def show_state(self, state: WindowState) -> None:
        """Enable the available buttons and highlight the suggested next action."""
        recording = state.recording is not Recording.OFF
        self.path.setText(state.path)
        self.path.setToolTip(state.path or "The recording that is open.")
        self.record.setText("Stop Recording" if recording else "Record Audio")
        self.record.setAccessibleName(self.record.text())
        self.record.setEnabled(state.recording is not Recording.OPENING)
        self.pause.setText("Resume" if state.recording is Recording.PAUSED else "Pause")
        self.pause.setAccessibleName(f"{self.pause.text()} recording")
        self.pause.setEnabled(state.recording in (Recording.ON, Recording.PAUSED))
        self.devices.setEnabled(not recording)
        self.open.setEnabled(not recording)
        self.play.setText("Pause Audio" if state.playing else "Play Audio")
        self.play.setAccessibleName(self.play.text())
        self.play.setEnabled(state.can_play and not recording)
        self.run_model.setText("Run Model Prediction on Selection" if state.has_region else "Run Model Prediction")
        self.run_model.setEnabled(not state.captioning and bool(state.path) and not recording)
        self.run_live.setEnabled(not state.captioning and (state.has_recording or recording))
        listening = state.listening is not Listening.OFF
        self.listen.setText("Stop Listening" if listening else "Listen")
        self.listen.setAccessibleName(self.listen.text())
        self.listen.setEnabled(state.model_ready and state.listening is not Listening.OPENING)
        self.listen_pause.setText("Resume" if state.listening is Listening.PAUSED else "Pause")
        self.listen_pause.setAccessibleName(f"{self.listen_pause.text()} listening")
        self.listen_pause.setEnabled(state.listening in (Listening.ON, Listening.PAUSED))
        self.cancel.setEnabled(state.captioning)
        if not state.captioning:
            self.share.setValue(0)
            self.left.clear()
        self.picture.set_size(PICTURE / 2 if state.has_captions else PICTURE)
        first = self.record if recording or not state.path else self.run_model
        for candidate in (self.record, self.run_model):
            set_primary(candidate, candidate is first)

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self.meter.set_colours(colours)
        self.picture.set_colours(colours)

    def set_recorded(self, seconds: float) -> None:
        """Display the duration of the recording in progress, seconds."""
        self.timer.setText(minutes_seconds(seconds))

    def set_saved(self, path: str, seconds: float) -> None:
        """Display the path and the duration of a saved recording."""
        self.timer.setText(minutes_seconds(seconds))
        self.saved.setText(f"Saved {decimal(seconds)} s: {Path(path).name}")
        self.saved.setToolTip(path)

    def set_position(self, position_s: float, duration_s: float) -> None:
        """Display the playback position and the duration, seconds."""
        self.progress.setValue(round(100 * position_s / duration_s) if duration_s else 0)
        self.play_time.setText(f"{minutes_seconds(position_s)} / {minutes_seconds(duration_s)}")

    def set_share(self, share: float, time_left_s: float | None) -> None:
        """Display the captioned fraction, 0 to 1, and the remaining time, seconds, None if unknown."""
        self.share.setValue(round(100 * share))
        left = "" if time_left_s is None else f", {minutes_seconds(time_left_s + 0.999)} left"
        self.left.setText(f"{per_cent(share)}{left}")

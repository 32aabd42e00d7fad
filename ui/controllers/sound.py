"""Joins the window with the microphone, the player and the decoder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from ui.controllers.session import Session
from ui.sound.decoded import DecodedSound
from ui.sound.devices import InputDevice
from ui.widgets.state import Listening, Recording
from ui.workers.microphone_worker import OUTLINE_HZ

DEVICES_MS = 4000


class SoundController(QObject):
    """What is open, recorded, drawn and played.

    Args:
        session: what all controllers share.
    """

    opened = pyqtSignal(str)  # this recording is open and drawn anew
    recording_kept = pyqtSignal(str)  # a recording of this app is complete
    _record = pyqtSignal(object)
    _stop_recording = pyqtSignal()
    _pause_recording = pyqtSignal()
    _resume_recording = pyqtSignal()
    _play = pyqtSignal()
    _seek = pyqtSignal(float)
    _load = pyqtSignal(object)
    _refresh = pyqtSignal()
    _refresh_if_changed = pyqtSignal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._window, self._workers, self._history = session.window, session.workers, session.history
        self._sound: DecodedSound | None = None
        self._duration_s = 0.0
        self.region: tuple[float, float] | None = None
        self.last_recording = ""
        self._entry_key = ""
        self._notice = ""
        self._connect_window()
        self._connect_workers()
        self._devices_timer = QTimer(self)
        self._devices_timer.setInterval(DEVICES_MS)
        self._devices_timer.timeout.connect(self._refresh_if_seen)
        self._devices_timer.start()
        self._refresh.emit()

    def _connect_window(self) -> None:
        controls, sound = self._window.controls, self._window.sound
        controls.record_clicked.connect(self.record_or_stop)
        controls.pause_clicked.connect(self._pause_or_resume)
        controls.play_clicked.connect(self._play)
        controls.devices.opening.connect(self._refresh)
        for part in (sound.seek_asked, self._window.captions.seek_asked):
            part.connect(self._seek)
        sound.region_changed.connect(self._on_region)

    def _connect_workers(self) -> None:
        microphone, playback, decoding = self._workers.microphone, self._workers.playback, self._workers.decoding
        self._record.connect(microphone.start_recording)
        self._stop_recording.connect(microphone.stop_recording)
        self._pause_recording.connect(microphone.pause_recording)
        self._resume_recording.connect(microphone.resume_recording)
        microphone.recording_started.connect(self._on_started)
        microphone.recording_saved.connect(self._on_saved)
        microphone.recording_ended.connect(self._on_ended)
        microphone.recorded_s.connect(self._window.controls.set_recorded)
        microphone.heard.connect(self._on_heard)
        microphone.notice.connect(self._window.tell)
        microphone.notice.connect(self._keep_notice)
        microphone.notice_over.connect(self._end_notice)
        microphone.trouble.connect(self._window.tell)
        self._refresh.connect(self._workers.devices.refresh)
        self._refresh_if_changed.connect(self._workers.devices.refresh_if_changed)
        self._workers.devices.inputs.connect(self._on_devices)
        self._workers.devices.trouble.connect(self._window.log.add)
        self._play.connect(playback.play_or_pause)
        self._seek.connect(playback.seek)
        self._load.connect(playback.load)
        playback.playing.connect(lambda playing: self._session.update(playing=playing))
        playback.position.connect(self._on_position)
        playback.trouble.connect(self._window.tell)
        decoding.progress.connect(lambda share: self._window.set_status(f"Reading… {100 * share:.0f} %"))
        decoding.decoded.connect(self._on_decoded)
        decoding.failed.connect(self._on_decoding_failed)

    def open(self, path: str) -> None:
        """Open a recording in place of another."""
        self._window.banner.hide()
        self._pause_playback()
        self._sound, self.region, self._duration_s = None, None, 0.0
        self._session.update(path=path, can_play=False, has_region=False)
        if not self._window.sound.is_moving:
            self._window.sound.set_sound(None)
        self._window.controls.set_position(0.0, 0.0)
        self._window.set_status(f"Reading {Path(path).name}…")
        self._workers.decoding.ask(path)
        self.opened.emit(path)

    def close(self) -> None:
        """Look for devices no more."""
        self._devices_timer.stop()

    def record_or_stop(self) -> None:
        """The record button."""
        if self._session.state.recording is Recording.OFF:
            self._window.banner.hide()
            self._pause_playback()
            self._session.update(recording=Recording.OPENING)
            self._window.controls.set_recorded(0.0)
            self._window.controls.saved.hide()
            self._window.set_status("Opening the microphone…")
            self._record.emit(self._session.settings)
        else:
            self.stop_recording()

    def stop_recording(self) -> None:
        """Save what is recorded."""
        self._window.set_status("Saving the recording…")
        self._stop_recording.emit()

    def show_microphone(self) -> None:
        """Let the waveform move."""
        self._window.sound.start_moving(OUTLINE_HZ)

    def show_open_sound(self) -> None:
        """Draw the open recording again, when nobody listens to the microphone any more."""
        state = self._session.state
        self._window.controls.meter.clear()
        if self._window.sound.is_moving and state.recording is Recording.OFF and state.listening is Listening.OFF:
            self._window.sound.set_sound(self._sound)
            self.opened.emit(state.path)

    def _pause_playback(self) -> None:
        if self._session.state.playing:
            self._play.emit()

    def _pause_or_resume(self) -> None:
        if self._session.state.recording is Recording.ON:
            self._pause_recording.emit()
            self._session.update(recording=Recording.PAUSED)
            self._window.set_status("Recording is paused.")
        elif self._session.state.recording is Recording.PAUSED:
            self._resume_recording.emit()
            self._session.update(recording=Recording.ON)
            self._window.set_status("Recording.")

    def _on_started(self, path: str) -> None:
        self._entry_key = self._history.add("recording", path).key  # noted before anything can go wrong with it
        self._session.update(recording=Recording.ON)
        self._window.set_status("Recording.")
        if self._session.state.listening is Listening.OFF:
            self.show_microphone()

    def _on_saved(self, path: str, duration_s: float) -> None:
        self.last_recording = path
        self._window.controls.set_saved(path, duration_s)
        self._window.log.add(f"Saved {duration_s:.1f} s to {path}")
        self._session.update(has_recording=True, recording=Recording.OFF)
        self._window.history.set_entries(self._history.entries)
        self.open(path)
        self.recording_kept.emit(path)

    def _on_ended(self) -> None:
        was_on = self._session.state.recording is not Recording.OFF
        self._session.update(recording=Recording.OFF)
        if was_on:  # nothing came, so nothing was saved
            if self._entry_key and self._window.controls.saved.isHidden():
                self._history.delete(self._entry_key)
            self._window.set_status("Nothing was recorded.")
            self.show_open_sound()
        self._entry_key = ""
        if self._session.state.listening is Listening.OFF:
            self._window.controls.meter.clear()

    def _on_heard(self, extremes: NDArray[np.float32], peak_db: float, rms_db: float) -> None:
        self._window.controls.meter.set_level(peak_db, rms_db)
        if self._session.state.recording is not Recording.PAUSED:
            self._window.sound.add_moving(extremes)

    def _keep_notice(self, sentence: str) -> None:
        self._notice = sentence

    def _end_notice(self) -> None:
        if self._window.banner.text.text() == self._notice:
            self._window.banner.hide()

    def _on_region(self, region: tuple[float, float] | None) -> None:
        self.region = region
        self._session.update(has_region=region is not None)

    def _on_decoded(self, sound: DecodedSound) -> None:
        if str(sound.path) != self._session.state.path:
            return
        self._sound, self._duration_s = sound, sound.duration_s
        self._load.emit(sound)
        self._session.update(can_play=True)
        state = self._session.state
        if state.recording is Recording.OFF and state.listening is Listening.OFF:
            self._window.sound.set_sound(sound)
        self._window.set_status(f"{sound.path.name}, {sound.duration_s:.1f} s.")
        self.opened.emit(state.path)

    def _on_decoding_failed(self, path: str, sentence: str) -> None:
        if path == self._session.state.path:
            self._window.set_status("This recording cannot be opened.")
            self._session.update(path="")
        self._window.tell(sentence)

    def _on_position(self, seconds: float) -> None:
        self._window.controls.set_position(seconds, self._duration_s)
        if self._sound is not None:
            self._window.sound.set_position(seconds)

    def _refresh_if_seen(self) -> None:
        idle = self._session.state.recording is Recording.OFF and self._session.state.listening is Listening.OFF
        if self._window.isActiveWindow() and idle and not self._session.state.playing:
            self._refresh_if_changed.emit()

    def _on_devices(self, devices: list[InputDevice]) -> None:
        self._window.controls.devices.set_devices(
            [(device.name, device.label) for device in devices], self._session.settings.input_device
        )

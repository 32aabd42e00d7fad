"""Connects the window with the microphone, the player and the decoder."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from ui.controllers.documents import DocumentController
from ui.controllers.session import Session
from ui.sound.decoded import PCM_RATE_HZ, DecodedSound
from ui.sound.devices import InputDevice
from ui.sound.growing import GrowingSound, NoSound
from ui.store.documents import Document, Kind, Row
from ui.store.exports import short_text, write_clip
from ui.widgets.numbers import decimal, minutes_seconds, per_cent
from ui.widgets.state import Listening, Recording
from ui.workers.microphone_worker import OUTLINE_HZ

DEVICES_MS = 4000


class SoundController(QObject):
    """Controls opening, recording, drawing and playback of recordings.

    Args:
        session: state shared by all controllers.
        documents: controller of the displayed document.
    """

    opened = pyqtSignal(str)  # path of the recording that was opened and drawn
    recording_kept = pyqtSignal(str)  # a recording made by the app is complete
    _clip_saved = pyqtSignal(str)  # from the thread that writes
    _clip_failed = pyqtSignal(str)
    _record = pyqtSignal(object)
    _stop_recording = pyqtSignal()
    _pause_recording = pyqtSignal()
    _resume_recording = pyqtSignal()
    _play = pyqtSignal()
    _seek = pyqtSignal(float)
    _loop = pyqtSignal(object)
    _load = pyqtSignal(object)
    _refresh = pyqtSignal()
    _refresh_if_changed = pyqtSignal()

    def __init__(self, session: Session, documents: DocumentController) -> None:
        super().__init__()
        self._session, self._documents = session, documents
        self._window, self._workers, self._history = session.window, session.workers, session.history
        self._sound: DecodedSound | None = None
        self._duration_s = 0.0
        self.region: tuple[float, float] | None = None
        self.last_recording = ""
        self._recorded: Document | None = None  # document being recorded
        self._before: Document | None = None  # previously open document
        self._path_before = ""
        self._reading = ""  # recording being decoded
        self._taken = ""  # its beginning could be read
        self._growing: dict[str, GrowingSound] = {}  # by document key
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
        controls.progress.seek_asked.connect(self._seek_share)
        sound.seek_asked.connect(self._seek)
        sound.play_asked.connect(self._window.controls.play.click)
        sound.row_asked.connect(self._on_row)
        self._window.captions.table.current_changed.connect(self._on_row)
        sound.region_changed.connect(self._on_region)
        self._window.captions.clip_asked.connect(self._save_clip)
        self._clip_saved.connect(self._window.set_status)
        self._clip_failed.connect(self._window.show_message)
        self._documents.shown_changed.connect(self._draw)
        self._documents.rows_changed.connect(self._draw_rows)

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
        microphone.captured.connect(self._on_level)
        microphone.notice.connect(self._window.show_message)
        microphone.notice.connect(self._keep_notice)
        microphone.notice_over.connect(self._end_notice)
        microphone.trouble.connect(self._window.show_message)
        self._refresh.connect(self._workers.devices.refresh)
        self._refresh_if_changed.connect(self._workers.devices.refresh_if_changed)
        self._workers.devices.inputs.connect(self._on_devices)
        self._workers.devices.trouble.connect(self._window.log.add)
        self._play.connect(playback.play_or_pause)
        self._seek.connect(playback.seek)
        self._loop.connect(playback.set_loop)
        self._load.connect(playback.load)
        playback.playing.connect(lambda playing: self._session.update(playing=playing))
        playback.position.connect(self._on_position)
        playback.trouble.connect(self._window.show_message)
        decoding.progress.connect(self._on_reading)
        decoding.decoded.connect(self._on_decoded)
        decoding.failed.connect(self._on_decoding_failed)

    def open(self, path: str) -> None:
        """Open a recording; the previous one stays open until the new one is known to be readable."""
        if path == self._reading:
            return
        self._window.banner.end_message()
        self._reading = path
        self._session.update(reading=True)
        self._window.set_status(f"Reading {Path(path).name}…")
        self._workers.decoding.ask(path)

    def close(self) -> None:
        """Stop polling for sound devices."""
        self._devices_timer.stop()

    def record_or_stop(self) -> None:
        """Start or stop recording; slot of the Record Audio button."""
        if self._session.state.recording is Recording.OFF:
            self._window.banner.end_message()
            self._pause_playback()
            self._session.update(recording=Recording.OPENING)
            self._window.controls.set_recorded(0.0)
            self._window.controls.saved.clear()
            self._window.set_status("Opening the microphone…")
            self._record.emit(self._session.settings)
        else:
            self.stop_recording()

    def stop_recording(self) -> None:
        """Stop and save the recording."""
        self._window.set_status("Saving the recording…")
        self._stop_recording.emit()

    def grow(self, document: Document) -> None:
        """Start drawing a document's sound as it is captured."""
        self._growing[document.key] = GrowingSound(OUTLINE_HZ)
        self._draw()

    def _draw(self) -> None:
        """Draw the sound of the displayed document."""
        document, sound = self._documents.shown, self._window.sound
        if document is None:
            sound.set_sound(None)
        elif document.key in self._growing:
            sound.set_sound(self._growing[document.key])
        elif self._sound is not None and str(self._sound.path) == document.path:
            sound.set_sound(self._sound)
        elif not document.path and document.rows:
            sound.set_sound(NoSound(document.rows[-1].record.end_s))
        else:
            sound.set_sound(None)
        is_read = document is not None and document.path == self._reading != ""
        sound.set_reading(Path(self._reading).name if is_read else "")

    def _draw_rows(self) -> None:
        document = self._documents.shown
        threshold = self._session.settings.perhaps_below / 100
        self._window.sound.set_rows(document.rows if document is not None else (), threshold)

    def _take(self, path: str) -> None:
        """Replace the open recording by the requested one, which is readable."""
        self._pause_playback()
        self._sound, self.region, self._duration_s = None, None, 0.0
        self._session.update(path=path, can_play=False, has_region=False)
        self._window.controls.set_position(0.0, 0.0)
        self._documents.show_open(self._history.of(path))

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
        document = self._history.add(Kind.RECORDING, path)  # first, so that later errors cannot lose it
        self._recorded, self._before = document, self._documents.open
        self._path_before = self._session.state.path
        self._session.update(recording=Recording.ON, path=path, can_play=False, has_region=False)
        self._window.set_status("Recording.")
        self._documents.show_open(document)
        self.grow(document)

    def _on_saved(self, path: str, duration_s: float) -> None:
        self.last_recording = path
        self._window.controls.set_saved(path, duration_s)
        self._window.log.add(f"Saved {decimal(duration_s)} s to {path}")
        self._session.update(has_recording=True, recording=Recording.OFF)
        self._window.history.set_entries(self._history.entries)
        self.open(path)
        self.recording_kept.emit(path)

    def _on_ended(self) -> None:
        was_on = self._session.state.recording is not Recording.OFF
        self._session.update(recording=Recording.OFF)
        recorded, self._recorded = self._recorded, None
        if was_on:  # no samples arrived, so no file was saved
            self._window.set_status("Nothing was recorded.")
            if recorded is not None:
                self._history.delete(recorded.key)
                self._growing.pop(recorded.key, None)
                self._documents.open = self._before
                self._session.update(path=self._path_before, can_play=self._sound is not None)
                self._documents.bring(live=False)
        if self._session.state.listening is not Listening.ON:
            self._window.controls.meter.clear()

    def _on_level(self, extremes: NDArray[np.float32], peak_db: float, rms_db: float) -> None:
        state, grown = self._session.state, []
        if state.recording is Recording.ON and self._recorded is not None:
            grown.append(self._recorded)
        if state.listening is Listening.ON and self._documents.live is not None:
            grown.append(self._documents.live)
        for document in grown:
            if document.key in self._growing:
                self._growing[document.key].add(extremes)
                if self._window.sound.sound is self._growing[document.key]:
                    self._window.sound.grow()
        if grown:  # while paused, the level meter stands still
            self._window.controls.meter.set_level(peak_db, rms_db)
        else:
            self._window.controls.meter.clear()

    def end_growth(self, document: Document) -> None:
        """Mark a listening session as ended; its waveform stays visible while the app runs."""
        if document.key in self._growing:
            self._growing[document.key].grows = False
        if self._session.state.recording is not Recording.ON:
            self._window.controls.meter.clear()
        self._draw()

    def _keep_notice(self, sentence: str) -> None:
        self._notice = sentence

    def _end_notice(self) -> None:
        self._window.banner.end_message(self._notice)

    def _on_region(self, region: tuple[float, float] | None) -> None:
        self.region = region
        self._loop.emit(region)
        self._session.update(has_region=region is not None)

    def _on_reading(self, path: str, share: float) -> None:
        if path == self._reading:
            if self._taken != path:
                self._taken = path
                self._take(path)
            self._window.set_status(f"Reading {Path(path).name}… {per_cent(share)}", announced=False)

    def _on_decoded(self, sound: DecodedSound) -> None:
        path = str(sound.path)
        if path != self._reading:
            return
        if self._taken != path:
            self._take(path)
        self._reading = self._taken = ""
        self._sound, self._duration_s = sound, sound.duration_s
        self._growing.pop(self._history.of(path).key, None)
        self._load.emit(sound)
        self._session.update(can_play=True, reading=False)
        self._draw()
        self._draw_rows()
        seconds = sound.duration_s
        length = f"{decimal(seconds)} s" if seconds < 60.0 else minutes_seconds(seconds)
        self._window.set_status(f"{sound.path.name}, {length}.")
        if sound.damage:
            self._window.show_message(sound.damage)
        self.opened.emit(path)

    def _on_decoding_failed(self, path: str, sentence: str) -> None:
        if path == self._reading:
            self._reading = self._taken = ""
            self._session.update(reading=False)
            name = self._documents.open.name if self._documents.open is not None else ""
            self._window.set_status(f"{name} stays open." if name else "Nothing is open.")
        self._window.show_message(sentence)

    def _on_position(self, seconds: float) -> None:
        if self._sound is None:  # of the previous recording, while the next one is read
            return
        self._window.controls.set_position(seconds, self._duration_s)
        if self._window.sound.sound is self._sound:
            playing = self._session.state.playing
            self._window.sound.set_position(seconds, playing)
            row = self._window.sound.timeline.row_at(seconds)
            if playing and row is not None:
                self._window.captions.table.show_row(row.number)
                self._window.sound.timeline.set_chosen(row.number)

    def _on_row(self, row: Row) -> None:
        """Seek to a row that was selected in the table or on the time axis."""
        self._window.captions.table.show_row(row.number)
        self._window.sound.show_row(row)
        if self._window.sound.sound is self._sound and self._sound is not None:
            self._seek.emit(row.record.start_s)

    def _save_clip(self, row: Row) -> None:
        """Save a row's span as a WAV file."""
        sound, record = self._sound, row.record
        if sound is None or self._window.sound.sound is not sound:
            self._window.show_message("The sound of this caption is not available: open its recording first.")
            return
        stem = f"{sound.path.stem} {minutes_seconds(record.start_s).replace(':', '-')} {short_text(record)[:40]}"
        path = self._window.ask_for_clip(stem)
        if path is None or (path.exists() and not self._window.confirm_replacing([path])):
            return

        def write() -> None:
            try:
                write_clip(path, sound.pcm, PCM_RATE_HZ, record.start_s, record.end_s)
            except OSError as error:
                self._clip_failed.emit(str(error))
            else:
                self._clip_saved.emit(f"Saved {path}.")

        self._session.run(write)

    def _seek_share(self, share: float) -> None:
        self._seek.emit(share * self._duration_s)

    def _refresh_if_seen(self) -> None:
        idle = self._session.state.recording is Recording.OFF and self._session.state.listening is Listening.OFF
        if self._window.isActiveWindow() and idle and not self._session.state.playing:
            self._refresh_if_changed.emit()

    def _on_devices(self, devices: list[InputDevice]) -> None:
        self._window.controls.devices.set_devices(
            [(device.name, device.label) for device in devices], self._session.settings.input_device
        )

"""Recording and continuous listening behind signals."""

import threading

from PyQt6.QtCore import QObject, pyqtSignal, pyqtSlot

from data.audio import Waveform
from ui.engine.live import LiveCaptioner
from ui.engine.requests import Captions, Engine
from ui.sound.devices import SoundDeviceError, SoundSystem
from ui.sound.growing import OutlineStream
from ui.sound.levels import LoudEvents, to_amplitude
from ui.sound.microphone import Microphone, MicrophoneEvents, OpenInput
from ui.sound.recorder import Recorder, RecordingError
from ui.store.settings import AppSettings

OUTLINE_HZ = 50  # pairs of extremes per second, for the moving waveform


class DeviceWorker(QObject):
    """Lists the input devices on its own thread, since PortAudio takes up to a second.

    Args:
        system: access to the sound devices.
    """

    inputs = pyqtSignal(list)  # InputDevice
    trouble = pyqtSignal(str)

    def __init__(self, system: SoundSystem) -> None:
        super().__init__()
        self._system = system

    @pyqtSlot()
    def refresh(self) -> None:
        """Update the list of input devices."""
        try:
            self.inputs.emit(self._system.inputs(refresh=True))
        except SoundDeviceError as error:
            self.trouble.emit(str(error))

    @pyqtSlot()
    def refresh_if_changed(self) -> None:
        """Update the list if devices may have been added or removed."""
        if self._system.devices_changed():
            self.refresh()


class MicrophoneWorker(QObject):
    """Owns the microphone, the recorder and the live captioner.

    Args:
        open_input: opens an input stream.
        engine: the captioner.
    """

    recording_started = pyqtSignal(str)  # path; emitted with the first samples
    recording_saved = pyqtSignal(str, float)  # path; duration in seconds
    recording_ended = pyqtSignal()  # after a saved, failed or empty recording
    recorded_s = pyqtSignal(float)
    captured = pyqtSignal(object, float, float)  # (K, 2) extremes, peak and RMS in dBFS
    loud_event = pyqtSignal()
    notice = pyqtSignal(str)
    notice_over = pyqtSignal()
    trouble = pyqtSignal(str)
    listening_started = pyqtSignal()
    listening_ended = pyqtSignal()
    live_update = pyqtSignal(object)  # LiveUpdate
    _lost = pyqtSignal(str)
    _recorder_failed = pyqtSignal()

    def __init__(self, open_input: OpenInput, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        events = MicrophoneEvents(
            self._on_started, self._on_block, self.notice.emit, self.notice_over.emit, self._lost.emit
        )
        self._microphone = Microphone(open_input, events)
        self._recorder: Recorder | None = None
        self._live: LiveCaptioner | None = None
        self._live_thread: threading.Thread | None = None
        self._loud = LoudEvents()
        self._outline = OutlineStream(OUTLINE_HZ)
        self._heard_s = 0.0
        self._rate = 48_000
        self._lost.connect(self._end_lost)  # delivered from the microphone's thread to this one
        self._recorder_failed.connect(self.stop_recording)

    @pyqtSlot(object)
    def start_recording(self, settings: AppSettings) -> None:
        """Record to a new file; emits `recording_started` with the first samples, or `trouble` and `recording_ended`."""
        if self._recorder is not None:
            return
        try:
            self._recorder = Recorder(settings.recordings)
            self._microphone.add(self._recorder)
            was_open = self._microphone.is_open
            self._microphone.open(settings.input_device)
            if was_open:
                self.recording_started.emit(str(self._recorder.path))
        except (SoundDeviceError, RecordingError) as error:
            self.trouble.emit(str(error))
            self._finish_recording()

    @pyqtSlot()
    def pause_recording(self) -> None:
        """Pause recording; samples are discarded until it is resumed."""
        if self._recorder is not None:
            self._recorder.pause()

    @pyqtSlot()
    def resume_recording(self) -> None:
        """Resume recording."""
        if self._recorder is not None:
            self._recorder.resume()

    @pyqtSlot()
    def stop_recording(self) -> None:
        """Stop recording; emits `recording_saved` if any samples were received."""
        if self._recorder is None:
            return
        if self._live is None:
            self._microphone.close()
        else:
            self._microphone.drain()
        self._finish_recording()

    def _finish_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            self._microphone.remove(recorder)
            recording = recorder.finish()
            if recording is not None:
                self.recording_saved.emit(str(recording.path), recording.duration_s)
            if recorder.error:
                self.trouble.emit(recorder.error)
        self.recording_ended.emit()

    @pyqtSlot(object, int)
    def start_listening(self, settings: AppSettings, sample_rate: int) -> None:
        """Start continuous captioning; emits `listening_started`, or `trouble` and `listening_ended`."""
        if self._live is not None:
            return
        decoding = {**settings.decoding, "num_captions": 1}

        def caption(waveform: Waveform) -> Captions:
            return self._engine.caption_waveform(waveform, decoding)

        live = LiveCaptioner(
            caption, sample_rate, settings.live_window_s, settings.live_hop_s, to_amplitude(settings.silence_db)
        )
        try:
            self._microphone.open(settings.input_device)
        except SoundDeviceError as error:
            self.trouble.emit(str(error))
            self.listening_ended.emit()
            return
        self._live = live
        self._microphone.add(live)
        arguments = (self.live_update.emit, self.trouble.emit)
        self._live_thread = threading.Thread(target=live.run, args=arguments, name="live captions", daemon=True)
        self._live_thread.start()
        self.listening_started.emit()

    @pyqtSlot(bool)
    def pause_listening(self, paused: bool) -> None:
        """Pause or resume continuous captioning."""
        if self._live is not None:
            (self._live.pause if paused else self._live.resume)()

    @pyqtSlot(float)
    def set_silence(self, silence_db: float) -> None:
        """Set the silence threshold, in dBFS, from the next window on."""
        if self._live is not None:
            self._live.silence_peak = to_amplitude(silence_db)

    @pyqtSlot()
    def stop_listening(self) -> None:
        """Stop continuous captioning."""
        live, self._live = self._live, None
        if live is None:
            return
        self._microphone.remove(live)
        live.stop()
        if self._recorder is None:
            self._microphone.close()
        self.listening_ended.emit()

    @pyqtSlot()
    def close(self) -> None:
        """Save the recording in progress and close the microphone."""
        self.stop_listening()
        self.stop_recording()

    @pyqtSlot(str)
    def _end_lost(self, message: str) -> None:
        self._microphone.close()
        kept = ""
        if self._recorder is not None:
            kept = (
                f" What was recorded until then is kept in {self._recorder.path}." if self._recorder.duration_s else ""
            )
            self._finish_recording()
        self.trouble.emit(message + kept)
        self.stop_listening()

    def _on_started(self, rate: int) -> None:
        self._rate = rate
        if self._recorder is not None:
            self.recording_started.emit(str(self._recorder.path))

    def _on_block(self, block: Waveform, peak_db: float, rms_db: float) -> None:
        recorder = self._recorder
        if recorder is not None:
            self.recorded_s.emit(recorder.duration_s)
            if recorder.error:
                self._recorder_failed.emit()
        self.captured.emit(self._outline.feed(block, self._rate), peak_db, rms_db)
        self._heard_s += len(block) / self._rate
        if self._loud.feed(self._heard_s, peak_db):
            self.loud_event.emit()

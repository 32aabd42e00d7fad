"""Workers for decoding and playback."""

import tempfile
from pathlib import Path

from PyQt6.QtCore import QObject, QTimer, pyqtSignal, pyqtSlot

from data.audio import AudioError
from ui.sound.decoded import PCM_RATE_HZ, DecodedSound, decode
from ui.sound.devices import SoundDeviceError
from ui.sound.player import OpenOutput, Player

POSITION_MS = 40


class DecodingWorker(QObject):
    """Decodes the most recently requested recording."""

    progress = pyqtSignal(str, float)  # path of a readable recording; completed fraction, 0 to 1
    decoded = pyqtSignal(object)  # DecodedSound
    failed = pyqtSignal(str, str)  # path; error message
    _asked = pyqtSignal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="audio-caption-", ignore_cleanup_errors=True)
        self._newest = 0
        self._asked.connect(self._decode)

    def ask(self, path: str) -> None:
        """Request decoding of a recording instead of any earlier one; may be called from any thread."""
        self._newest += 1
        self._asked.emit(self._newest, path)

    def close(self) -> None:
        """Stop decoding; may be called from any thread."""
        self._newest += 1

    def remove_files(self) -> None:
        """Delete the files of decoded samples when no thread uses them."""
        self._folder.cleanup()

    @pyqtSlot(int, str)
    def _decode(self, number: int, path: str) -> None:
        if number != self._newest:
            return
        pcm_path = Path(self._folder.name) / f"{number}.pcm"
        sound: DecodedSound | None = None
        try:
            report = lambda share: self.progress.emit(path, share)  # noqa: E731 - one use
            sound = decode(Path(path), pcm_path, report, lambda: number != self._newest)
        except AudioError as error:
            self.failed.emit(path, str(error))
        except OSError as error:
            self.failed.emit(path, f"{Path(path).name} could not be decoded to {pcm_path.parent} ({error.strerror}).")
        if sound is None:
            pcm_path.unlink(missing_ok=True)
        else:
            self.decoded.emit(sound)
        for other in Path(self._folder.name).glob("*.pcm"):
            if other != pcm_path:
                other.unlink(missing_ok=True)  # an existing memory map stays valid after its file is deleted


class PlaybackWorker(QObject):
    """Plays a decoded recording.

    Args:
        open_output: opens an output stream.
    """

    playing = pyqtSignal(bool)
    position = pyqtSignal(float)  # seconds
    trouble = pyqtSignal(str)
    _finished = pyqtSignal(object)

    def __init__(self, open_output: OpenOutput) -> None:
        super().__init__()
        self._player = Player(open_output, self._finished.emit)
        self._finished.connect(self._finish)  # delivered from PortAudio's thread to this one
        self._timer = QTimer(self)
        self._timer.setInterval(POSITION_MS)
        self._timer.timeout.connect(self._emit_position)

    @pyqtSlot(object)
    def load(self, sound: DecodedSound) -> None:
        """Load a recording; playback stops."""
        self._stop()
        self._player.load(sound.pcm, PCM_RATE_HZ)
        self._emit_position()

    @pyqtSlot()
    def play_or_pause(self) -> None:
        """Toggle playback."""
        if self._player.is_playing:
            self._stop()
            return
        try:
            self._player.play()
        except SoundDeviceError as error:
            self._player.pause()
            self.trouble.emit(str(error))
        self.playing.emit(self._player.is_playing)
        if self._player.is_playing:
            self._timer.start()

    @pyqtSlot(object)
    def set_loop(self, span_s: tuple[float, float] | None) -> None:
        """Loop over a span (start, end), seconds; None to play to the end."""
        self._player.set_loop(span_s)
        self._emit_position()

    @pyqtSlot(float)
    def seek(self, seconds: float) -> None:
        """Set the position, seconds, whether playing or paused."""
        self._player.seek(seconds)
        self._emit_position()

    @pyqtSlot()
    def close(self) -> None:
        """Close the output device."""
        self._stop()

    def _stop(self) -> None:
        self._timer.stop()
        if self._player.is_playing:
            self._player.pause()
            self._emit_position()  # before the end is reported, so that receivers know the final position
            self.playing.emit(False)

    @pyqtSlot(object)
    def _finish(self, message: str | None) -> None:
        self._stop()
        if message is not None:
            self.trouble.emit(message)

    def _emit_position(self) -> None:
        self.position.emit(self._player.position_s)

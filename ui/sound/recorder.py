"""Recording to a WAV file that is valid after every block, so that later failures cannot lose the recording."""

import threading
import time
import wave
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from data.audio import Waveform
from ui.sound.levels import to_int16

MAX_FILE_BYTES = (1 << 32) - (1 << 20)  # maximum size of a WAV file, 4 GiB: twelve hours at 48 kHz


class RecordingError(OSError):
    """Raised when a recording cannot be written; the message is one sentence for the user."""


@dataclass(frozen=True)
class Recording:
    """Path and duration of a saved recording."""

    path: Path
    duration_s: float


class Recorder:
    """Writes microphone samples to a new WAV file: 16 bit, mono, at the device's sample rate.

    Args:
        folder: folder of the recordings; created if missing.

    Raises:
        RecordingError: if the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        self.path = _new_path(folder)
        self.error: str | None = None
        self._lock = threading.Lock()
        self._paused = False
        self._closed = False
        self._writer: wave.Wave_write | None = None
        self._rate = 0
        self._num_samples = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb")
        except OSError as error:
            raise RecordingError(
                f"Nothing can be recorded to {folder} ({error.strerror}): choose another folder in the settings."
            ) from error

    @property
    def duration_s(self) -> float:
        """Duration written so far, seconds."""
        return self._num_samples / self._rate if self._rate else 0.0

    def feed(self, block: Waveform, sample_rate: int) -> None:
        """Write samples (S,) unless paused; after a failure, `error` holds the message and nothing more is written."""
        with self._lock:
            if self._paused or self._closed or self.error:
                return
            try:
                self._write(block, sample_rate)
            except (OSError, wave.Error) as error:
                reason = getattr(error, "strerror", None) or error
                self.error = f"Recording stopped ({reason}); the first {self.duration_s:.0f} s are kept in {self.path}."

    def _write(self, block: Waveform, sample_rate: int) -> None:
        if self._writer is None:
            self._rate = sample_rate
            self._writer = wave.Wave_write(self._file)
            self._writer.setparams((1, 2, sample_rate, 0, "NONE", "not compressed"))
        if 2 * (self._num_samples + len(block)) > MAX_FILE_BYTES:
            raise wave.Error("the file has reached 4 GiB")
        self._writer.writeframes(to_int16(block).astype("<i2").tobytes())  # also updates the header
        self._file.flush()
        self._num_samples += len(block)

    def pause(self) -> None:
        """Discard samples until `resume`."""
        with self._lock:
            self._paused = True

    def resume(self) -> None:
        """Resume writing."""
        with self._lock:
            self._paused = False

    def finish(self) -> Recording | None:
        """Close the file; returns None and leaves no file if no samples were written."""
        with self._lock:
            self._closed = True
            try:
                if self._writer is not None:
                    self._writer.close()
                self._file.close()
            except (OSError, wave.Error) as error:  # the header is already valid; only the last flush failed
                self.error = self.error or f"The end of {self.path} may be missing ({error})."
            if not self._num_samples:
                self.path.unlink(missing_ok=True)
                return None
        return Recording(self.path, self.duration_s)


def _new_path(folder: Path) -> Path:
    stem = f"recording_{datetime.fromtimestamp(time.time()):%Y-%m-%d_%H-%M-%S}"
    path, number = folder / f"{stem}.wav", 2
    while path.exists():
        path, number = folder / f"{stem}_{number}.wav", number + 1
    return path

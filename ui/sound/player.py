"""Playback of a decoded recording with sounddevice.

QtMultimedia is not used: without an output device it stops immediately and reports no error, its decoders differ from those
of `data.audio`, and it requires more system libraries.
"""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ui.sound.devices import OutputCallback, SoundStream

OUTPUT_LOST = "Playback stopped: the output device was unplugged, or the sound server stopped."

SHORTEST_LOOP_S = 0.05
OpenOutput = Callable[[int, OutputCallback, Callable[[], None]], SoundStream]


class Player:
    """Plays samples from any position.

    Args:
        open_output: opens an output stream, as `SoundSystem.open_output`.
        on_finished: called on PortAudio's thread when playback stopped by itself, with None at the end or an error message.
    """

    def __init__(self, open_output: OpenOutput, on_finished: Callable[[str | None], None]) -> None:
        self._open_output, self._on_finished = open_output, on_finished
        self._lock = threading.Lock()
        self._pcm: NDArray[np.int16] = np.zeros(0, np.int16)
        self._rate = 1
        self._position = 0.0  # samples
        self._step = 1.0  # ratio of the recording's to the device's sample rate
        self._stream: SoundStream | None = None
        self._at_end = False
        self._loop: tuple[float, float] | None = None  # samples

    @property
    def is_playing(self) -> bool:
        """True while a stream is open."""
        return self._stream is not None

    @property
    def duration_s(self) -> float:
        """Duration of the loaded samples, seconds."""
        return len(self._pcm) / self._rate

    @property
    def position_s(self) -> float:
        """Current playback position, seconds, corrected for the latency of the device."""
        stream = self._stream
        delay_s = min(0.5, stream.latency) if stream is not None and not self._at_end else 0.0
        return min(self.duration_s, max(0.0, self._position / self._rate - delay_s))

    def load(self, pcm: NDArray[np.int16], rate: int) -> None:
        """Load samples (S,), int16, at `rate` hertz; playback stops."""
        self.pause()
        with self._lock:
            self._pcm, self._rate, self._position, self._loop = pcm, rate, 0.0, None

    def set_loop(self, span_s: tuple[float, float] | None) -> None:
        """Loop over a span (start, end), seconds; None to play to the end."""
        with self._lock:
            self._loop = None
            if span_s is not None and span_s[1] - span_s[0] >= SHORTEST_LOOP_S:
                start, end = (min(float(len(self._pcm)), max(0.0, seconds * self._rate)) for seconds in span_s)
                self._loop = (start, end) if end > start else None
                if self._loop is not None and not start <= self._position < end:
                    self._position = start

    def play(self) -> None:
        """Resume playback, or restart it if the end was reached.

        Raises:
            SoundDeviceError: if there is no output device or it cannot be opened.
        """
        if self._stream is not None or not len(self._pcm):
            return
        with self._lock:
            if self._position >= len(self._pcm):
                self._position = 0.0
            self._at_end = False
        stream = self._open_output(self._rate, self._fill, lambda: self._finished(stream))
        self._step = self._rate / stream.samplerate
        self._stream = stream
        stream.start()

    def pause(self) -> None:
        """Stop playback and keep the position."""
        position_s = self.position_s
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()
            stream.close()
            self._position = position_s * self._rate

    def seek(self, seconds: float) -> None:
        """Set the position, seconds, whether playing or paused."""
        with self._lock:
            self._position = float(np.clip(seconds * self._rate, 0, len(self._pcm)))

    def _fill(self, block: NDArray[np.float32]) -> bool:
        with self._lock:
            places = self._position + self._step * np.arange(len(block) + 1)
            if self._loop is not None and self._position < self._loop[1]:
                start, end = self._loop
                places = np.where(places < end, places, start + (places - start) % (end - start))
            places, after = places[:-1], float(places[-1])
            whole = places.astype(np.int64)
            inside = whole < len(self._pcm)
            left = np.where(inside, self._pcm[np.minimum(whole, len(self._pcm) - 1)], 0).astype(np.float32)
            if self._step == 1.0:
                block[:, 0] = left / 32768
            else:  # linear interpolation if the device does not support the recording's rate
                right = np.where(inside, self._pcm[np.minimum(whole + 1, len(self._pcm) - 1)], 0)
                block[:, 0] = (left + (right - left) * (places - whole)) / 32768
            self._position = min(len(self._pcm), after)
            self._at_end = self._position >= len(self._pcm)
            return not self._at_end

    def _finished(self, stream: SoundStream) -> None:
        if self._stream is stream:  # not paused by the user
            self._on_finished(None if self._at_end else OUTPUT_LOST)

"""Playback of a decoded recording, by the same library as the microphone.

QtMultimedia was not taken: it ends at once and without an error where there is no output device, it decodes strangers'
files by rules of its own, and it needs more system libraries.
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
    """Plays samples from any place in them.

    Args:
        open_output: `SoundSystem.open_output`, or a test's.
        on_finished: called, on PortAudio's thread, when playback stopped by itself: None at the end, else a sentence.
    """

    def __init__(self, open_output: OpenOutput, on_finished: Callable[[str | None], None]) -> None:
        self._open_output, self._on_finished = open_output, on_finished
        self._lock = threading.Lock()
        self._pcm: NDArray[np.int16] = np.zeros(0, np.int16)
        self._rate = 1
        self._position = 0.0  # samples
        self._step = 1.0  # samples of the recording for one of the device
        self._stream: SoundStream | None = None
        self._at_end = False
        self._loop: tuple[float, float] | None = None  # samples

    @property
    def is_playing(self) -> bool:
        """Whether a stream is open."""
        return self._stream is not None

    @property
    def duration_s(self) -> float:
        """Length of what was loaded, seconds."""
        return len(self._pcm) / self._rate

    @property
    def position_s(self) -> float:
        """What is heard now, seconds from the start: what was handed over, less the device's delay."""
        stream = self._stream
        delay_s = min(0.5, stream.latency) if stream is not None and not self._at_end else 0.0
        return min(self.duration_s, max(0.0, self._position / self._rate - delay_s))

    def load(self, pcm: NDArray[np.int16], rate: int) -> None:
        """Take samples (S,) at `rate` hertz in place of others; playback stops."""
        self.pause()
        with self._lock:
            self._pcm, self._rate, self._position, self._loop = pcm, rate, 0.0, None

    def set_loop(self, span_s: tuple[float, float] | None) -> None:
        """Play this span again and again; None: play to the end."""
        with self._lock:
            self._loop = None
            if span_s is not None and span_s[1] - span_s[0] >= SHORTEST_LOOP_S:
                start, end = (min(float(len(self._pcm)), max(0.0, seconds * self._rate)) for seconds in span_s)
                self._loop = (start, end) if end > start else None
                if self._loop is not None and not start <= self._position < end:
                    self._position = start

    def play(self) -> None:
        """Play on, or from the start after the end.

        Raises:
            SoundDeviceError: there is no output device, or it cannot be opened.
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
        """Stop, and stay where it was."""
        position_s = self.position_s
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()
            stream.close()
            self._position = position_s * self._rate

    def seek(self, seconds: float) -> None:
        """Go to a place, playing or not."""
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
            else:  # a device that knows only another rate: straight lines between samples
                right = np.where(inside, self._pcm[np.minimum(whole + 1, len(self._pcm) - 1)], 0)
                block[:, 0] = (left + (right - left) * (places - whole)) / 32768
            self._position = min(len(self._pcm), after)
            self._at_end = self._position >= len(self._pcm)
            return not self._at_end

    def _finished(self, stream: SoundStream) -> None:
        if self._stream is stream:  # not paused by a person
            self._on_finished(None if self._at_end else OUTPUT_LOST)

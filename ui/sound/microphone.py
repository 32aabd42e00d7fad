"""Microphone input, distributed to several listeners.

PortAudio's callback only puts blocks into a queue. A second thread concatenates them, measures their level and passes them
to the listeners, so that file access, drawing and captioning cannot block the audio callback.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.audio import Waveform
from ui.sound.devices import InputCallback, SoundStream
from ui.sound.levels import peak_and_rms_db

PUMP_S = 0.05  # interval between blocks passed to the listeners
ZEROS_S = 1.2  # digital silence of this length is reported, within two seconds including all delays
STALL_S = 1.2  # a stream without data for this time is considered lost
OPENING_S = 5.0  # longer before the first block, since a sound server may start slowly
DIGITAL_SILENCE = "The microphone sends digital silence: it may be muted or unplugged, or this program may not use it."
LOST = "The microphone was lost: it was unplugged, or the sound server stopped."

OpenInput = Callable[[str, InputCallback, Callable[[], None]], SoundStream]


class Listener(Protocol):
    """Protocol of a receiver of microphone samples; called on the microphone's thread."""

    def feed(self, block: Waveform, sample_rate: int) -> None:
        """Process mono samples (S,) at `sample_rate` hertz; blocks are consecutive and without gaps."""


@dataclass(frozen=True)
class MicrophoneEvents:
    """Callbacks of a microphone, called on its thread.

    Attributes:
        on_started: called with the sample rate, hertz, when the first samples arrive.
        on_block: called with each block (S,), its peak and its root mean square in dBFS.
        on_notice: called with a warning; the microphone continues.
        on_notice_over: called when the last warning no longer applies.
        on_lost: called with an error message when the microphone has stopped.
    """

    on_started: Callable[[int], None]
    on_block: Callable[[Waveform, float, float], None]
    on_notice: Callable[[str], None]
    on_notice_over: Callable[[], None]
    on_lost: Callable[[str], None]


class Microphone:
    """Input stream with any number of listeners.

    Args:
        open_input: opens an input stream, as `SoundSystem.open_input`.
        events: callbacks.
        clock: monotonic clock, seconds.
    """

    def __init__(
        self, open_input: OpenInput, events: MicrophoneEvents, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_input, self._events, self._clock = open_input, events, clock
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()
        self._stream: SoundStream | None = None
        self._thread: threading.Thread | None = None
        self._blocks: queue.SimpleQueue[NDArray[np.float32]] = queue.SimpleQueue()
        self._finished = threading.Event()
        self._stopping = threading.Event()

    @property
    def is_open(self) -> bool:
        """True while a stream is open."""
        return self._stream is not None

    def add(self, listener: Listener) -> None:
        """Add a listener, which receives samples from the next block on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener) -> None:
        """Remove a listener; it receives no samples after this returns."""
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

    def open(self, name: str) -> None:
        """Open and start the input device `name` ("": the default).

        Raises:
            SoundDeviceError: if it cannot be opened.
        """
        if self.is_open:
            return
        self._blocks, self._finished, self._stopping = queue.SimpleQueue(), threading.Event(), threading.Event()
        self._stream = self._open_input(name, self._blocks.put, self._finished.set)
        try:
            self._stream.start()
        except Exception:
            self._close_stream()
            raise
        self._thread = threading.Thread(target=self._pump, args=(self._stream,), name="microphone", daemon=True)
        self._thread.start()

    def drain(self) -> None:
        """Wait until all samples captured before this call have reached the listeners; the stream continues."""
        if self._stream is not None:
            time.sleep(min(0.5, self._stream.latency) + 2 * PUMP_S)

    def close(self) -> None:
        """Close the stream after all samples captured so far, including the device's latency, have reached the listeners."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join(timeout=3.0)
            self._thread = None
        self._close_stream()

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()
            stream.close()

    def _pump(self, stream: SoundStream) -> None:
        rate = round(stream.samplerate)
        last_block = last_sound = self._clock()
        started, reported = False, False
        stop_at: float | None = None
        while True:
            finished, now = self._finished.is_set(), self._clock()
            block = self._take()
            if len(block):
                if not started:
                    started = True
                    self._events.on_started(rate)
                last_block = now
                self._hand_on(block, rate)
                if block.any():
                    if reported:
                        self._events.on_notice_over()
                    last_sound, reported = now, False
                elif now - last_sound > ZEROS_S and not reported:
                    reported = True
                    self._events.on_notice(DIGITAL_SILENCE)
            elif finished or now - last_block > (STALL_S if started else OPENING_S):
                if not self._stopping.is_set():
                    self._events.on_lost(LOST)
                return
            if self._stopping.is_set():
                stop_at = now + min(0.5, stream.latency) if stop_at is None else stop_at
                if now >= stop_at or finished:
                    self._hand_on(self._take(wait=False), rate)
                    return

    def _take(self, wait: bool = True) -> Waveform:
        """Return the samples received within PUMP_S, (S,), mono."""
        blocks, until = [], self._clock() + PUMP_S
        while True:
            try:
                left = until - self._clock()
                blocks.append(self._blocks.get(block=wait and left > 0, timeout=max(0.0, left) or None))
            except queue.Empty:
                break
        return np.concatenate(blocks).mean(axis=1, dtype=np.float32) if blocks else np.zeros(0, np.float32)

    def _hand_on(self, block: Waveform, rate: int) -> None:
        if not len(block):
            return
        with self._lock:
            for listener in self._listeners:
                listener.feed(block, rate)
        self._events.on_block(block, *peak_and_rms_db(block))

"""Sound devices and captioners made of threads and arrays, for tests and pictures."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.audio import Waveform
from data.caption_formats import CaptionRecord, ScoredCaption
from ui.engine.requests import (
    Cancelled,
    CaptionerChoice,
    CaptionerInfo,
    CaptionRequest,
    Captions,
    EngineError,
    OnProgress,
)
from ui.sound.devices import NO_INPUT, NO_OUTPUT, InputCallback, InputDevice, OutputCallback, SoundDeviceError

BLOCK_S = 0.02


class _Stream:
    """A stream that runs in a thread until it is stopped, closed or lost."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        self._thread.start()

    def lose(self) -> None:
        """As when the sound server is killed."""
        self._ended.set()

    def stop(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self._ended.set()


class SimulatedInput(_Stream):
    """A microphone that plays samples (S,), then noise too faint to matter, in real time or faster."""

    def __init__(
        self,
        waveform: Waveform,
        rate: int,
        callback: InputCallback,
        on_finished: Callable[[], None],
        speed: float = 1.0,
    ) -> None:
        self.samplerate, self.latency = float(rate), 0.06
        self._waveform, self._callback, self._on_finished, self._speed = waveform, callback, on_finished, speed
        self._noise = np.random.default_rng(0)
        super().__init__()
        self.sends_zeros = False
        self.stalls = False
        self.num_sent = 0

    def _run(self) -> None:
        size = round(BLOCK_S * self.samplerate)
        begun = time.monotonic()
        while not self._ended.is_set():
            position = self.num_sent
            block = 1e-5 * self._noise.normal(size=size).astype(np.float32)
            rest = self._waveform[position : position + size]
            block[: len(rest)] += rest
            if self.sends_zeros:
                block[:] = 0
            if not self.stalls:
                self._callback(block[:, None])
            self.num_sent += size
            self._ended.wait(max(0.0, begun + self.num_sent / self.samplerate / self._speed - time.monotonic()))
        self._on_finished()


class SimulatedOutput(_Stream):
    """A loudspeaker that keeps what it is given."""

    def __init__(self, rate: int, callback: OutputCallback, on_finished: Callable[[], None], speed: float) -> None:
        self.samplerate, self.latency = float(rate), 0.01
        self._callback, self._on_finished, self._speed = callback, on_finished, speed
        super().__init__()
        self.played: list[NDArray[np.float32]] = []

    def _run(self) -> None:
        size = round(BLOCK_S * self.samplerate)
        while not self._ended.is_set():
            block = np.zeros((size, 1), np.float32)
            goes_on = self._callback(block)
            self.played.append(block[:, 0])
            self._ended.wait(BLOCK_S / self._speed)
            if not goes_on:
                break
        self._on_finished()


class SimulatedSystem:
    """Sound devices in place of `ui.sound.devices.SoundSystem`."""

    def __init__(
        self, waveform: Waveform | None = None, rate: int = 48000, speed: float = 1.0, output_rate: int | None = None
    ) -> None:
        self.waveform = np.zeros(0, np.float32) if waveform is None else waveform
        self.rate, self.speed, self.output_rate = rate, speed, output_rate
        self.devices = [
            InputDevice("", "System default (Desk)"),
            InputDevice("Desk", "Desk"),
            InputDevice("USB", "USB"),
        ]
        self.has_output = True
        self.opened: list[str] = []
        self.inputs_made: list[SimulatedInput] = []
        self.outputs_made: list[SimulatedOutput] = []

    def inputs(self, refresh: bool = False) -> list[InputDevice]:
        return list(self.devices)

    def devices_changed(self) -> bool:
        return True

    def open_input(self, name: str, callback: InputCallback, on_finished: Callable[[], None]) -> SimulatedInput:
        if not self.devices:
            raise SoundDeviceError(NO_INPUT)
        self.opened.append(name)
        self.inputs_made.append(SimulatedInput(self.waveform, self.rate, callback, on_finished, self.speed))
        return self.inputs_made[-1]

    def open_output(self, rate: int, callback: OutputCallback, on_finished: Callable[[], None]) -> SimulatedOutput:
        if not self.has_output:
            raise SoundDeviceError(NO_OUTPUT)
        self.outputs_made.append(SimulatedOutput(self.output_rate or rate, callback, on_finished, self.speed))
        return self.outputs_made[-1]


class SimulatedEngine:
    """A captioner whose captions name the file and the window."""

    def __init__(self, step_s: float = 0.02, num_steps: int = 3) -> None:
        self.step_s, self.num_steps = step_s, num_steps
        self.loads: list[CaptionerChoice] = []
        self.requests: list[CaptionRequest] = []
        self.load_error = ""
        self.file_error = ""
        self.num_windows = 1
        self.probability: float | None = None
        self.live_text: Callable[[Waveform], str] = lambda waveform: "a dog barks"
        self._cancelled = threading.Event()
        self._closed = threading.Event()

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        self.loads.append(choice)
        if self.load_error:
            raise EngineError(self.load_error)
        return CaptionerInfo(choice.checkpoint, "mobilenet", "cpu", 32000, 30.0)

    def caption_file(self, request: CaptionRequest, on_progress: OnProgress) -> list[CaptionRecord]:
        self._cancelled.clear()
        self.requests.append(request)  # from here on a cancellation counts
        records = [] if self.file_error else self._records(request)
        for step in range(self.num_steps):
            on_progress(step / self.num_steps, records[max(0, step - 1) : step])  # a window for each step
            self._cancelled.wait(self.step_s)
            if self._closed.is_set():
                raise EngineError("closed")
            if self._cancelled.is_set():
                raise Cancelled
        if self.file_error:
            raise EngineError(self.file_error)
        return records

    def _records(self, request: CaptionRequest) -> list[CaptionRecord]:
        """Windows of two seconds from the request's start."""
        count = request.decoding["num_captions"]
        name, start_s = Path(request.path).stem, request.start_s
        return [
            CaptionRecord(
                str(request.path),
                start_s + 2.0 * window,
                min(start_s + 2.0 * window + 2.0, request.end_s or float("inf")),
                tuple(
                    ScoredCaption(f"{name} {window} caption {number}", -float(number), self.probability)
                    for number in range(1, count + 1)
                ),
            )
            for window in range(self.num_windows)
        ]

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        return (ScoredCaption(self.live_text(waveform), -2.0, self.probability),)

    def cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        self._closed.set()
        self._cancelled.set()


def chirp(seconds: float, rate: int, start_hz: float = 200.0, end_hz: float = 4000.0) -> Waveform:
    """A tone of rising frequency, so that each of its parts is distinguishable."""
    time_s = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (start_hz * time_s + (end_hz - start_hz) * time_s**2 / (2 * seconds))
    return (0.5 * np.sin(phase)).astype(np.float32)


def wait_for(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait, without a window, until something holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)

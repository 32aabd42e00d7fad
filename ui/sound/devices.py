"""Audio input and output devices by PortAudio (sounddevice).

PortAudio lists devices only when it is initialised. To find new devices it is initialised again, which would close all
streams and is therefore done only while none is open. sounddevice is imported on first use, so that the rest of the app
works without PortAudio.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)
LATENCY_S = 0.2  # PortAudio's "high" latency, 35 ms with ALSA, overruns on a busy machine
SOUND_CARDS = Path("/dev/snd")  # Linux
COMMON_RATES_HZ = (48000, 44100, 32000, 16000)
NO_INPUT = "No microphone was found: plug one in, then choose it under Input device."
NO_OUTPUT = "No output device was found: plug in headphones or loudspeakers, then press Play Audio again."


class SoundDeviceError(RuntimeError):
    """Raised when a sound device is missing or cannot be used; the message is one sentence for the user."""


class SoundStream(Protocol):
    """Protocol of the sounddevice streams used by the app."""

    samplerate: float
    latency: float

    def start(self) -> None:
        """Start the stream."""

    def stop(self) -> None:
        """Stop the stream immediately."""

    def close(self) -> None:
        """Close the stream and release the device."""


InputCallback = Callable[[NDArray[np.float32]], None]  # receives a block (S, channels)
OutputCallback = Callable[[NDArray[np.float32]], bool]  # fills a block (S, 1); returns False after the last block


@dataclass(frozen=True)
class InputDevice:
    """Input device.

    Attributes:
        name: PortAudio's name; empty for the system default.
        label: display name.
    """

    name: str
    label: str


class _CountedStream:
    """Stream wrapper that reports when it is closed."""

    def __init__(self, stream: Any, on_close: Callable[[], None]) -> None:
        self._stream, self._on_close = stream, on_close
        self.samplerate: float = stream.samplerate
        latency = stream.latency
        self.latency: float = max(latency) if isinstance(latency, tuple) else latency

    def start(self) -> None:
        self._stream.start()

    def stop(self) -> None:
        self._stream.abort()  # abort, since stop() would wait indefinitely if the sound server was lost

    def close(self) -> None:
        try:
            self._stream.close(ignore_errors=True)
        finally:
            self._on_close()


class SoundSystem:
    """Access to the sound devices of the machine."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open = 0
        self._library: Any = None
        self._listed: tuple[str, ...] = ()

    def inputs(self, refresh: bool = False) -> list[InputDevice]:
        """List the input devices, the system default first.

        Args:
            refresh: search for added and removed devices; ignored while a stream is open. Default: False.

        Raises:
            SoundDeviceError: if PortAudio is missing.
        """
        with self._lock:
            library = self._portaudio()
            if refresh and not self._open:
                library._terminate()
                library._initialize()
            found = [dict(device) for device in library.query_devices() if device["max_input_channels"] > 0]
            default = library.default.device[0]
        devices = [InputDevice(str(device["name"]), str(device["name"])) for device in found]
        if devices and default >= 0:
            name = next((str(device["name"]) for device in found if device["index"] == default), "")
            devices.insert(
                0, InputDevice("", f"System default ({name})" if name not in ("", "default") else "System default")
            )
        return devices

    def devices_changed(self) -> bool:
        """Return whether devices may have been added or removed since the last call."""
        if not SOUND_CARDS.is_dir():
            return True
        listed = tuple(sorted(path.name for path in SOUND_CARDS.iterdir()))
        changed, self._listed = listed != self._listed, listed
        return changed

    def open_input(self, name: str, callback: InputCallback, on_finished: Callable[[], None]) -> SoundStream:
        """Open, but do not start, an input stream at the device's default sample rate.

        Args:
            name: device name as in `inputs`; empty for the system default.
            callback: called with each block (S, channels), float32, on PortAudio's thread.
            on_finished: called when the stream has ended for any reason.

        Raises:
            SoundDeviceError: if the device does not exist or cannot be opened.
        """
        lost = False

        def forward(indata: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
            nonlocal lost
            callback(indata.copy())
            if status.input_overflow and not lost:
                lost = True
                logger.warning("This machine is too busy: some of the microphone's samples were lost.")

        with self._lock, self._translated_errors("microphone"):
            library = self._portaudio()
            if not any(device["max_input_channels"] > 0 for device in library.query_devices()):
                raise SoundDeviceError(NO_INPUT)
            info = library.query_devices(name or None, "input")
            channels = min(2, int(info["max_input_channels"]))  # some devices do not support one channel
            rate = self._rate(
                info, lambda rate: library.check_input_settings(name or None, channels, "float32", samplerate=rate)
            )
            stream = library.InputStream(
                rate, device=name or None, channels=channels, dtype="float32", latency=LATENCY_S, callback=forward,
                finished_callback=on_finished,
            )  # fmt: skip
            return self._counted(stream)

    def open_output(self, rate: int, callback: OutputCallback, on_finished: Callable[[], None]) -> SoundStream:
        """Open, but do not start, a stream to the default output device, at `rate` if the device supports it.

        Args:
            rate: requested sample rate, hertz; the actual rate is the stream's `samplerate`.
            callback: fills each block (S, 1), float32, on PortAudio's thread, and returns False after the last one.
            on_finished: called when the stream has ended for any reason.

        Raises:
            SoundDeviceError: if there is no output device or it cannot be opened.
        """

        def forward(outdata: NDArray[np.float32], frames: int, time: Any, status: Any) -> None:
            if not callback(outdata):
                raise self._library.CallbackStop

        with self._lock, self._translated_errors("output device"):
            library = self._portaudio()
            if not any(device["max_output_channels"] > 0 for device in library.query_devices()):
                raise SoundDeviceError(NO_OUTPUT)
            info = dict(library.query_devices(None, "output"), default_samplerate=rate)
            rate = self._rate(info, lambda rate: library.check_output_settings(None, 1, "float32", samplerate=rate))
            stream = library.OutputStream(
                rate, channels=1, dtype="float32", latency=LATENCY_S, callback=forward, finished_callback=on_finished
            )
            return self._counted(stream)

    def _rate(self, info: Any, check: Callable[[int], None]) -> int:
        rates = [int(info["default_samplerate"]), *COMMON_RATES_HZ]
        for rate in rates:
            try:
                check(rate)
                return rate
            except (self._library.PortAudioError, ValueError):
                logger.info("%s refuses %d Hz", info["name"], rate)
        return rates[0]  # opening the stream reports the error

    def _counted(self, stream: Any) -> SoundStream:
        self._open += 1

        def closed() -> None:
            with self._lock:
                self._open -= 1

        return _CountedStream(stream, closed)

    def _portaudio(self) -> Any:
        if self._library is None:
            try:
                import sounddevice
            except OSError as error:
                raise SoundDeviceError("PortAudio is missing: on Debian, apt-get install libportaudio2.") from error
            self._library = sounddevice
        return self._library

    @contextmanager
    def _translated_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except SoundDeviceError:
            raise
        except ValueError as error:
            raise SoundDeviceError(f"The {what} is no longer available: choose another under Input device.") from error
        except OSError as error:
            raise SoundDeviceError(f"The {what} cannot be used: {error}.") from error
        except self._library.PortAudioError as error:
            reason = str(error.args[0]) if error.args else str(error)
            raise SoundDeviceError(
                f"The {what} cannot be opened ({reason}): check that it is plugged in, not used by another program, and that "
                "this "
                "program has the permission to use it."
            ) from error

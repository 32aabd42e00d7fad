"""PortAudio's devices and errors, with a stand-in for the library."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ui.sound import devices as devices_module
from ui.sound.devices import SoundDeviceError, SoundSystem


class PortAudioError(Exception):
    pass


class Stream:
    def __init__(self, samplerate: int, **options: Any) -> None:
        self.samplerate, self.options = samplerate, options
        self.latency, self.done = (0.2, 0.2), []

    def start(self) -> None:
        self.done.append("start")

    def abort(self) -> None:
        self.done.append("abort")

    def close(self, ignore_errors: bool) -> None:
        self.done.append("close")


class Library:
    """As much of sounddevice as the app uses."""

    PortAudioError = PortAudioError
    CallbackStop = StopIteration

    def __init__(self) -> None:
        self.names = ["USB Mic", "HDMI"]
        self.default = SimpleNamespace(device=[0, 1])
        self.refused: set[int] = set()
        self.num_initialised = 0
        self.streams: list[Stream] = []
        self.fails: Exception | None = None

    def query_devices(self, name: str | None = None, kind: str | None = None) -> Any:
        listed = [
            {"name": each, "index": index, "max_input_channels": 4 * (each != "HDMI"),
             "max_output_channels": 2 * (each == "HDMI"), "default_samplerate": 44100.0}
            for index, each in enumerate(self.names)
        ]  # fmt: skip
        if kind is None:
            return listed
        found = [each for each in listed if each["name"] == name or name is None and each[f"max_{kind}_channels"]]
        if not found:
            raise ValueError(f"No {kind} device matching {name!r}")
        return found[0]

    def check_input_settings(self, device: Any, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate in self.refused:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")

    check_output_settings = check_input_settings

    def InputStream(self, samplerate: int, **options: Any) -> Stream:
        if self.fails:
            raise self.fails
        self.streams.append(Stream(samplerate, **options))
        return self.streams[-1]

    OutputStream = InputStream

    def _terminate(self) -> None:
        assert all("close" in stream.done for stream in self.streams), "an open stream would be ended"

    def _initialize(self) -> None:
        self.num_initialised += 1


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def sound(library: Library) -> SoundSystem:
    system = SoundSystem()
    system._library = library
    return system


def test_microphones_are_listed_with_the_default_first(sound: SoundSystem, library: Library) -> None:
    assert [(device.name, device.label) for device in sound.inputs()] == [
        ("", "System default (USB Mic)"),
        ("USB Mic", "USB Mic"),
    ]
    library.names = ["HDMI"]
    assert sound.inputs(refresh=True) == [] and library.num_initialised == 1


def test_the_list_is_not_renewed_while_a_stream_is_open(sound: SoundSystem, library: Library) -> None:
    stream = sound.open_input("USB Mic", lambda block: None, lambda: None)
    sound.inputs(refresh=True)
    assert library.num_initialised == 0
    stream.stop()
    stream.close()
    sound.inputs(refresh=True)
    assert library.num_initialised == 1 and library.streams[0].done == ["abort", "close"]


def test_a_microphone_is_opened_at_its_own_rate_and_its_blocks_are_copies(sound: SoundSystem, library: Library) -> None:
    blocks: list[np.ndarray] = []
    stream = sound.open_input("USB Mic", blocks.append, lambda: None)
    assert stream.samplerate == 44100 and stream.latency == 0.2
    assert library.streams[0].options["channels"] == 2 and library.streams[0].options["device"] == "USB Mic"
    memory = np.ones((5, 2), np.float32)
    library.streams[0].options["callback"](memory, 5, None, SimpleNamespace(input_overflow=False))
    memory[:] = 0  # PortAudio uses it again
    assert blocks[0].all()


def test_a_refused_rate_is_replaced_by_a_common_one(sound: SoundSystem, library: Library) -> None:
    library.refused = {44100, 48000}
    assert sound.open_input("", lambda block: None, lambda: None).samplerate == 32000
    assert sound.open_output(48000, lambda block: True, lambda: None).samplerate == 32000
    library.refused = {44100}
    assert sound.open_output(48000, lambda block: True, lambda: None).samplerate == 48000


def test_lost_sound_is_reported_once(sound: SoundSystem, library: Library, caplog: pytest.LogCaptureFixture) -> None:
    sound.open_input("", lambda block: None, lambda: None)
    for _ in range(3):
        library.streams[0].options["callback"](np.ones((5, 2)), 5, None, SimpleNamespace(input_overflow=True))
    assert caplog.text.count("some of the microphone's samples were lost") == 1


def test_the_end_of_playback_stops_the_callback(sound: SoundSystem, library: Library) -> None:
    sound.open_output(48000, lambda block: False, lambda: None)
    with pytest.raises(StopIteration):
        library.streams[0].options["callback"](np.ones((5, 1)), 5, None, None)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            PortAudioError("Device unavailable [PaErrorCode -9985]", -9985),
            "Device unavailable.*permission to use it",
        ),
        (ValueError("No input device matching 'x'"), "no longer available"),
        (OSError("driver"), "cannot be used"),
    ],
)
def test_what_portaudio_says_becomes_a_sentence(
    sound: SoundSystem, library: Library, fault: Exception, sentence: str
) -> None:
    library.fails = fault
    with pytest.raises(SoundDeviceError, match=sentence):
        sound.open_input("", lambda block: None, lambda: None)
    with pytest.raises(SoundDeviceError, match="no longer available"):
        sound.open_input("Gone", lambda block: None, lambda: None)


def test_no_device_at_all_is_a_sentence(sound: SoundSystem, library: Library) -> None:
    library.names = []
    with pytest.raises(SoundDeviceError, match="No microphone was found"):
        sound.open_input("", lambda block: None, lambda: None)
    with pytest.raises(SoundDeviceError, match="No output device was found"):
        sound.open_output(48000, lambda block: True, lambda: None)


def test_changes_are_noticed_where_the_system_lists_its_cards(
    sound: SoundSystem, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("snd")
    (folder / "controlC0").touch()
    monkeypatch.setattr(devices_module, "SOUND_CARDS", folder)
    assert sound.devices_changed() and not sound.devices_changed()
    (folder / "pcmC1D0c").touch()
    assert sound.devices_changed() and not sound.devices_changed()
    monkeypatch.setattr(devices_module, "SOUND_CARDS", folder / "none")
    assert sound.devices_changed() and sound.devices_changed()

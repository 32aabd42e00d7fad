"""The microphone, the recorder and their messages when devices fail, without a window."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.audio import Waveform, load_audio
from tests.ui.simulated import SimulatedSystem, chirp, wait_for
from ui.sound import recorder as recorder_module
from ui.sound.devices import SoundDeviceError
from ui.sound.levels import FLOOR_DB, LoudEvents, peak_and_rms_db, to_amplitude, to_db
from ui.sound.microphone import DIGITAL_SILENCE, LOST, PUMP_S, STALL_S, ZEROS_S, Microphone, MicrophoneEvents
from ui.sound.recorder import Recorder, RecordingError


class Told:
    """Records the events of a microphone."""

    def __init__(self) -> None:
        self.rates: list[int] = []
        self.blocks: list[Waveform] = []
        self.notices: list[str] = []
        self.losses: list[str] = []
        self.over: list[bool] = []
        self.events = MicrophoneEvents(
            self.rates.append,
            lambda block, peak_db, rms_db: self.blocks.append(block),
            self.notices.append,
            lambda: self.over.append(True),
            self.losses.append,
        )


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_a_recording_has_every_sample_from_the_first_to_the_last(tmp_path: Path, rate: int) -> None:
    sound = chirp(1.2, rate)
    system, told = SimulatedSystem(sound, rate), Told()
    microphone, recorder = Microphone(system.open_input, told.events), Recorder(tmp_path)
    microphone.add(recorder)
    microphone.open("USB")
    wait_for(lambda: recorder.duration_s > 0.5)
    num_sent_at_stop = system.inputs_made[0].num_sent
    microphone.close()
    microphone.remove(recorder)
    recording = recorder.finish()
    assert recording is not None and system.opened == ["USB"] and told.rates == [rate]
    samples, found_rate = soundfile.read(recording.path, dtype="float32")
    assert found_rate == rate and len(samples) >= num_sent_at_stop  # nothing queued is dropped at Stop
    expected = np.pad(sound, (0, max(0, len(samples) - len(sound))))[: len(samples)]
    np.testing.assert_allclose(samples, expected, atol=2e-4)  # from sample 0 on: no first half second is lost
    assert recording.duration_s == pytest.approx(len(samples) / rate)
    model_samples = load_audio(recording.path, 32000)  # the device's own rate, resampled to the model's
    assert len(model_samples) == pytest.approx(32000 * recording.duration_s, abs=2)


def test_a_recording_is_whole_on_disk_while_it_grows(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "folder")
    sound = chirp(1.0, 48000)
    for number in range(10):
        recorder.feed(sound[number * 4800 : (number + 1) * 4800], 48000)
        samples, rate = soundfile.read(recorder.path)  # as another program, or this one after a crash, finds it
        assert rate == 48000 and len(samples) == (number + 1) * 4800


def test_pause_leaves_out_and_resume_goes_on(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    ones = np.full(1000, 0.5, np.float32)
    recorder.feed(ones, 8000)
    recorder.pause()
    recorder.feed(-ones, 8000)
    recorder.resume()
    recorder.feed(ones, 8000)
    recording = recorder.finish()
    assert recording is not None and recording.duration_s == 0.25
    assert soundfile.read(recording.path)[0].min() > 0.4


def test_two_recordings_of_one_second_have_two_names(tmp_path: Path) -> None:
    first, second = Recorder(tmp_path), Recorder(tmp_path)
    assert first.path != second.path
    assert first.finish() is None and second.finish() is None
    assert list(tmp_path.iterdir()) == []  # nothing came, so nothing stays


def test_a_full_disk_ends_the_recording_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "MAX_FILE_BYTES", 100_000)
    recorder = Recorder(tmp_path)
    for _ in range(10):
        recorder.feed(chirp(0.5, 16000), 16000)
    assert recorder.error is not None and "4 GiB" in recorder.error and str(recorder.path) in recorder.error
    recording = recorder.finish()
    assert recording is not None and soundfile.info(recording.path).duration == recording.duration_s == 3.0


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="choose another folder"):
        Recorder(tmp_path / "file")


def test_no_microphone_is_reported() -> None:
    system, told = SimulatedSystem(), Told()
    system.devices = []
    microphone = Microphone(system.open_input, told.events)
    with pytest.raises(SoundDeviceError, match="No microphone was found"):
        microphone.open("")
    assert not microphone.is_open


@pytest.mark.parametrize(("fault", "sentence"), [("lose", LOST), ("stalls", LOST), ("sends_zeros", DIGITAL_SILENCE)])
def test_a_fault_is_reported_and_the_recording_kept(tmp_path: Path, fault: str, sentence: str) -> None:
    system, told = SimulatedSystem(chirp(5.0, 48000)), Told()
    microphone, recorder = Microphone(system.open_input, told.events), Recorder(tmp_path)
    microphone.add(recorder)
    microphone.open("")
    wait_for(lambda: recorder.duration_s > 0.3)
    if fault == "lose":
        system.inputs_made[0].lose()
    else:
        setattr(system.inputs_made[0], fault, True)
    wait_for(lambda: bool(told.losses or told.notices), 30.0)
    assert (told.losses or told.notices) == [sentence] and max(
        STALL_S, ZEROS_S
    ) + 2 * PUMP_S <= 2.0  # seconds that a person waits for it
    if fault == "sends_zeros":
        assert not told.losses and not told.over  # it may only be muted: the recording goes on
        system.inputs_made[0].sends_zeros = False
        wait_for(lambda: bool(told.over))
    microphone.close()
    recording = recorder.finish()
    assert recording is not None and recording.duration_s > 0.3


def test_a_listener_that_was_removed_hears_nothing(tmp_path: Path) -> None:
    system, told = SimulatedSystem(chirp(5.0, 48000)), Told()
    microphone, recorder = Microphone(system.open_input, told.events), Recorder(tmp_path)
    microphone.open("")
    wait_for(lambda: bool(told.blocks))
    microphone.add(recorder)
    wait_for(lambda: recorder.duration_s > 0.1)
    microphone.drain()
    microphone.remove(recorder)
    duration_s = recorder.duration_s
    time.sleep(0.2)
    assert recorder.duration_s == duration_s
    microphone.close()


def test_levels() -> None:
    assert to_db(1.0) == 0 and to_db(0.0) == FLOOR_DB and to_amplitude(-20.0) == pytest.approx(0.1)
    peak_db, rms_db = peak_and_rms_db(0.5 * np.sin(np.arange(48000) / 10).astype(np.float32))
    assert peak_db == pytest.approx(-6.02, abs=0.01) and rms_db == pytest.approx(-9.03, abs=0.01)


def test_loud_events_stand_out_and_flash_at_most_once_a_second() -> None:
    events = LoudEvents()
    quiet = [events.feed(0.05 * step, -60.0) for step in range(100)]
    assert not any(quiet)
    loud = [events.feed(5.0 + 0.05 * step, -10.0) for step in range(20)]
    assert loud[0] and sum(loud) == 1
    assert not any(LoudEvents().feed(0.05 * step, -45.0 + step % 3) for step in range(100))

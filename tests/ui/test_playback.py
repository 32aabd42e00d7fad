"""Decoding and playback, without a window."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.audio import AudioError
from tests.ui.simulated import SimulatedSystem, chirp, wait_for
from ui.sound import decoded as decoded_module
from ui.sound.decoded import PCM_RATE_HZ, DecodedSound, decode
from ui.sound.devices import SoundDeviceError
from ui.sound.player import OUTPUT_LOST, Player


def decode_file(path: Path, folder: Path) -> DecodedSound:
    sound = decode(path, folder / "sound.pcm", lambda share: None, lambda: False)
    assert sound is not None
    return sound


def test_a_recording_is_decoded_with_its_outline_and_spectrogram(tmp_path: Path) -> None:
    time_s = np.arange(44100 * 12) / 44100
    tone = 0.5 * np.sin(2 * np.pi * 3000 * time_s) * (time_s > 6)
    soundfile.write(tmp_path / "tone.flac", np.stack([tone, tone], axis=1), 44100)
    shares: list[float] = []
    sound = decode(tmp_path / "tone.flac", tmp_path / "sound.pcm", shares.append, lambda: False)
    assert sound is not None and sound.duration_s == pytest.approx(12, abs=0.1)
    assert shares == sorted(shares) and len(shares) == 3
    assert isinstance(sound.pcm, np.memmap)
    times, line = sound.outline(0, 12, 100)
    assert 180 <= len(times) <= 260 and np.all(np.diff(times) >= 0)
    assert np.abs(line[times < 5.5]).max() < 0.01 and line[times > 6.5].max() == pytest.approx(0.5, abs=0.02)
    times, line = sound.outline(7.0, 7.001, 1000)  # zoomed in to single samples
    assert len(times) == 98 and times[0] == pytest.approx(7.0, abs=1e-3)
    loudest = sound.spectrogram[-60].argmax() / sound.spectrogram.shape[1] * sound.highest_hz
    assert loudest == pytest.approx(3000, abs=50) and sound.spectrogram[10].max() < 50


def test_an_hour_draws_from_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoded_module, "MAX_SPECTRA", 300)
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=8000 * 60), 8000)
    sound = decode_file(tmp_path / "long.wav", tmp_path)
    assert 100 <= len(sound.spectrogram) <= 300
    assert len(sound.extremes) == pytest.approx(6000, abs=20)


def test_decoding_stops_when_another_recording_is_asked_for(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "tone.wav", chirp(30.0, 8000), 8000)
    assert decode(tmp_path / "tone.wav", tmp_path / "sound.pcm", lambda share: None, lambda: True) is None


def test_a_file_that_is_no_sound_is_an_audio_error(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(AudioError, match="text.wav"):
        decode_file(tmp_path / "text.wav", tmp_path)


class Listener:
    def __init__(self, system: SimulatedSystem) -> None:
        self.ends: list[str | None] = []
        self.player = Player(system.open_output, self.ends.append)


def pcm(seconds: float) -> np.ndarray:
    return np.round(chirp(seconds, PCM_RATE_HZ) * 32767).astype(np.int16)


def test_every_sample_is_played_and_the_end_is_reported() -> None:
    system = SimulatedSystem(speed=5.0)
    listener, samples = Listener(system), pcm(1.0)
    listener.player.load(samples, PCM_RATE_HZ)
    listener.player.play()
    wait_for(lambda: bool(listener.ends))
    played = np.concatenate(system.outputs_made[0].played)
    np.testing.assert_allclose(played[: len(samples)], samples / 32768, atol=1e-6)
    assert not played[len(samples) :].any()
    assert listener.ends == [None] and listener.player.position_s == 1.0
    listener.player.pause()
    assert listener.player.position_s == 1.0
    listener.player.play()  # from the start again
    wait_for(lambda: len(listener.ends) == 2)
    assert len(np.concatenate(system.outputs_made[1].played)) >= len(samples)


def test_pause_stays_where_it_is_and_seek_goes_anywhere() -> None:
    system = SimulatedSystem()
    listener, samples = Listener(system), pcm(3.0)
    listener.player.load(samples, PCM_RATE_HZ)
    listener.player.seek(1.0)
    assert listener.player.position_s == 1.0
    listener.player.play()
    wait_for(lambda: listener.player.position_s > 1.2)
    listener.player.pause()
    position_s = listener.player.position_s
    assert 1.2 <= position_s < 3.0 and listener.ends == []
    np.testing.assert_allclose(system.outputs_made[0].played[0], samples[48000:48960] / 32768, atol=1e-6)
    listener.player.seek(99.0)
    assert listener.player.position_s == 3.0
    listener.player.seek(-5.0)
    assert listener.player.position_s == 0.0


def test_a_device_of_another_rate_plays_at_the_right_pitch() -> None:
    system = SimulatedSystem(speed=5.0, output_rate=44100)
    listener = Listener(system)
    tone = np.round(16000 * np.sin(2 * np.pi * 1000 * np.arange(PCM_RATE_HZ) / PCM_RATE_HZ)).astype(np.int16)
    listener.player.load(tone, PCM_RATE_HZ)
    listener.player.play()
    wait_for(lambda: bool(listener.ends))
    played = np.concatenate(system.outputs_made[0].played)[:44100]
    assert np.abs(np.fft.rfft(played)).argmax() == pytest.approx(1000, abs=1)


def test_no_output_device_is_a_sentence() -> None:
    system = SimulatedSystem()
    system.has_output = False
    listener = Listener(system)
    listener.player.load(pcm(1.0), PCM_RATE_HZ)
    with pytest.raises(SoundDeviceError, match="No output device was found"):
        listener.player.play()
    assert not listener.player.is_playing


def test_a_lost_output_device_is_reported() -> None:
    system = SimulatedSystem()
    listener = Listener(system)
    listener.player.load(pcm(3.0), PCM_RATE_HZ)
    listener.player.play()
    wait_for(lambda: listener.player.position_s > 0.2)
    system.outputs_made[0].lose()
    wait_for(lambda: bool(listener.ends))
    assert listener.ends == [OUTPUT_LOST]


def test_nothing_loaded_plays_nothing() -> None:
    system = SimulatedSystem()
    Listener(system).player.play()
    assert system.outputs_made == []

"""Reading recordings: formats, rates, trouble, and audio that hurts."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from data.audio import AudioError, audio_duration_s, find_audio_files, is_silent, load_audio, stream_audio, stream_parts

ROOT = Path(__file__).parents[2]


def tone(seconds: float, rate: int) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def encode(path: Path, codec: str, seconds: float = 2.0, rate: int = 48000) -> Path:
    """Write a tone with FFmpeg's encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(seconds, rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or 0
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def correlation(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest normalised correlation over small shifts."""
    length = min(len(found), len(expected)) - 4000
    middle = expected[2000 : 2000 + length]
    best = 0.0
    for shift in range(0, 4000, 1):
        part = found[shift : shift + length]
        if len(part) == length:
            best = max(best, float(np.dot(part, middle) / (np.linalg.norm(part) * np.linalg.norm(middle) + 1e-9)))
    return best


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus", "m4a", "mp4", "webm"])
def test_every_format_gives_the_tone_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix in ("m4a", "mp4"):
        encode(path, "aac")
    elif suffix in ("webm", "opus"):
        encode(path, "libopus")
    else:
        soundfile.write(path, tone(2, 44100), 44100)
    waveform = load_audio(path, 32000)
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert len(waveform) == pytest.approx(64000, abs=2000)
    assert correlation(waveform, tone(2, 32000)) > 0.98
    assert audio_duration_s(path) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_depths_and_channels(tmp_path: Path, subtype: str, channels: int) -> None:
    sound = np.stack([tone(0.5, 16000) * (number + 1) / channels for number in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", sound, 16000, subtype=subtype)
    assert np.allclose(load_audio(tmp_path / "a.wav", 16000), sound.mean(axis=1), atol=0.01)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([8000, 11025, 22050, 44100, 48000, 96000]), st.sampled_from([16000, 32000]), st.floats(0.1, 2))
def test_length_follows_the_rate(
    tmp_path_factory: pytest.TempPathFactory, rate: int, wanted: int, seconds: float
) -> None:
    path = tmp_path_factory.mktemp("rates") / "a.wav"
    sound = tone(seconds, rate)
    soundfile.write(path, sound, rate)
    assert abs(len(load_audio(path, wanted)) - len(sound) * wanted / rate) <= 2


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 3), st.floats(0.15, 1.5), st.floats(0.3, 1))
def test_windows_cover_the_recording(
    tmp_path_factory: pytest.TempPathFactory, seconds: float, window: float, hop_share: float
) -> None:
    path = tmp_path_factory.mktemp("windows") / "a.wav"
    soundfile.write(path, tone(seconds, 16000), 16000)
    whole = load_audio(path, 16000)
    windows = list(stream_audio(path, 16000, window, window * hop_share))
    for start, waveform in windows:
        first = round(start * 16000)
        assert np.array_equal(waveform, whole[first : first + len(waveform)])
    last_start, last = windows[-1]
    assert round(last_start * 16000) + len(last) >= len(whole) - 1600


def test_a_part_of_a_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(3, 16000), 16000)
    part = load_audio(tmp_path / "a.wav", 16000, start_s=1, max_duration_s=0.5)
    assert np.allclose(part, load_audio(tmp_path / "a.wav", 16000)[16000:24000])
    with pytest.raises(AudioError, match="ends before"):
        load_audio(tmp_path / "a.wav", 16000, start_s=5)


def refused(path: Path, match: str) -> None:
    with pytest.raises(AudioError, match=match) as caught:
        load_audio(path, 32000)
    assert "\n" not in str(caught.value)
    with pytest.raises(AudioError):
        list(stream_audio(path, 32000, 1.0))


def test_what_is_no_recording_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello " * 100)
    os.mkfifo(tmp_path / "pipe.wav")
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16000)
    bad = tone(1, 16000)
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        bad[7] = value
        soundfile.write(tmp_path / f"{name}.wav", bad, 16000, subtype="FLOAT")
        refused(tmp_path / f"{name}.wav", "NaN or infinite")
    refused(tmp_path / "empty.wav", "is empty")
    refused(tmp_path / "text.wav", "cannot be decoded")
    refused(tmp_path / "pipe.wav", "not a regular file")
    refused(tmp_path, "not a regular file")
    refused(tmp_path / "missing.wav", "No such file")
    refused(Path("http://127.0.0.1:9/a.wav"), "cannot be opened")
    refused(tmp_path / "nothing.wav", "no audio samples")


@pytest.mark.parametrize(
    "content",
    ["ffconcat version 1.0\nfile {other}\n", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other}\n#EXT-X-ENDLIST\n"],
)
@pytest.mark.parametrize("suffix", ["wav", "m3u8", "mp4"])
def test_a_list_that_names_other_files_opens_none(tmp_path: Path, content: str, suffix: str) -> None:
    other = encode(tmp_path / "secret.m4a", "aac")
    (tmp_path / f"list.{suffix}").write_text(content.format(other=other))
    refused(tmp_path / f"list.{suffix}", "is a playlist|format that is not supported")


def test_a_truncated_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "a.wav", tone(2, 16000), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert len(load_audio(tmp_path / "half.wav", 16000)) == pytest.approx(16000, abs=100)
    assert "half.wav is truncated" in caplog.text


def test_rates_and_channels_are_bounded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(100), 1)
    refused(tmp_path / "slow.wav", "sample rate of 1 Hz")
    soundfile.write(tmp_path / "wide.wav", np.zeros((100, 65)), 16000)
    refused(tmp_path / "wide.wav", "65 channels")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_bomb_is_streamed(tmp_path: Path) -> None:
    """An hour of silent 8-channel FLAC: 5 GB if it lay in memory whole."""
    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", 44100, 8) as file:
        for _ in range(360):
            file.write(np.zeros((441000, 8), np.int16))
    code = (
        "import sys\nfrom pathlib import Path\nfrom data.audio import stream_audio\n"
        "print(sum(1 for _ in stream_audio(sys.argv[1], 32000, 10.0)))\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.flac")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    windows, peak_kilobytes = map(int, done.stdout.split())
    assert windows == 360
    assert peak_kilobytes < 500_000


def test_silence_and_folders(tmp_path: Path) -> None:
    assert is_silent(np.zeros(10, np.float32)) and is_silent(np.zeros(0, np.float32))
    assert not is_silent(np.array([0, 0.01], np.float32))
    (tmp_path / "b").mkdir()
    for name in ("a.WAV", "b/c.mp3", "note.txt", ".hidden.wav"):
        (tmp_path / name).touch()
    assert [path.name for path in find_audio_files(tmp_path)] == ["a.WAV", "c.mp3"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    soundfile.write(tmp_path / "a.wav", tone(1, 16000), 16000)
    os.rename(tmp_path / "a.wav", path)
    assert len(load_audio(os.fsdecode(path), 16000)) == 16000


def test_windows_of_a_part_of_a_recording(tmp_path: Path) -> None:
    ramp = np.linspace(-0.5, 0.5, 16000 * 10, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, 16000, subtype="FLOAT")
    found = list(stream_audio(tmp_path / "ramp.wav", 16000, 2.0, start_s=3.0, end_s=7.5))
    assert [(start, len(window)) for start, window in found] == [(3.0, 32000), (5.0, 32000), (7.0, 8000)]
    np.testing.assert_array_equal(np.concatenate([window for _, window in found]), ramp[48000:120000])
    with pytest.raises(AudioError, match="ends before 11 s"):
        list(stream_audio(tmp_path / "ramp.wav", 16000, 2.0, start_s=11.0))


def test_silence_may_have_another_threshold() -> None:
    quiet = np.resize(np.array([0.01, -0.01], np.float32), 10)
    assert is_silent(quiet, 0.02) and not is_silent(quiet, 0.005)


def test_parts_of_a_recording(tmp_path: Path) -> None:
    ramp = np.linspace(-0.5, 0.5, 16000 * 10, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", ramp, 16000, subtype="FLOAT")
    parts = [(0.0, 1.0), (1.0, 1.5), (4.25, 6.0), (9.0, 12.0), (13.0, 14.0)]
    found = list(stream_parts(tmp_path / "ramp.wav", 16000, parts))
    assert [start for start, _ in found] == [0.0, 1.0, 4.25, 9.0]
    for (start_s, end_s), (_, waveform) in zip(parts, found, strict=False):
        np.testing.assert_array_equal(waveform, ramp[round(start_s * 16000) : round(end_s * 16000)])

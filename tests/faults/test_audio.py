"""Recordings that are broken, lie about themselves or are unusual: samples, a warning, or one sentence."""

import contextlib
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from benchmarks.fuzz import encode, fuzz
from captioning.recordings import Reader
from data import audio
from data.audio import AudioError, audio_duration_s, is_silent, load_audio, stream_audio
from data.decoding import decoder
from ui.sound.decoded import decode

RATE = 16_000
SHARED = Path(__file__).parents[3] / "shared" / "bad_inputs"
BY_SOUNDFILE = ("wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64", "rf64")
BY_FFMPEG = {
    "m4a": "aac", "mp4": "aac", "mov": "aac", "3gp": "aac", "aac": "aac", "webm": "libopus", "opus": "libopus",
    "mka": "libmp3lame", "mkv": "pcm_s16le", "mp2": "mp2", "ac3": "ac3",
}  # fmt: skip
EVERY_FORMAT = (*BY_SOUNDFILE, *BY_FFMPEG)


def noisy_tone(seconds: float, rate: int = RATE) -> np.ndarray:
    time_s = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(size=len(time_s))
    return (0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.03 * noise).astype(np.float32)


def write(path: Path, sound: np.ndarray, rate: int = RATE, **how: Any) -> Path:
    """Write samples (S,) or (S, C) in the format of the suffix."""
    if (suffix := path.suffix[1:]) in BY_FFMPEG:
        assert rate == RATE
        return encode(path, BY_FFMPEG[suffix], np.atleast_2d(sound.T).T.astype(np.float32))
    soundfile.write(path, sound, rate, format={"w64": "W64", "rf64": "RF64"}.get(suffix), **how)
    return path


def readers(path: Path) -> list[Callable[[], object]]:
    """All ways in which a recording is read: whole, in windows, and by the desktop app."""
    return [
        lambda: load_audio(path, RATE),
        lambda: list(stream_audio(path, RATE, 1.0)),
        lambda: decode(path, path.with_suffix(".pcm"), lambda share: None, lambda: False),
    ]


def refused(path: Path, match: str) -> None:
    for read in readers(path):
        with pytest.raises(AudioError, match=match) as caught:
            read()
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# No file stops a run


@pytest.mark.parametrize("tag", [b"\x32\x12", b"\xff\xff", b"\xfe\xff", b"\x00\x00", b"\x61\x01", b"\x55\x00"])
def test_a_wav_of_any_codec_is_samples_or_a_sentence(tmp_path: Path, tag: bytes) -> None:
    content = bytearray(write(tmp_path / "good.wav", noisy_tone(2)).read_bytes())
    content[20:22] = tag
    (tmp_path / "tag.wav").write_bytes(content)
    for read in (*readers(tmp_path / "tag.wav"), lambda: audio_duration_s(tmp_path / "tag.wav")):
        try:
            read()
        except AudioError as error:
            assert "tag.wav" in str(error)


@pytest.mark.parametrize(
    ("suffix", "names"),
    [
        ("m4a", [(b"mp4a", b"zzzz"), (b"esds", b"zzds")]),
        ("mov", [(b"mp4a", b"zzzz"), (b"esds", b"zzds"), (b"wave", b"zzve")]),
        ("webm", [(b"A_OPUS", b"A_XPUS")]),
        ("wav", [(b"fmt \x10", b"fmt \x02")]),
    ],
)
def test_a_codec_that_is_not_known_is_a_sentence(tmp_path: Path, suffix: str, names: list[tuple[bytes, bytes]]) -> None:
    content = write(tmp_path / f"good.{suffix}", noisy_tone(2)).read_bytes()
    for name, other in names:
        assert name in content or name == b"wave"
        content = content.replace(name, other)
    (tmp_path / f"odd.{suffix}").write_bytes(content)
    refused(tmp_path / f"odd.{suffix}", "decoded|unknown codec")


@pytest.mark.parametrize(
    "kind", [AttributeError, RecursionError, MemoryError, OverflowError, AssertionError, ZeroDivisionError]
)
@pytest.mark.parametrize("suffix", ["wav", "m4a"])
def test_whatever_a_decoder_raises_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], suffix: str
) -> None:
    def broken(*arguments: object, **named: object) -> object:
        raise kind("some object has no attribute")

    path = write(tmp_path / f"a.{suffix}", noisy_tone(1))
    monkeypatch.setattr(soundfile.SoundFile, "read", broken)
    monkeypatch.setattr(av, "AudioResampler", broken)
    refused(path, "a." + suffix)


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "ogg", "m4a", "webm", "caf", "w64"])
def test_decoders_keep_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str) -> None:
    """libmpg123 and FFmpeg print complaints; cffi and PyAV print tracebacks of seeks before the beginning."""
    good = write(tmp_path / f"good.{suffix}", noisy_tone(3)).read_bytes()
    generator = np.random.default_rng(3)
    for number in range(40):
        content = bytearray(good)
        low = 0 if number % 2 else len(good) // 4
        for place in generator.integers(low, len(content) if low else 200, 20):
            content[place] = int(generator.integers(256))
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(content)
        for read in (lambda path=path: load_audio(path, RATE), lambda path=path: audio_duration_s(path)):  # type: ignore[misc]
            with contextlib.suppress(AudioError):
                read()
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_a_name_of_two_lines_is_reported_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.wav"
    path.write_text("no sound")
    with pytest.raises(AudioError) as caught:
        load_audio(path, RATE)
    assert "\n" not in str(caught.value)


def test_fuzz(tmp_path: Path) -> None:
    counts, faults = fuzz(range(300), 0, tmp_path)
    assert not faults, "\n".join(faults)
    assert counts["samples"] + counts["error"] == 300 and min(counts["samples"], counts["error"]) > 30


# Samples that no recording has


@pytest.mark.parametrize("value", [1e30, -3e38, 1e5, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("suffix", ["wav", "aiff", "au", "caf", "w64"])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_samples_out_of_range_are_named(tmp_path: Path, suffix: str, value: float, num_channels: int) -> None:
    sound = np.stack([noisy_tone(3)] * num_channels, axis=1)
    sound[40_000, -1] = value
    refused(write(tmp_path / f"a.{suffix}", sound, subtype="FLOAT"), "NaN or infinite|times full scale")


def test_samples_out_of_range_are_named_through_ffmpeg_too(tmp_path: Path) -> None:
    refused(encode(tmp_path / "a.mkv", "pcm_f32le", 1e30 * noisy_tone(2)[:, None]), "times full scale")


def test_a_recording_may_be_louder_than_full_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 100 * noisy_tone(1), subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(path, RATE), 100 * noisy_tone(1))


@pytest.mark.parametrize(
    ("suffix", "num_samples"),
    [("mkv", 1000), *((suffix, number) for suffix in BY_SOUNDFILE for number in (1, 2, 1000))],
)
def test_under_a_tenth_of_a_second_is_named(tmp_path: Path, suffix: str, num_samples: int) -> None:
    refused(write(tmp_path / f"a.{suffix}", noisy_tone(1)[:num_samples]), "too short|no audio samples")


def test_a_tenth_of_a_second_is_read_at_any_rate(tmp_path: Path) -> None:
    for rate in (8000, 11025, 22050, 44100, 48000, 96000):
        path = write(tmp_path / f"{rate}.wav", noisy_tone(0.1, rate), rate)
        assert len(load_audio(path, 32000)) == pytest.approx(3200, abs=2)
        assert len(list(stream_audio(path, 32000, 10.0))) == 1


# Headers that lie


def patched(path: Path, *changes: tuple[bytes, int, bytes]) -> None:
    """Overwrite bytes: (name to find, offset from it, bytes)."""
    content = bytearray(path.read_bytes())
    for name, offset, value in changes:
        place = content.index(name) + offset
        content[place : place + len(value)] = value
    path.write_bytes(content)


OPEN_SIZES = [0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFF00, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36]


def check_whole(path: Path, caplog: pytest.LogCaptureFixture, seconds: float = 5.0, tolerance_s: float = 0.0) -> None:
    """Read to the end, without a warning, in windows too, and as long as its length is said to be."""
    with caplog.at_level(logging.WARNING):
        waveform = load_audio(path, RATE)
    assert not warnings_of(caplog)
    assert len(waveform) / RATE == pytest.approx(seconds, abs=tolerance_s + 1e-9)
    windows = list(stream_audio(path, RATE, 1.0))
    np.testing.assert_array_equal(
        np.concatenate([window for _, window in windows])[: len(waveform)], waveform[: len(windows) * RATE]
    )
    assert audio_duration_s(path) == pytest.approx(seconds, abs=tolerance_s + 0.1)


@pytest.mark.parametrize("size", OPEN_SIZES)
def test_wav_of_a_pipe_or_of_a_recorder_that_died(tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture) -> None:
    for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW"):
        path = write(tmp_path / f"{subtype}.wav", noisy_tone(5), subtype=subtype)
        expected = load_audio(path, RATE)
        patched(path, (b"RIFF", 4, struct.pack("<I", size)), (b"data", 4, struct.pack("<I", size)))
        check_whole(path, caplog)
        np.testing.assert_array_equal(load_audio(path, RATE), expected)


@pytest.mark.parametrize(
    ("suffix", "changes"),
    [
        ("rf64", [(b"ds64", 8, bytes(24))]),
        ("rf64", [(b"ds64", 8, b"\xff" * 24)]),
        ("w64", [(b"data", 16, bytes(8))]),
        ("w64", [(b"data", 16, b"\xff" * 8)]),
        ("au", [(b".snd", 8, bytes(4))]),
        ("au", [(b".snd", 8, b"\xff" * 4)]),
        ("aiff", [(b"COMM", 10, bytes(4)), (b"SSND", 4, bytes(4))]),
        ("aiff", [(b"FORM", 4, b"\xff" * 4), (b"COMM", 10, b"\xff" * 4), (b"SSND", 4, b"\xff" * 4)]),
        ("caf", [(b"data", 4, b"\xff" * 8)]),
    ],
)
def test_other_formats_of_a_pipe(
    tmp_path: Path, suffix: str, changes: list[tuple[bytes, int, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / f"a.{suffix}", noisy_tone(5))
    patched(path, *changes)
    check_whole(path, caplog)


def test_an_empty_wav_is_empty(tmp_path: Path) -> None:
    """Its size of 0 is meant: whole chunks follow."""
    content = write(tmp_path / "a.wav", np.zeros(0)).read_bytes()
    (tmp_path / "a.wav").write_bytes(content + b"LIST" + struct.pack("<I", 3000) + bytes(3000))
    refused(tmp_path / "a.wav", "no audio samples")


@pytest.mark.parametrize("num_channels", [1, 2])
def test_flac_of_a_pipe(tmp_path: Path, num_channels: int, caplog: pytest.LogCaptureFixture) -> None:
    for subtype in ("PCM_16", "PCM_24"):
        path = write(tmp_path / "a.flac", np.stack([noisy_tone(5)] * num_channels, axis=1), subtype=subtype)
        expected, content = load_audio(path, RATE), bytearray(path.read_bytes())
        content[18:26] = (int.from_bytes(content[18:26], "big") >> 36 << 36).to_bytes(8, "big")  # no total
        path.write_bytes(content)
        check_whole(path, caplog)
        np.testing.assert_array_equal(load_audio(path, RATE), expected)


@pytest.mark.parametrize(
    ("suffix", "tolerance_s"),
    [("ogg", 0.05), ("opus", 0.05), ("mp3", 0.15), ("mp2", 0.15), ("ac3", 0.15), ("aac", 0.15)],
)
def test_joined_files_are_read_whole(
    tmp_path: Path, suffix: str, tolerance_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    one = write(tmp_path / f"a.{suffix}", noisy_tone(5)).read_bytes()
    two = write(tmp_path / f"b.{suffix}", noisy_tone(6)).read_bytes()
    (tmp_path / f"joined.{suffix}").write_bytes(one + two)
    check_whole(tmp_path / f"joined.{suffix}", caplog, 11.0, tolerance_s)


def test_joined_flac_is_read_whole(tmp_path: Path) -> None:
    one = write(tmp_path / "a.flac", noisy_tone(5)).read_bytes()
    (tmp_path / "joined.flac").write_bytes(one + one)
    np.testing.assert_array_equal(
        load_audio(tmp_path / "joined.flac", RATE), np.tile(load_audio(tmp_path / "a.flac", RATE), 2)
    )


def test_chained_ogg_of_two_rates_and_widths(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ogg", noisy_tone(5)).read_bytes()
    two = write(tmp_path / "b.ogg", np.stack([noisy_tone(6, 44100)] * 2, axis=1), 44100).read_bytes()
    (tmp_path / "chained.ogg").write_bytes(one + two)
    assert len(load_audio(tmp_path / "chained.ogg", RATE)) == pytest.approx(11 * RATE, abs=800)
    assert audio_duration_s(tmp_path / "chained.ogg") == pytest.approx(11, abs=0.05)


def without_first_frame(content: bytes) -> bytes:
    """An MP3 without the frame that holds its table: what its headers tell of its length is gone."""
    table = max(content.find(b"Xing"), content.find(b"Info"))
    assert 0 < table < 200
    return content[content.index(b"\xff", table + 100) :]


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT", "AVERAGE"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_without_a_table(tmp_path: Path, mode: str, rate: int, caplog: pytest.LogCaptureFixture) -> None:
    loud = np.repeat([0.001, 1, 0.001, 1, 1], rate)  # frames of many sizes
    path = write(tmp_path / "a.mp3", noisy_tone(5, rate) * loud, rate, bitrate_mode=mode)
    path.write_bytes(without_first_frame(path.read_bytes()))
    check_whole(path, caplog, 5.05, 0.06)


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
def test_half_a_file_is_named_truncated(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    content = write(tmp_path / f"a.{suffix}", noisy_tone(20)).read_bytes()
    path = tmp_path / f"half.{suffix}"
    path.write_bytes(content[: len(content) // 2 + 7])
    try:
        with caplog.at_level(logging.WARNING):
            assert 0.3 < len(load_audio(path, RATE)) / RATE / 20 < 0.7
    except AudioError as error:
        assert "truncated" in str(error) and "half" in str(error)
    else:
        what = "damaged|truncated" if suffix in ("aac", "ac3", "mp2") else "truncated"  # raw frames promise nothing
        if suffix not in ("aac", "ac3"):
            assert any("half" in line and any(word in line for word in what.split("|")) for line in warnings_of(caplog))


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
def test_a_whole_file_is_not_named_truncated(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / f"a.{suffix}", noisy_tone(4))
    with caplog.at_level(logging.WARNING):
        assert len(load_audio(path, RATE)) == pytest.approx(4 * RATE, abs=2000)
    assert not warnings_of(caplog)
    assert audio_duration_s(path) == pytest.approx(4, abs=0.12)


# Opposite phase, and constant offsets


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mkv"])
@pytest.mark.parametrize("right", [-1.0, -0.95])
def test_opposite_phase_is_heard(tmp_path: Path, suffix: str, right: float) -> None:
    left = noisy_tone(7)
    waveform = load_audio(write(tmp_path / f"a.{suffix}", np.stack([left, right * left], axis=1)), RATE)
    assert not is_silent(waveform)
    np.testing.assert_allclose(np.sqrt(np.mean(waveform**2)), np.sqrt(np.mean(left**2)), rtol=0.05)
    windows = [window for _, window in stream_audio(tmp_path / f"a.{suffix}", RATE, 1.0)]
    np.testing.assert_array_equal(np.concatenate(windows)[: 6 * RATE], waveform[: 6 * RATE])


def test_opposite_phase_of_four_channels_and_of_a_lossy_codec(tmp_path: Path) -> None:
    left = noisy_tone(3)
    for name in ("a.ogg", "a.m4a", "a.wav"):
        channels = [left, -left] * (2 if name == "a.wav" else 1)
        waveform = load_audio(write(tmp_path / name, np.stack(channels, axis=1)), RATE)
        assert np.sqrt(np.mean(waveform**2)) > 0.15


def test_other_stereo_is_the_mean_of_its_channels(tmp_path: Path) -> None:
    left = noisy_tone(3)
    others = (
        0 * left,
        left,
        0.5 * left,
        np.roll(left, 9),
        -0.5 * left,
        np.random.default_rng(1).normal(0, 0.1, len(left)),
    )
    for number, right in enumerate(others):
        sound = np.stack([left, right.astype(np.float32)], axis=1)
        found = load_audio(write(tmp_path / f"{number}.wav", sound, subtype="FLOAT"), RATE)
        np.testing.assert_array_equal(found, sound.mean(axis=1))


@pytest.mark.parametrize("offset", [0.5, -0.3, 0.001])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_a_constant_offset_is_silence(tmp_path: Path, offset: float, rate: int, seconds: float) -> None:
    path = write(tmp_path / "a.wav", np.full(round(seconds * rate), offset), rate)
    assert is_silent(load_audio(path, RATE)) and is_silent(load_audio(path, 32000))
    assert all(is_silent(window) for _, window in stream_audio(path, 32000, 1.0))


def test_a_sound_on_an_offset_is_heard(tmp_path: Path) -> None:
    for number, sound in enumerate((0.01 * noisy_tone(1), np.repeat([0.0, 0.1], 8000), np.eye(1, 16000, 5)[0] * 0.4)):
        path = write(tmp_path / f"{number}.wav", 0.3 + sound, subtype="FLOAT")
        assert not is_silent(load_audio(path, RATE)), number
        assert not is_silent(load_audio(path, 32000)), number


# Containers: late tracks, gaps, several tracks, lengths


def mux(path: Path, tracks: list[list[tuple[float, np.ndarray]]], video_s: float = 0.0, codec: str = "aac") -> Path:
    """Write tracks of sounds at times in seconds, beside a video that begins at 0."""
    with av.open(str(path), "w") as container:
        packets: list[tuple[float, Any]] = []
        streams = []
        video = container.add_stream("mpeg4", rate=10) if video_s else None
        if video is not None:
            video.width = video.height = 32  # type: ignore[union-attr]
        for _ in tracks:
            stream = container.add_stream(codec, rate=RATE, layout="mono")
            stream.time_base = stream.codec_context.time_base = audio_time_base()  # type: ignore[union-attr]
            streams.append(stream)
        if video is not None:
            for number in range(int(video_s * 10)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = number
                packets += [(number / 10, packet) for packet in video.encode(frame)]  # type: ignore[union-attr]
            packets += [(video_s, packet) for packet in video.encode(None)]  # type: ignore[union-attr]
        for stream, track in zip(streams, tracks, strict=True):
            for start_s, sound in track:
                for begin in range(0, len(sound), 1024):
                    part = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024], format="fltp", layout="mono")
                    part.sample_rate, part.pts, part.time_base = RATE, round(start_s * RATE) + begin, audio_time_base()
                    packets += [(start_s + begin / RATE, packet) for packet in stream.encode(part)]  # type: ignore[union-attr]
            packets += [(1e9, packet) for packet in stream.encode(None)]  # type: ignore[union-attr]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            container.mux(packet)
    return path


def audio_time_base() -> Any:
    from fractions import Fraction

    return Fraction(1, RATE)


def loud_seconds(waveform: np.ndarray) -> list[int]:
    """The whole seconds in whose middle a sound is heard."""
    return [
        second for second in range(len(waveform) // RATE) if np.abs(waveform[second * RATE + 4000 :][:8000]).max() > 0.1
    ]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_a_track_that_starts_late_keeps_its_time(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = mux(tmp_path / f"a.{suffix}", [[(3.0, noisy_tone(2))]], video_s=8.0)
    with caplog.at_level(logging.WARNING):
        waveform = load_audio(path, RATE)
    assert loud_seconds(waveform) == [3, 4] and not warnings_of(caplog)  # the longer video makes it not truncated
    assert audio_duration_s(path) == pytest.approx(5, abs=0.15)
    heard = [
        start_s for start_s, window in stream_audio(path, RATE, 1.0) if np.abs(window[4000:12000]).max(initial=0) > 0.1
    ]
    assert heard == [3.0, 4.0]
    assert loud_seconds(load_audio(path, RATE, start_s=2.0)) == [1, 2]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_gap_keeps_the_time(tmp_path: Path, suffix: str) -> None:
    path = mux(tmp_path / f"a.{suffix}", [[(0.0, noisy_tone(2)), (5.0, noisy_tone(2))]], video_s=8.0)
    assert loud_seconds(load_audio(path, RATE)) == [0, 1, 5, 6]


def test_sound_alone_begins_at_its_beginning(tmp_path: Path) -> None:
    assert loud_seconds(load_audio(mux(tmp_path / "a.mkv", [[(3.0, noisy_tone(2))]]), RATE)) == [0, 1]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_which_of_several_tracks_is_heard_is_said(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = mux(tmp_path / f"a.{suffix}", [[(0.0, noisy_tone(2))], [(0.0, noisy_tone(4))]], video_s=4.0)
    with caplog.at_level(logging.WARNING):
        assert loud_seconds(load_audio(path, RATE)) == [0, 1]
    assert any("has 2 sound tracks; the first" in line and "--track 2" in line for line in warnings_of(caplog))
    caplog.clear()
    assert loud_seconds(load_audio(path, RATE, track=2)) == [0, 1, 2, 3] and not warnings_of(caplog)
    assert loud_seconds(np.concatenate([window for _, window in stream_audio(path, RATE, 1.0, track=2)])) == [
        0,
        1,
        2,
        3,
    ]
    assert audio_duration_s(path, track=2) == pytest.approx(4, abs=0.15)
    for track in (0, 3, -1):
        with pytest.raises(AudioError, match="choose one of 1 to 2"):
            load_audio(path, RATE, track=track)
    with pytest.raises(AudioError, match="has 1 sound track, track 2"):
        load_audio(write(tmp_path / "one.wav", noisy_tone(1)), RATE, track=2)


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
def test_the_length_is_learnt_once_and_without_decoding(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / f"a.{suffix}", noisy_tone(30))
    monkeypatch.setattr(audio, "decoded_blocks", lambda *arguments: pytest.fail("decoded"))
    assert audio_duration_s(path) == pytest.approx(30, abs=0.15)
    monkeypatch.setattr(decoder, "Decoder", lambda *arguments: pytest.fail("learnt twice"))
    assert audio_duration_s(path) == pytest.approx(30, abs=0.15)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared inputs are not here")
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("05_joined/chained_vorbis.ogg", 352_576 / 32_000),
        ("06_flac_piped/piped.flac", 5.0),
        ("08_inverted/inverted_stereo.flac", 5.0),
        ("14_false_truncated/data7FFFF000.wav", 5.0),
        ("07_times/late_audio.mp4", 10.0),
    ],
)
def test_shared_inputs(name: str, seconds: float, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        waveform = load_audio(SHARED / name, RATE)
    assert len(waveform) / RATE == pytest.approx(seconds, abs=0.05) and not warnings_of(caplog)
    assert not is_silent(waveform)
    if name.startswith("07"):
        assert is_silent(waveform[: 4 * RATE]) and np.abs(waveform[5 * RATE : 6 * RATE]).max() > 0.01


def test_clips_of_a_chosen_track_have_the_times_of_the_file(tmp_path: Path) -> None:
    path = mux(tmp_path / "a.mkv", [[(0.0, noisy_tone(1))], [(4.0, noisy_tone(2))]], video_s=8.0)
    clips = list(Reader(RATE, 30.0, 2.0, track=2).clips([("a.mkv", path, ())]))
    assert [clip.start_s for clip in clips if not is_silent(clip.waveform[4000:-4000])] == [4.0]
    [clip] = Reader(RATE, 30.0, track=2).clips([("a.mkv", path, ())])
    assert loud_seconds(clip.waveform) == [4, 5]
    reader = Reader(RATE, 30.0, track=3)
    assert not list(reader.clips([("a.mkv", path, ())])) and "choose one of 1 to 2" in reader.errors[0].error


def test_one_bad_file_stops_no_other(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "good.wav", noisy_tone(2)).read_bytes())
    content[20:22] = b"\x32\x12"
    (tmp_path / "bad.wav").write_bytes(content)
    files = [(name, tmp_path / name, ()) for name in ("bad.wav", "good.wav", "missing.wav", "good.wav")]
    for timeline_s in (None, 1.0):
        reader = Reader(RATE, 30.0, timeline_s)
        assert {clip.file for clip in reader.clips(files)} == {"good.wav"}
        assert reader.num_bad == 2 and all("Error" not in failed.error for failed in reader.errors)

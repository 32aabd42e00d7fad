"""Formats of archives, cameras and broadcasters, and headers that lie about length: read by any name, half of them named."""

import logging
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from benchmarks.fuzz import encode
from captioning.files import expand
from data.audio import AudioError, audio_duration_s, load_audio
from data.decoding import tracks
from data.recognition import AUDIO_SUFFIXES, recognise

RATE = 16_000
TIME_S = np.arange(2 * RATE) / RATE
TONE = (0.3 * np.sin(2 * np.pi * 440 * TIME_S)).astype(np.float32)
KINDS = {
    "wma": "wmav2", "asf": "wmav1", "ts": "aac", "m2ts": "aac", "mpg": "mp2", "vob": "mp2", "flv": "libmp3lame", "wv": "wavpack",
    "tta": "tta", "eac3": "eac3", "voc": "pcm_u8", "amr": "libopencore_amrnb",
}  # fmt: skip
SUBTYPES = [
    ("wav", "PCM_U8"), ("wav", "PCM_24"), ("wav", "DOUBLE"), ("wav", "ULAW"), ("wav", "ALAW"), ("wav", "IMA_ADPCM"),
    ("wav", "MS_ADPCM"), ("wav", "G721_32"), ("w64", "DOUBLE"), ("rf64", "PCM_24"), ("aiff", "PCM_S8"), ("aiff", "ULAW"),
    ("au", "G721_32"), ("caf", "ALAC_24"), ("flac", "PCM_24"),
]  # fmt: skip


def check(path: Path, hertz: float = 440.0, seconds: float = 2.0) -> None:
    waveform = load_audio(path, RATE)
    assert len(waveform) / RATE == pytest.approx(seconds, abs=0.07)
    assert audio_duration_s(path) == pytest.approx(len(waveform) / RATE, abs=0.07)
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    assert spectrum.argmax() * RATE / len(waveform) == pytest.approx(hertz, abs=5)


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"a.{suffix}"
    return encode(path, KINDS[suffix], TONE[:, None], 8000 if suffix == "amr" else 48_000)


@pytest.mark.parametrize("suffix", list(KINDS))
def test_archives_and_cameras(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    check(path)
    renamed = path.rename(tmp_path / "a recording without suffix")
    check(renamed)
    assert expand([str(tmp_path)]) == [str(renamed)]


@pytest.mark.parametrize("suffix", list(KINDS))
def test_half_of_them(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    try:
        assert 0.1 < len(load_audio(path, RATE)) / RATE < 1.7
    except AudioError as error:
        assert path.name in str(error)
        return
    if suffix in ("wv", "tta"):  # whose headers tell their length
        assert f"{path} is truncated" in caplog.text or f"{path} is damaged" in caplog.text


@pytest.mark.parametrize(("suffix", "subtype"), SUBTYPES)
def test_kinds_of_samples(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, TONE, RATE, subtype=subtype, format={"w64": "W64", "rf64": "RF64"}.get(suffix))
    check(path)


def test_a_picture_and_a_text_are_no_recordings(tmp_path: Path) -> None:
    for content in (b"\x89PNG\r\n\x1a\n" + bytes(900), b"G is a note.\n" * 90, b"TTA1 is a format", b"wvpk too" * 99):
        assert recognise(content) == "other"
    (tmp_path / "app.ts").write_text("export const GAIN = 1;\n" * 100)
    with pytest.raises(ValueError, match="contains no audio files"):
        expand([str(tmp_path)])
    assert ".ts" not in AUDIO_SUFFIXES


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    path.write_bytes(b"RIFF\x00\x10\0\0AVI LIST" + bytes(4000))
    with pytest.raises(AudioError, match=r"film.avi is AVI, which is not supported: .* convert this one with ffmpeg"):
        load_audio(path, RATE)


# Headers that lie


def flac(path: Path, total: int | None, seconds: float = 2.0) -> Path:
    """A FLAC whose header says that it has `total` samples."""
    soundfile.write(path, np.resize(TONE, int(seconds * RATE)), RATE)
    if total is not None:
        content = bytearray(path.read_bytes())
        packed = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
        content[18:26] = packed.to_bytes(8, "big")
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("total", [1, 8000, 31_000])
@pytest.mark.parametrize("seconds", [2.0, 40.0])
def test_a_flac_with_more_samples_than_it_says(
    tmp_path: Path, total: int, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    check(flac(tmp_path / "a.flac", total, seconds), seconds=seconds)
    assert not caplog.text


@pytest.mark.parametrize("total", [64_000, (1 << 36) - 1])
def test_a_flac_with_fewer_samples_than_it_says(tmp_path: Path, total: int, caplog: pytest.LogCaptureFixture) -> None:
    check(flac(tmp_path / "a.flac", total))
    assert f"declares {total:,} samples, of which 32,000 are present" in caplog.text


@pytest.mark.parametrize("seconds", [0.2, 2.0, 40.0])
def test_flacs_that_tell_the_truth_go_the_same_way_as_before(
    tmp_path: Path, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = flac(tmp_path / "a.flac", None, seconds)
    with path.open("ab") as file:
        file.write(b"TAG" + bytes(125))
    waveform = load_audio(path, RATE)
    assert np.array_equal(waveform, soundfile.read(path, dtype="float32")[0]) and not caplog.text


def mp3(folder: Path) -> bytes:
    soundfile.write(folder / "plain.mp3", TONE, RATE)
    return (folder / "plain.mp3").read_bytes()


def id3(size: int, content: int | None = None, version: int = 3) -> bytes:
    """A tag that claims `size` bytes and has `content` ones."""
    claimed = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3" + bytes([version, 0, 0]) + claimed + bytes(size if content is None else content)


APE = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 132, 1, 0xA0000000) + bytes(100)


@pytest.mark.parametrize(
    "tags",
    {
        "30 MB of ID3": (id3(30_000_000), b""),
        "a tag longer than the file": (id3((1 << 28) - 1, 100), b""),
        "two tags": (id3(1000) + id3(500, version=4), b""),
        "APE in front": (APE, b""),
        "APE behind": (b"", APE + struct.pack("<8sIIII8x", b"APETAGEX", 2000, 132, 1, 0x80000000)),
        "an APE tag longer than the file": (
            b"",
            struct.pack("<8sIIII8x", b"APETAGEX", 2000, 0xFFFFFFF0, 1, 0xA0000000),
        ),
        "lyrics": (b"", b"LYRICSBEGIN" + b"a" * 100 + b"000111LYRICS200TAG" + bytes(125)),
        "zeros in front": (bytes(10_000), b""),
    }.items(),
    ids=lambda tags: tags[0],
)
def test_tags_of_any_size(
    tmp_path: Path, tags: tuple[str, tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    front, back = tags[1]
    path = tmp_path / "a.mp3"
    path.write_bytes(front + mp3(tmp_path) + back)
    waveform = load_audio(path, RATE)
    assert 1.95 < len(waveform) / RATE < 2.2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(channels: int = 1, rate: int = RATE, bits: int = 16) -> tuple[bytes, bytes]:
    align = channels * (bits // 8)
    return b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, min(rate * align, 2**32 - 1), min(align, 65535), bits)


PCM = (TONE * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(
    "chunks",
    {
        "broadcast wave": [(b"bext", bytes(602)), fmt(), (b"data", PCM), (b"iXML", b"<x/>" * 9)],
        "odd chunk before the sound": [fmt(), (b"LIST", b"INFOISFT\x05\0\0\0abcde"), (b"data", PCM)],
        "sound before its format": [(b"data", PCM), fmt()],
        "half a sample at the end": [fmt(), (b"data", PCM + b"\0")],
    }.items(),
    ids=lambda chunks: chunks[0],
)
def test_unusual_wavs(tmp_path: Path, chunks: tuple[str, list[tuple[bytes, bytes]]]) -> None:
    (tmp_path / "a.wav").write_bytes(riff(*chunks[1]))
    check(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([fmt(), (b"data", b"")], "contains no audio samples"),
        ([fmt(rate=1), (b"data", PCM)], "has a sample rate of 1 Hz; 1000 to 768000 Hz are supported"),
        ([fmt(channels=255, rate=1000), (b"data", bytes(255 * 2 * 1000))], "has 255 channels; 1 to 64 are supported"),
        ([fmt(channels=65535, rate=1000), (b"data", bytes(65535 * 2 * 100))], "channels; 1 to 64 are supported"),
        ([fmt(channels=0), (b"data", PCM)], "0 channels"),
        ([fmt(rate=2**32 - 1), (b"data", PCM)], "a.wav"),
        ([fmt(bits=0), (b"data", PCM)], "a.wav"),
    ],
)
def test_impossible_wavs_are_one_sentence(tmp_path: Path, chunks: list[tuple[bytes, bytes]], message: str) -> None:
    (tmp_path / "a.wav").write_bytes(riff(*chunks))
    with pytest.raises(AudioError, match=message) as error:
        load_audio(tmp_path / "a.wav", RATE)
    assert "a.wav" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [1000, 768_000])
def test_the_lowest_and_highest_rates(tmp_path: Path, rate: int) -> None:
    time_s = np.arange(2 * rate) / rate
    sound = (0.3 * np.sin(2 * np.pi * 100 * time_s) * 32767).astype("<i2").tobytes()
    (tmp_path / "a.wav").write_bytes(riff(fmt(rate=rate), (b"data", sound)))
    check(tmp_path / "a.wav", hertz=100)


@pytest.mark.parametrize("num_channels", [1, 2, 6, 7, 8])
def test_many_channels_by_ffmpeg(tmp_path: Path, num_channels: int) -> None:
    path = tmp_path / "a.flac"
    sound = np.stack([TONE * (number + 1) / num_channels for number in range(num_channels)], axis=1)
    soundfile.write(path, sound, RATE)
    content = bytearray(path.read_bytes())
    content[18:26] = (int.from_bytes(content[18:26], "big") >> 36 << 36).to_bytes(8, "big")  # a length of 0: unknown
    path.write_bytes(content)
    assert np.allclose(load_audio(path, RATE), sound.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("layout", ["7.1", "hexadecagonal", "24 channels", "39 channels"])
def test_more_channels_than_ffmpeg_has_places_for(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "a.mkv"
    num_channels = av.AudioLayout(layout).nb_channels
    sound = np.stack([TONE * (number + 1) / num_channels for number in range(num_channels)], axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout=layout)
        packed = (sound * 32767).astype("<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for _ in range(20):  # what lies beyond the last plane differs from time to time
        assert np.allclose(load_audio(path, RATE), sound.mean(axis=1), atol=1e-3)


def test_frames_of_one_sample_take_no_longer_than_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joining them asks for each frame's length a few times, not once for every later frame."""
    asked = 0

    class Frame(np.ndarray):
        @property
        def shape(self) -> tuple[int, ...]:
            nonlocal asked
            asked += 1
            return super().shape

    path = flac(tmp_path / "a.flac", 0)
    frames = [np.full((1, 1), 0.1, np.float32).view(Frame) for _ in range(3000)]
    monkeypatch.setattr(tracks.TrackReader, "frames", lambda self: iter(frames))
    assert len(load_audio(path, RATE)) == 3000 and asked < 20 * 3000

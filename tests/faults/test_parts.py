"""Files of several recordings, files cut where no header gives their length, and files that are no recordings."""

import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from benchmarks.fuzz import encode
from data.audio import AudioError, audio_duration_s, load_audio, stream_audio
from data.decoding import tracks
from data.survey.survey import survey_file

RATE = 16_000


def noisy_tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).normal(size=len(time_s))
    return (0.3 * np.sin(2 * np.pi * hertz * time_s) + 0.03 * noise).astype(np.float32)


def write(path: Path, sound: np.ndarray, **how: Any) -> bytes:
    soundfile.write(path, sound, RATE, format={"w64": "W64", "spx": "OGG"}.get(path.suffix[1:]), **how)
    return path.read_bytes()


def streamed(path: Path, codec: str, form: str, options: dict[str, str] | None = None) -> bytes:
    """Encode five seconds into a file that cannot be rewound, so that no length is in its header."""

    class Pipe:
        def __init__(self) -> None:
            self.content = bytearray()

        def write(self, content: bytes) -> int:
            self.content += content
            return len(content)

    pipe, sound = Pipe(), noisy_tone(5)
    with av.open(pipe, "w", format=form, options=options or {}) as container:  # type: ignore[call-overload]
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.stack([sound, sound]), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=48_000, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    path.write_bytes(pipe.content)
    return bytes(pipe.content)


def warnings_of(path: Path, caplog: pytest.LogCaptureFixture) -> tuple[float, list[str]]:
    """Seconds that are read, as a whole and in windows alike, and the warnings of the first."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        waveform = load_audio(path, RATE)
    told = [record.getMessage() for record in caplog.records]
    windows = list(stream_audio(path, RATE, 1.0))
    assert sum(len(window) for _, window in windows) >= len(waveform) - 0.1 * RATE - 1
    assert all(path.name in line and "\n" not in line for line in told)
    return len(waveform) / RATE, told


@pytest.mark.parametrize("second", ["same", "flac", "ogg"])
@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "au", "w64"])
def test_another_recording_at_the_end_is_told(
    tmp_path: Path, suffix: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As FFmpeg, the first one is read; libsndfile alone would read the rest of a W64 as noise."""
    path = tmp_path / f"joined.{suffix}"
    one = write(tmp_path / f"a.{suffix}", noisy_tone(3.0))
    path.write_bytes(one + write(tmp_path / f"b.{suffix if second == 'same' else second}", noisy_tone(2)))
    seconds, told = warnings_of(path, caplog)
    assert seconds == 3.0 and audio_duration_s(path) == 3.0
    assert len(told) == 1 and "more than one part: after 3.0 s another recording begins at byte" in told[0]
    np.testing.assert_array_equal(load_audio(path, RATE), load_audio(tmp_path / f"a.{suffix}", RATE))


@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_another_mp4_at_the_end_is_told(tmp_path: Path, movflags: str, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "a.m4a", "aac", noisy_tone(3)[:, None])
    path.write_bytes(path.read_bytes() * 2)
    seconds, told = warnings_of(path, caplog)
    assert seconds == pytest.approx(3, abs=0.1) and len(told) == 1 and "more than one part" in told[0]


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "au", "w64"])
@pytest.mark.parametrize("size", [1, 500, 100_000])
def test_other_content_at_the_end_is_neither_read_nor_told(
    tmp_path: Path, suffix: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(write(path, noisy_tone(3)) + b"TAG notes " * (size // 10) + b"x" * (size % 10))
    assert warnings_of(path, caplog) == (3.0, [])


def test_sound_beyond_what_a_wav_can_declare_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """4.3 GB: the size of 32 bits begins again at 0. The file is sparse."""
    path = tmp_path / "long.wav"
    content = bytearray(write(path, noisy_tone(3)))
    with path.open("r+b") as file:
        file.truncate((1 << 32) + len(content))
    seconds, told = warnings_of(path, caplog)
    assert (
        seconds == 3.0 and len(told) == 1 and "4,294,967,296 bytes follow that its header does not declare" in told[0]
    )


def test_joined_flac_is_as_long_as_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "joined.flac"
    path.write_bytes(write(tmp_path / "a.flac", noisy_tone(3)) + write(tmp_path / "b.flac", noisy_tone(2)))
    assert audio_duration_s(path) == pytest.approx(5) and len(load_audio(path, RATE)) == 5 * RATE


def ogg_flac(path: Path, seconds: float, serial: int) -> bytes:
    """A stream of FLAC in Ogg (https://xiph.org/flac/ogg_mapping.html), one packet in each page."""
    content = write(path.with_suffix(".flac"), noisy_tone(seconds))
    with av.open(str(path.with_suffix(".flac"))) as container:
        frames = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    comment = b"\x84" + (8).to_bytes(3, "big") + bytes(8)
    packets = [b"\x7fFLAC\x01\0\0\x01fLaC\0" + content[5:42], comment, *frames]
    pages = []
    for number, packet in enumerate(packets):
        flags = 2 if number == 0 else 4 if number == len(packets) - 1 else 0
        granule = min(max(0, number - 1) * int.from_bytes(content[8:10], "big"), round(seconds * RATE))
        lacing = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
        page = b"OggS\0" + struct.pack("<BqIIIB", flags, granule, serial, number, 0, len(lacing)) + lacing + packet
        pages.append(page[:22] + struct.pack("<I", ogg_crc(page)) + page[26:])
    return b"".join(pages)


def ogg_crc(page: bytes) -> int:
    """CRC-32 of a page with the polynomial 0x04c11db7 (RFC 3533)."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
    return value


@pytest.mark.parametrize(
    "codecs", ["FLAC FLAC", "FLAC VORBIS", "VORBIS FLAC", "VORBIS OPUS", "OPUS VORBIS", "OPUS OPUS", "VORBIS VORBIS"]
)
def test_chained_ogg_of_every_codec(tmp_path: Path, codecs: str, caplog: pytest.LogCaptureFixture) -> None:
    parts = [
        ogg_flac(tmp_path / f"{number}.ogg", 1.0 + number, number + 1)
        if codec == "FLAC"
        else write(tmp_path / f"{number}.ogg", noisy_tone(1.0 + number), subtype=codec)
        for number, codec in enumerate(codecs.split())
    ]
    path = tmp_path / "chained.ogg"
    path.write_bytes(b"".join(parts))
    seconds, told = warnings_of(path, caplog)
    assert seconds == pytest.approx(3, abs=0.1) and not told and audio_duration_s(path) == pytest.approx(3, abs=0.1)


# Cut where no header says how long the file is


RAW = {
    "aac": "aac",
    "ac3": "ac3",
    "eac3": "eac3",
    "mp2": "mp2",
    "flv": "libmp3lame",
    "mpg": "mp2",
    "ts": "aac",
    "wma": "wmav2",
}
STREAMED = {
    "wav": ("pcm_s16le", "wav"), "aiff": ("pcm_s16be", "aiff"), "au": ("pcm_s16be", "au"), "caf": ("pcm_s16le", "caf"),
    "w64": ("pcm_s16le", "w64"), "mkv": ("pcm_s16le", "matroska"), "mka": ("aac", "matroska"), "webm": ("libopus", "webm"),
    "flac": ("flac", "flac"), "ogg": ("libopus", "ogg"), "voc": ("pcm_s16le", "voc"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [*RAW, *(f"{suffix} of a pipe" for suffix in STREAMED)])
def test_half_a_file_of_unknown_length_is_told(tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / f"a.{suffix.split()[0]}"
    if suffix in RAW:
        content = encode(path, RAW[suffix], np.stack([noisy_tone(5)] * 2, axis=1)).read_bytes()
    else:
        content = streamed(path, *STREAMED[path.suffix[1:]])
    seconds, told = warnings_of(path, caplog)
    assert seconds == pytest.approx(5, abs=0.2) and not told  # a whole file is not named
    half = tmp_path / f"half.{path.suffix[1:]}"
    for cut in range(1, 4):  # of four places one can be the end of a sample or a frame
        half.write_bytes(content[: len(content) // 2 + cut])
        seconds, told = warnings_of(half, caplog)
        assert seconds < 3.2
        if told:
            break
    assert told and any(word in told[0] for word in ("truncated", "damaged"))


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24"])
def test_a_padding_byte_is_no_part_of_a_sample(tmp_path: Path, subtype: str, num_channels: int) -> None:
    path = tmp_path / "a.wav"
    content = bytearray(write(path, np.stack([noisy_tone(1.0)[:15_999]] * num_channels, axis=1), subtype=subtype))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    with path.open("rb") as file:
        assert survey_file(file).cut == ""


@pytest.mark.parametrize("name", ["a.m4a", "a.mov"])
def test_a_recording_that_was_not_finished_lacks_its_index(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, "aac", noisy_tone(3)[:, None])
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])
    with pytest.raises(AudioError, match=f"{name} is truncated before its first sound .*moov.*missing"):
        load_audio(path, RATE)


# Decoded by FFmpeg, since libsndfile decodes them wrongly


def test_blocks_of_creative_voice_files(tmp_path: Path) -> None:
    path = tmp_path / "a.voc"
    streamed(path, "pcm_s16le", "voc")
    reference = noisy_tone(5)
    found = load_audio(path, RATE)[: len(reference)]
    assert float(np.corrcoef(found, reference[: len(found)])[0, 1]) > 0.99


def test_channels_of_8svx_are_one_after_the_other(tmp_path: Path) -> None:
    left, right = (np.round(100 * noisy_tone(2, hertz)).astype(np.int8).tobytes() for hertz in (300, 1500))
    voice = struct.pack(">IIIHBBI", len(left), 0, 0, RATE, 1, 0, 0x10000)
    chunks = b"".join(
        name + struct.pack(">I", len(content)) + content
        for name, content in ((b"VHDR", voice), (b"CHAN", struct.pack(">I", 6)), (b"BODY", left + right))
    )
    path = tmp_path / "a.8svx"
    path.write_bytes(b"FORM" + struct.pack(">I", len(chunks) + 4) + b"8SVX" + chunks)
    expected = (noisy_tone(2, 300) + noisy_tone(2, 1500)) / 2
    assert float(np.corrcoef(load_audio(path, RATE), expected)[0, 1]) > 0.99


# No recordings


FOREIGN = {
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "a web page": b"\r\n<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "web page": b"\xef\xbb\xbf<HTML><body>sign in</body></HTML>",
    "XML": b"<?xml version='1.0'?><Error>AccessDenied</Error>",
    "a playlist": b"#EXTM3U\n/etc/passwd\n",
    "playlist": b"[playlist]\nFile1=http://localhost/a.mp3\n",
    "ZIP": b"PK\x03\x04" + bytes(200),
    "gzip": b"\x1f\x8b\x08" + bytes(200),
    "AppleDouble": b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(200),
    "PDF": b"%PDF-1.7\n",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "JSON": b'{"error": "not found"}',
    "zero bytes": bytes(5000),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a", "ogg"])
def test_what_a_file_is_that_is_no_recording(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(FOREIGN[kind])
    with pytest.raises(AudioError, match=rf"a\.{suffix} is .*{kind}.*, not a recording: give a sound file\.$"):
        load_audio(path, RATE)


def test_a_format_of_ffmpeg_that_is_not_read(tmp_path: Path) -> None:
    streamed(tmp_path / "a.wav", "pcm_s16le", "nut")
    with pytest.raises(AudioError, match="a.wav is in a format that is not supported: give a WAV"):
        load_audio(tmp_path / "a.wav", RATE)


def test_millions_of_packets_that_are_none_end_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = 0

    class Packet:
        def decode(self) -> list[object]:
            nonlocal decoded
            decoded += 1
            raise av.error.InvalidDataError(1094995529, "Invalid data")

    class Container:
        def demux(self, stream: object) -> Iterator[Packet]:
            return iter(Packet, None)

    reader = tracks.TrackReader(Container(), None, RATE)
    monkeypatch.setattr(tracks, "_Clock", lambda container, rate: None)
    assert list(reader.frames()) == [] and decoded == 10_000 and "10000 times" in reader.problem

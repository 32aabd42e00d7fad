"""The table of times: parts that add up, and searches timed beside transformers' own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.speed import main
from benchmarks.speed_of_parts import WAYS
from configs.loading import config_to_yaml, load_config

ROOT = Path(__file__).parents[2]


def small_config(folder: Path) -> Path:
    """The default experiment with a decoder of one layer and batches of two clips."""
    config = load_config(ROOT / "configs" / "cnn14_llama.yaml")
    decoder = replace(config.captioner.decoder, num_layers=1, num_heads=2, width=32)
    config = replace(
        config, captioner=replace(config.captioner, decoder=decoder), data=replace(config.data, batch_size=2)
    )
    path = folder / "small.yaml"
    path.write_text(config_to_yaml(config))
    return path


@pytest.mark.slow
def test_tables_of_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shipped = str(ROOT / "checkpoints" / "sounds_small")
    shutil.copy(ROOT / "assets" / "siren.flac", clips / "one.flac")
    assert main([shipped, "--clips", str(clips)]) == 2 and "1 sound files: give two or more" in caplog.text
    for name in ("two", "three", "four"):
        shutil.copy(ROOT / "assets" / "siren.flac", clips / f"{name}.flac")
    output = tmp_path / "speed.md"
    asked = [shipped, shipped, "--clips", str(clips), "--num_clips", "3", "--seconds", "2", "--output", str(output)]
    assert (
        main(
            [
                *asked,
                "--parts",
                "batches",
                "start",
                "training",
                "--repeats",
                "1",
                "--config",
                str(small_config(tmp_path)),
            ]
        )
        == 0
    )
    lines = output.read_text().splitlines()
    header, _, first, second, _, below = lines[:6]
    assert "file to caption, ms" in header and below.startswith("2 clips of at most 2 s, ")
    for row in (first, second):
        name, load, read, encode, decode, total, ours, theirs, ratio = row.strip("| ").split(" | ")
        assert name == "`sounds_small`" and float(load) > 0
        assert float(total) == pytest.approx(float(read) + float(encode) + float(decode), rel=0.2, abs=3)
        assert float(ours) > 0 and float(theirs) > 0 and float(ratio) > 0
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:] if line.startswith("| ")]
    assert [row[1] for row in cells if row[0] == "`sounds_small`"] == ["1", "8", "32"] * 2
    starts = {row[0]: row[1:] for row in cells if row[0].startswith("`") and row[0] != "`sounds_small`"}
    assert list(starts) == [
        '`python -c "import torch"`',
        "`inference.py FILE`",
        "`evaluate.py --help`",
        "`train.py --help`",
    ]
    assert all(float(value) > 0 for row in starts.values() for value in row)
    steps = {row[0]: [float(value) for value in row[1:]] for row in cells if row[0] in WAYS}
    assert list(steps) == list(WAYS) and all(min(values[:3]) > 0 for values in steps.values())

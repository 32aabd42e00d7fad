"""What was found wrong with a recording is in its row of the output, not only on the terminal."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import soundfile

import inference

RATE = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings: a whole one, a truncated one and two joined ones."""
    sound = 0.3 * np.random.default_rng(0).normal(size=4 * RATE).astype(np.float32)
    (tmp_path / "in").mkdir()
    for name in ("cut", "joined", "whole"):
        soundfile.write(tmp_path / "in" / f"{name}.wav", sound, RATE)
    cut, joined = (tmp_path / "in" / f"{name}.wav" for name in ("cut", "joined"))
    cut.write_bytes(cut.read_bytes()[: 5 * RATE])  # 2.5 s
    joined.write_bytes(joined.read_bytes() * 2)
    return tmp_path


def caption(folder: Path, checkpoint: Path, *options: str) -> None:
    arguments = [str(folder / "in"), "--ckpt_path", str(checkpoint), "--method", "greedy", "--workers", "1"]
    assert inference.main([*arguments, *options]) == 0


def check(rows: list[tuple[str, str | None]], windows: int) -> None:
    """Check (file name, warning) of all rows: only the last window of a faulty recording has one."""
    found = {name: [warning or "" for file, warning in rows if Path(file).name == f"{name}.wav"] for name in
             ("cut", "joined", "whole")}  # fmt: skip
    assert set(found["whole"]) == {""} and len(found["whole"]) == windows
    assert "is truncated" in found["cut"][-1] and "declares" in found["cut"][-1] and not any(found["cut"][:-1])
    assert "more than one part" in found["joined"][-1] and not any(found["joined"][:-1])


@pytest.mark.parametrize("timeline", ["", "1", "1.25"])
def test_the_reason_is_in_every_table(folder: Path, tiny_checkpoint: Path, timeline: str) -> None:
    options = ["--timeline", timeline] if timeline else []
    caption(folder, tiny_checkpoint, "--format", "csv,jsonl,parquet", "--output", str(folder / "out"), *options)
    windows = -(-4 // float(timeline)) if timeline else 1
    with (folder / "out.csv").open(newline="") as file:
        table = [(row["file_name"], row["warning"]) for row in csv.DictReader(file)]
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    parquet = pyarrow.parquet.read_table(folder / "out.parquet").to_pylist()
    if timeline:  # equal captions of neighbours are one row
        assert any("truncated" in warning for _, warning in table)
        windows = sum(Path(file).name == "whole.wav" for file, _ in table)
    check(table, int(windows))
    check([(line["file"], line.get("warning")) for line in lines], int(windows))
    check([(row["file"], row["warning"]) for row in parquet], int(windows))
    assert all("warning" not in line for line in lines if line["file"].endswith("whole.wav"))


def test_it_stays_when_a_run_goes_on(folder: Path, tiny_checkpoint: Path) -> None:
    for form in ("jsonl", "csv"):  # the second only writes the output again
        caption(folder, tiny_checkpoint, "--format", form, "--output", str(folder / "out"), "--per_recording")
    texts = {path.name: path.read_text() for path in (folder / "out").rglob("cut*") if path.is_file()}
    assert len(texts) == 2 and all("is truncated" in text for text in texts.values())
    assert all("warning" not in path.read_text() for path in (folder / "out").rglob("whole*"))


def test_no_column_without_a_warning(folder: Path, tiny_checkpoint: Path) -> None:
    for name in ("cut", "joined"):
        (folder / "in" / f"{name}.wav").unlink()
    caption(folder, tiny_checkpoint, "--format", "csv", "--output", str(folder / "out.csv"))
    assert "warning" not in (folder / "out.csv").read_text()


def test_on_a_stream_too(folder: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    caption(folder, tiny_checkpoint, "--format", "jsonl")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    check([(line["file"], line.get("warning")) for line in lines], 1)

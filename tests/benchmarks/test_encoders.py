"""python -m benchmarks encoders at a tiny scale: every encoder is trained, judged, and costs what the table says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import encoders
from models.captioner import AudioCaptioner


def read_table(path: Path) -> dict[str, dict[str, str]]:
    header, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in path.open()]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def run(labelled_sounds: Path, folder: Path, *arguments: str) -> int:
    common = ["--dataset_root", str(labelled_sounds), "--scale", "0.1", "--batch_size", "2", "--mixtures", "2"]
    return encoders.main([*common, "--work", str(folder / "runs"), "--output", str(folder / "table.md"), *arguments])


@pytest.mark.slow
def test_every_encoder_is_trained_and_judged(
    labelled_sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(labelled_sounds, tmp_path, "--steps", "2") == 0
    table = read_table(tmp_path / "table.md")
    assert list(table) == list(encoders.contenders(1.0))
    for name, row in table.items():
        assert row["steps"] == "2" and float(row["training minutes"]) >= 0
        checkpoint = next((tmp_path / "runs" / name).glob("*_llama")) / "last"
        captioner = AudioCaptioner.from_pretrained(checkpoint)
        size = sum(p.numel() for p in captioner.encoder.parameters())
        assert float(row["encoder, M parameters"]) == pytest.approx(size / 1e6, abs=0.006)
        assert 0 <= float(row["single named, %"].split()[0]) <= 100
        assert float(row["validation loss per token"]) > 0
    assert capsys.readouterr().out.count("\n") == len(table) + 2
    losses = [float(pd.read_csv(path)["loss"].iloc[0]) for path in (tmp_path / "runs").glob("*/*_llama/losses.csv")]
    assert len(losses) == len(table) and np.ptp(losses) < 1  # one decoder, one vocabulary
    trained = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("losses.csv")}
    assert run(labelled_sounds, tmp_path, "--steps", "2", "--encoders", "htsat") == 0  # judged again, not trained again
    assert trained == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("losses.csv")}


def test_a_budget_in_minutes_ends_the_training(labelled_sounds: Path, tmp_path: Path) -> None:
    assert run(labelled_sounds, tmp_path, "--minutes", "0.01", "--encoders", "mobilenet", "--max_clips", "2") == 0
    [row] = read_table(tmp_path / "table.md").values()
    assert int(row["steps"]) >= 1 and 0.0 <= float(row["training minutes"]) < 0.5


@pytest.mark.slow
def test_stopped_by_a_signal_it_saves_and_the_same_command_goes_on(labelled_sounds: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "benchmarks", "encoders", "--dataset_root", str(labelled_sounds), "--scale", "0.1",
        "--batch_size", "2", "--mixtures", "2", "--work", str(tmp_path / "runs"), "--output", str(tmp_path / "table.md"),
        "--encoders", "mobilenet", "--steps", "100000",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=Path(encoders.__file__).parents[1], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "clips/s" not in process.stderr.read(200):  # the bar of a training under way
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=120)
    [last] = (tmp_path / "runs" / "mobilenet").glob("*_llama/last")
    steps = encoders.training_state(last)["step"]
    assert process.returncode == 128 + 15 and 0 < steps < 100000
    assert run(labelled_sounds, tmp_path, "--steps", str(steps + 1), "--encoders", "mobilenet") == 0
    [row] = read_table(tmp_path / "table.md").values()
    assert row["steps"] == str(steps + 1)


def test_a_training_that_fails_is_reported(
    tmp_path: Path, labelled_sounds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(labelled_sounds, tmp_path, "--steps", "2", "--batch_size", "0", "--encoders", "mobilenet") == 2
    assert "train.py failed for mobilenet" in caplog.text
    assert run(tmp_path / "none", tmp_path, "--steps", "2") == 2

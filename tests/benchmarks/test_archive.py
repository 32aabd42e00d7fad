"""The benchmark of archives: simulated recordings go the real way, and what is computed says so."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import archive


def test_simulated_recordings_are_listed_recorded_and_written_and_the_run_is_resumed(tmp_path: Path) -> None:
    found = archive.simulate(700, tmp_path)
    assert 0.1 < found["manifest_mb"] < 0.4 and found["peak_mb"] > 1 and found["num_before"] == 0
    before = (tmp_path / "captions.csv").read_bytes()
    again = archive.simulate(700, tmp_path)
    assert again["num_before"] == 700 and again["manifest_mb"] == found["manifest_mb"]
    assert (tmp_path / "captions.csv").read_bytes() == before and before.count(b"\n") == 701


def test_hours_and_cost_are_computed_from_the_cpu_time() -> None:
    text = archive._computed(0.036, 0.05)
    assert "Computed, not measured" in text and "| 2 | 50 | 5 |" in text and "| 64 | 2 | 5 |" in text


@pytest.mark.slow
def test_processes_are_timed(tiny_checkpoint: Path, tmp_path: Path) -> None:
    clips = [tmp_path / f"{number}.wav" for number in range(48)]
    for number, path in enumerate(clips):
        soundfile.write(path, 0.1 * np.random.default_rng(number).normal(size=16000), 16000)
    found = archive.measure(clips, str(tiny_checkpoint), 1, 4)
    assert len(found.captions) == 48 and found.rate > 0 and found.cpu_s >= 0

"""The benchmark of archives: simulated recordings go the real way, and what is computed says so."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import archive
from captioning.jobs import Ended, Event, Job


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


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.wav" for number in range(48)]
    for number, path in enumerate(paths):
        soundfile.write(path, 0.1 * np.random.default_rng(number).normal(size=16000), 16000)
    return paths


@pytest.mark.slow
def test_processes_are_timed(tiny_checkpoint: Path, clips: list[Path]) -> None:
    found = archive.measure(clips, str(tiny_checkpoint), archive.Setting(1, 4))
    assert len(found.captions) == 48 and found.rate > 0 and found.cpu_s >= 0
    cores = os.sched_getaffinity(0)
    on_one = archive.measure(clips, str(tiny_checkpoint), archive.Setting(1, 4, one_core=True))
    assert on_one.captions == found.captions and os.sched_getaffinity(0) == cores


def test_every_clip_after_loading_is_timed_also_those_of_the_first_batch(
    clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([100.0, 104.0, 104.0, 104.0, 108.0])  # loaded, then a batch of three clips and one of one clip

    class Fake:
        process_ids = (os.getpid(),)

        def __init__(
            self, options: object, num_processes: int, num_threads: int, ready: Callable[[object], None]
        ) -> None:
            self._ready = ready

        def events(self, chunks: Iterator[list[Job]]) -> Iterator[list[Event]]:
            self._ready(None)
            for batch in ((0, 1, 2), (3,)):
                yield [Ended(number, "") for number in batch]

    monkeypatch.setattr(archive, "Team", Fake)
    monkeypatch.setattr(archive, "_cpu_s", lambda team: next(cpu))
    monkeypatch.setattr(archive.time, "monotonic", lambda: next(now))
    cpu = iter([1.0, 2.5, 5.0])
    found = archive.measure(clips, "nothing", archive.Setting(1, 4))
    assert found.rate == 4 / 8 and found.cpu_s == 1.0


def test_threads_of_a_process_share_one_core() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        archive._share_one_core([process.pid])
        assert os.sched_getaffinity(process.pid) == {min(os.sched_getaffinity(0))}
        process.communicate(b"\n")

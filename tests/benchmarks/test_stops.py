"""The benchmark of stops: phases and kept work are read from what train.py leaves, and differences are found."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import stops
from benchmarks.stops import BARS, TrainingRun, main, reaches, stop, try_signal

# In place of train.py: it shows the progress bars of two phases, and writes the losses of its seed at the end.
PROGRAM = """
import json, sys, time
from pathlib import Path
run, seed, bars, pause = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), float(sys.argv[4])
for bar in bars:
    print(bar, file=sys.stderr, flush=True)
    time.sleep(pause)
(run / "last").mkdir(parents=True, exist_ok=True)
for name in ("losses", "validation"):
    (run / f"{name}.csv").write_text(f"step,loss\\n1,0.{seed}\\n")
(run / "last" / "metadata.json").write_text('{"step": 1}')
(run / "last" / "model.safetensors").write_text("weights")
"""


class SimulatedRun(TrainingRun):
    """A run of PROGRAM; of those in folders other than `whole`, the losses are those of another seed if `differs`."""

    differs = False
    pause_s = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        seed = "7" if self.differs and self.folder.name != "whole" else "5"
        bars = json.dumps([BARS["tagger"], BARS["steps"]])
        with (self.folder / "stderr.txt").open("ab") as messages:
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.run), seed, bars, str(self.pause_s)], stderr=messages
            )


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    monkeypatch.setattr(stops, "TrainingRun", SimulatedRun)
    run = SimulatedRun(tmp_path, tmp_path / "whole", 1)
    run.finish(run.start())
    return run


@pytest.mark.parametrize("differs", [False, True])
def test_a_run_is_stopped_resumed_and_compared(
    whole: TrainingRun, differs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SimulatedRun, "differs", differs)
    monkeypatch.setattr(SimulatedRun, "pause_s", 2.0)
    monkeypatch.setattr(stops, "BARS", {name: BARS[name] for name in ("tagger", "steps")})
    rows = try_signal("SIGTERM", whole, 2, random.Random(1))
    assert [row[:2] for row in rows] == [["SIGTERM", "tagger"], ["SIGTERM", "steps"], ["SIGTERM", "end"]]
    assert {row[3] for row in rows[:2]} == {str(-signal.SIGTERM)} and rows[0][4] == "0 files of the tagger's progress"
    assert rows[2][4] == ("losses and weights DIFFER" if differs else "losses and weights as without stops")


def test_every_process_of_a_run_is_ended() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (children := stops.psutil.Process(process.pid).children()):
        time.sleep(0.02)
    stop(process, "SIGKILL")
    assert process.returncode == -signal.SIGKILL and not any(child.is_running() for child in children)


def test_the_phase_is_that_of_the_last_bar(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, tmp_path, 1)
    assert run.phase() == "start" and run.messages == ""
    (tmp_path / "stderr.txt").write_text(f"{BARS['clips of the tagger']} 1/9\n{BARS['tagger']} 1/9\n")
    assert run.phase() == "tagger" and run.shows("tagger", 0) and not run.shows("steps", 0)
    assert not run.shows("tagger", len(run.messages))  # of the attempt before
    (tmp_path / "cache" / "key").mkdir(parents=True)
    (tmp_path / "cache" / "key" / "a.npy").touch()
    assert run.phase() == "embeddings" and run.kept() == "step 0, 1 embeddings"


def test_a_table_behind_its_checkpoint_is_an_error(whole: TrainingRun) -> None:
    assert whole.kept() == "step 1, 0 embeddings"
    (whole.run / "losses.csv").write_text("step,loss\n")
    with pytest.raises(RuntimeError, match="losses.csv has 0 rows, but the last checkpoint is of step 1"):
        whole.kept()


def test_a_run_that_fails_is_an_error(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path, tmp_path, 1)
    (tmp_path / "stderr.txt").write_text("ERROR no data")
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"])
    with pytest.raises(RuntimeError, match="ended with status 2: ERROR no data"):
        reaches(run, process, "steps", 0)


def test_counts_are_checked(caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--moments", "0"]) == 2 and "moments" in caplog.text

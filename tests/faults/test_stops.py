"""Commands stopped at any moment, from their first imports on: they end at once, quietly, and nothing partial looks whole."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

import evaluate
from configs.stopping import StopSignals
from tests.conftest import ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
NUM_CLIPS = 120
MANIFEST = "predictions.csv.manifest.jsonl"
WHOLE = {MANIFEST, "predictions.csv", "scores.json", "scores_per_clip.csv", "report.html"}
QUICK = ("--metrics", "rouge_l", "cider_d", "--resamples", "200")


def start(*command: object) -> subprocess.Popen[str]:
    def heed_signals() -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, env=ENVIRONMENT, text=True, preexec_fn=heed_signals,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def check_ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Wait for the end, which comes soon, quietly and with the status of the signal; returns what was told."""
    errors = process.communicate(timeout=60)[1]
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors
    assert process.returncode in (-number, 128 + number, 0), (process.returncode, errors)
    return errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("script", ["inference.py", "evaluate.py", "data/download.py", "train.py"])
def test_a_stop_during_the_imports(script: str, number: signal.Signals) -> None:
    code = (  # as Python runs a script, with a signal sent to itself at the first import behind its first statement
        "import os, runpy, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in ('tqdm', 'numpy', 'torch', 'pooch'): os.kill(os.getpid(), {int(number)})\n"
        "for name in ('argparse', 'logging'): __import__(name)\n"
        "sys.meta_path.insert(0, Stop())\n"
        f"sys.argv = [{script!r}]\n"
        f"runpy.run_path({script!r}, run_name='__main__')\n"
    )
    process = start("-c", code)
    errors = process.communicate()[1]
    assert process.returncode == -number and errors == ""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    rows = ["file_name,split,caption_1,caption_2"]
    for number in range(NUM_CLIPS):
        soundfile.write(
            folder / f"{number:03}.wav", 0.1 * generator.normal(size=int(16000 * generator.uniform(0.3, 2))), 16000
        )
        rows.append(f"{number:03}.wav,evaluation,a dog barks,rain falls")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


def evaluation(checkpoint: Path, dataset: Path, output: Path) -> tuple[object, ...]:
    common = ("--ckpt_path", checkpoint, "--dataset_root", dataset, "--device", "cpu", "--batch_size", 4)
    return ("evaluate.py", *common, *QUICK, "--output", output)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("at", [40, NUM_CLIPS + 1])
def test_an_evaluation_keeps_its_captions_and_resumes(
    tiny_checkpoint: Path, dataset: Path, tmp_path: Path, number: signal.Signals, at: int
) -> None:
    output = tmp_path / "out"
    manifest, final = output / MANIFEST, output / "predictions.csv"
    process = start(*evaluation(tiny_checkpoint, dataset, output))
    while process.poll() is None and not final.exists():
        if manifest.exists() and num_done(manifest) >= at:
            break
        time.sleep(0.005)
    process.send_signal(number)
    told = check_ended(process, number)
    names = set(os.listdir(output))
    if process.returncode == 0:  # it was quicker
        assert names == WHOLE
        return
    assert "scores.json" not in names
    kept = num_done(manifest)
    assert kept >= min(at, NUM_CLIPS) and (kept == NUM_CLIPS or not final.exists())
    if number != signal.SIGKILL:
        assert "the same command" in told
    # What is kept is scored without captioning anything again.
    table = tmp_path / MANIFEST
    table.write_bytes(manifest.read_bytes())
    again = [*map(str, ("--predictions", table, "--dataset_root", dataset, *QUICK, "--partial"))]
    assert evaluate.main([*again, "--output", str(tmp_path / "kept")]) == 0
    assert len(pd.read_csv(tmp_path / "kept" / "predictions.csv")) >= kept
    # The same command captions only the other clips.
    before = manifest.read_bytes()
    assert evaluate.main([*map(str, evaluation(tiny_checkpoint, dataset, output)[1:])]) == 0
    assert manifest.read_bytes().startswith(before[: before.rfind(b"\n") + 1]) and num_done(manifest) == NUM_CLIPS
    assert set(os.listdir(output)) - {name for name in names if name.startswith(".")} == WHOLE
    captions = pd.read_csv(final)
    assert captions.file_name.tolist() == [f"{number:03}.wav" for number in range(NUM_CLIPS)]


def num_done(manifest: Path) -> int:
    """Number of recordings that a manifest says are done."""
    return manifest.read_bytes().count(b'"state":')


@pytest.mark.slow
def test_random_moments(tiny_checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    generator = random.Random(0)
    for case in range(6):
        output = tmp_path / str(case)
        number = generator.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
        process = start(*evaluation(tiny_checkpoint, dataset, output))
        time.sleep(generator.uniform(0.2, 6))
        process.send_signal(number)
        check_ended(process, number)
        names = set(os.listdir(output)) if output.exists() else set()
        if "predictions.csv" in names:
            assert len(pd.read_csv(output / "predictions.csv")) == NUM_CLIPS
        if "scores.json" in names:
            assert json.loads((output / "scores.json").read_text())["cider_d"]["value"] is not None
        visible = {name for name in names if not name.startswith(".")}
        assert visible <= WHOLE


def test_an_unwritable_output_is_reported_before_the_captioner_is_loaded(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["--dataset_root", str(dataset), "--ckpt_path", str(tmp_path / "none")]
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert evaluate.main([*arguments, "--output", str(output)]) == 2
        assert f"--output {output} is not a writable folder" in caplog.text and "none" not in caplog.text


def test_no_thread_outlives_the_block_even_beside_a_forked_process() -> None:
    """A thread that held the last reference to a training aborted the process while the interpreter ended."""
    kept = SimpleNamespace(keep=lambda: "")
    with StopSignals() as signals:
        signals.keep = kept.keep
        child = os.fork()
        if not child:
            signal.pause()  # has a copy of the socket
            os._exit(0)
    names = [thread.name for thread in threading.enumerate()]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert "stop signals" not in names

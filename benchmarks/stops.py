"""Stops of training at random moments: time to end, what is kept, and whether the resumed run gives the same numbers.

    python -m benchmarks stops --moments 10 --seed 22 --output runs/stops.md
    python -m benchmarks stops --moments 10 --seed 22 --processes 2

A small run on synthetic tones has every phase: clips and steps of the tagger, embeddings, steps, validation, self-critical steps.
It is run once without a stop. Then, for each signal, it is stopped within each phase in turn, at a random moment of its first
half second, and resumed until it ends. Its losses, validation losses and weights are compared with those of the first run. With
several processes torchrun gets the signal (SIGKILL goes to all processes).
"""

import argparse
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import soundfile
from tqdm import tqdm

from benchmarks.common import markdown_table, write_text
from configs.checks import POSITIVE_COUNT, outside, refuse
from configs.commands import command_parser, run_command

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parents[1]
LATEST_S = 0.5  # seconds from the beginning of a phase to a stop
SIGNALS = ("SIGKILL", "SIGINT", "SIGTERM")
BARS = {  # text of each phase's progress bar; embeddings have none in their first second, and are seen in the cache
    "clips of the tagger": "clips for the tagger",
    "tagger": "tagger: ",
    "embeddings": "embeddings of",
    "validation": "validation: ",
    "rewards": "n-grams: ",
    "steps": " loss ",
}
LABELS = ("dog", "rain", "siren")
TEXTS = (
    "A dog barks while rain falls",
    "A dog barks followed by a siren",
    "Rain falls",
    "A siren wails in the distance",
)
SETTINGS = {
    "captioner.encoder.name": "mobilenet", "captioner.encoder.width": 0.1, "captioner.encoder.max_duration_s": 2.0,
    "captioner.decoder.num_layers": 1, "captioner.decoder.num_heads": 2, "captioner.decoder.width": 32,
    "captioner.tokenizer.vocab_size": 120, "captioner.projection.kind": "none", "captioner.tags.num_tags": 3,
    "captioner.styles": "[short,long]", "data.batch_size": 4, "data.texts.simulation.synthetic_steps": 2,
    "training.run_name": "run", "training.num_steps": 30, "training.validate_every": 10, "training.warmup_steps": 2,
    "training.learning_rate": 0.003, "training.ema_decay": 0.9, "training.self_critical.num_steps": 6,
    "training.self_critical.batch_size": 4, "training.tagger.num_steps": 20, "training.tagger.pool": 48,
    "training.tagger.batch_size": 4, "training.tagger.members": 2, "decoding.max_tokens": 10,
}  # fmt: skip


def write_data(folder: Path) -> None:
    """Write recordings of tones with captions (`tones`) and with labels (`labelled`), and a table of captions (`texts.csv`)."""
    for split, count in (("development", 12), ("validation", 4)):
        (folder / "tones" / split).mkdir(parents=True)
        rows = []
        for number in range(count):
            _write_tone(folder / "tones" / split / f"{split}{number}.wav", number)
            rows.append([f"{split}{number}.wav", TEXTS[number % 4], TEXTS[(number + 1) % 4]])
        table = pd.DataFrame(rows, columns=["file_name", "caption_1", "caption_2"])
        table.to_csv(folder / "tones" / f"clotho_captions_{split}.csv", index=False)
    (folder / "labelled" / "clips").mkdir(parents=True)
    labels = [LABELS[number % 3] for number in range(9)]
    for number in range(9):
        _write_tone(folder / "labelled" / "clips" / f"{number}.wav", number % 3)
    clips = {"file_name": [f"{n}.wav" for n in range(9)], "fold": [n % 4 + 1 for n in range(9)], "category": labels}
    pd.DataFrame(clips).to_csv(folder / "labelled" / "clips.csv", index=False)
    pd.DataFrame({"caption": TEXTS}).to_csv(folder / "texts.csv", index=False)


def _write_tone(path: Path, number: int) -> None:
    seconds = np.arange(16000) / 16000
    noise = 0.01 * np.random.default_rng(number).normal(size=16000)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * (300 + 200 * (number % 5)) * seconds) + noise, 16000)


def _heed_signals() -> None:
    """Undo the ignored signals of a background job, which a new process inherits and train.py would ignore too."""
    for name in SIGNALS[1:]:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@dataclass(frozen=True)
class TrainingRun:
    """A run of train.py that can be stopped.

    Attributes:
        data: folder of `write_data`.
        folder: folder of the run and its cache.
        num_processes: number of processes.
    """

    data: Path
    folder: Path
    num_processes: int

    @property
    def run(self) -> Path:
        """Folder with checkpoints and tables."""
        return self.folder / "run" / "mobilenet_llama"

    @property
    def messages(self) -> str:
        """Everything that train.py has written to stderr."""
        path = self.folder / "stderr.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self) -> subprocess.Popen[bytes]:
        """Start or resume it."""
        self.folder.mkdir(exist_ok=True)
        settings = SETTINGS | {
            "data.dataset_root": self.data / "tones",
            "data.texts.tables": f"[{{path: {self.data / 'texts.csv'}, style: long, duration_s: [3.0, 5.0]}}]",
            "data.texts.labelled_dirs": f"[{self.data / 'labelled'}]",
            "data.cache_dir": self.folder / "cache",
            "training.checkpoints_dir": self.folder,
        }
        (self.folder / "empty.yaml").write_text("{}\n", encoding="utf-8")
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(self.num_processes))
        command = [sys.executable, *(torchrun if self.num_processes > 1 else ()), str(ROOT / "train.py")]
        command += [
            "--config",
            str(self.folder / "empty.yaml"),
            *(f"--{key}={value}" for key, value in settings.items()),
        ]
        if any(self.run.glob("step=*")) or any(self.run.glob("tagger*")):
            command.append("--resume")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        with (self.folder / "stderr.txt").open("ab") as messages:
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=messages, stderr=messages, preexec_fn=_heed_signals
            )

    def phase(self) -> str:
        """Return the phase whose progress bar was written last."""
        found = {name: self.messages.rfind(text) for name, text in BARS.items()}
        last = max(found, key=found.__getitem__)
        if last == "tagger" and self._has_embeddings():
            return "embeddings"
        return last if found[last] >= 0 else "start"

    def shows(self, phase: str, begin: int) -> bool:
        """Return whether a phase has begun after the first `begin` letters of the messages."""
        return BARS[phase] in self.messages[begin:] or (phase == "embeddings" and self._has_embeddings())

    def _has_embeddings(self) -> bool:
        return any((self.folder / "cache").rglob("*.npy"))

    def kept(self) -> str:
        """Return what is on the disk."""
        last = self.run / "last" / "metadata.json"
        step = json.loads(last.read_text(encoding="utf-8"))["step"] if last.exists() else 0
        table = self.run / "losses.csv"
        rows = len(pd.read_csv(table)) if table.exists() else 0
        if rows < step:
            raise RuntimeError(f"{table} has {rows} rows, but the last checkpoint is of step {step}.")
        parts, cached = (
            len(list(self.run.glob("tagger_progress-*/*"))),
            len(list((self.folder / "cache").rglob("*.npy"))),
        )
        return f"step {step}, {cached} embeddings" if step or cached else f"{parts} files of the tagger's progress"

    def result(self) -> tuple[list[float], list[float], bytes]:
        """Return losses, validation losses and the bytes of the last weights."""
        losses = pd.read_csv(self.run / "losses.csv")["loss"].tolist()
        validation = pd.read_csv(self.run / "validation.csv")["loss"].tolist()
        return losses, validation, (self.run / "last" / "model.safetensors").read_bytes()

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of the run.

        Raises:
            RuntimeError: it failed.
        """
        if status := process.wait():
            raise RuntimeError(f"train.py ended with status {status}: {self.messages[-2000:]}")


def stop(process: subprocess.Popen[bytes], name: str) -> float:
    """Send a signal; return the seconds until all processes of the run have ended."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    sent = time.monotonic()
    for member in family if name == "SIGKILL" else family[:1]:
        try:
            member.send_signal(getattr(signal, name))
        except psutil.NoSuchProcess:
            continue
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=60)
    if alive:
        raise RuntimeError(f"{len(alive)} processes still run a minute after {name}.")
    return time.monotonic() - sent


def reaches(run: TrainingRun, process: subprocess.Popen[bytes], phase: str, begin: int) -> bool:
    """Wait until a run begins a phase; return False if the run ends before.

    Raises:
        RuntimeError: the run failed.
    """
    while process.poll() is None:
        if run.shows(phase, begin):
            return True
        time.sleep(0.02)
    run.finish(process)
    return False


def try_signal(name: str, whole: TrainingRun, num_moments: int, chance: random.Random) -> list[list[str]]:
    """Stop and resume a run at random moments; return a row for each and for each comparison with the uninterrupted run."""
    rows: list[list[str]] = []
    attempt = done = tried = 0
    run = TrainingRun(whole.data, whole.folder.with_name(f"{name}{attempt}"), whole.num_processes)
    with tqdm(total=num_moments, desc=name, unit="stop") as bar:
        while True:
            begin = len(run.messages)
            process = run.start()
            stops = False
            if done < num_moments:  # a phase that a resumed run has behind it is left out
                stops = reaches(run, process, list(BARS)[tried % len(BARS)], begin)
                tried += 1
            if stops:
                time.sleep(chance.uniform(0, LATEST_S))
            if stops and process.poll() is None:
                phase, took = run.phase(), stop(process, name)
                torn = [str(path) for path in run.folder.rglob("*.part")] if name != "SIGKILL" else []
                kept = run.kept() + (f", LEFT {torn}" if torn else "")
                rows.append([name, phase, f"{took:.2f}", str(process.returncode), kept])
                logger.info("%s", ", ".join(rows[-1]))
                if "Traceback" in run.messages and run.num_processes == 1:
                    raise RuntimeError(run.messages[-2000:])
                done += 1
                bar.update()
                continue
            run.finish(process)
            same = run.result() == whole.result()
            rows.append([name, "end", "", "0", f"losses and weights {'as without stops' if same else 'DIFFER'}"])
            if done >= num_moments:
                return rows
            attempt += 1
            run = TrainingRun(whole.data, whole.folder.with_name(f"{name}{attempt}"), whole.num_processes)


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser("python -m benchmarks stops", __doc__)
    parser.add_argument("--moments", type=int, default=10, help="stops per signal (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: 0)")
    parser.add_argument("--processes", type=int, default=1, help="processes, connected by torchrun (default: 1)")
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS, help="signals (default: all)")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status, 1 where numbers differ."""
    refuse(
        [
            problem
            for name in ("moments", "processes")
            for problem in outside(f"--{name}", getattr(options, name), POSITIVE_COUNT)
        ]
    )
    chance = random.Random(options.seed)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        write_data(Path(scratch))
        whole = TrainingRun(Path(scratch), Path(scratch) / "whole", options.processes)
        whole.finish(whole.start())
        for name in options.signals:
            rows += try_signal(name, whole, options.moments, chance)
    table = markdown_table(["signal", "phase", "ended after (s)", "status", "kept"], rows)
    print(table)
    if options.output:
        write_text(options.output, table)
    return int(any("DIFFER" in row[-1] or "LEFT" in row[-1] for row in rows))


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

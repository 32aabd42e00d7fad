"""Faults of a training: numbers that are not finite, stops in every phase, lost clips, resuming with what does not fit."""

import json
import logging
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import train
from configs.checkpoint_files import TRAINING_STATE_FILE
from configs.commands import LogFile, run_command
from configs.errors import CheckpointError
from configs.loading import ConfigError, load_checkpoint_config, load_config
from models.checkpoints.folder import read_metadata, read_training_state
from tests.conftest import ROOT
from tests.training.test_text_training import collection, make_tone_module, text_options  # noqa: F401, F811 (fixtures)
from tests.training.test_train import losses, options, run_folder
from training.batches import Batch, TrainingSet
from training.objective import CaptioningLoss
from training.optimisation import MovingAverage
from training.resume import check_state
from training.trainer import Trainer

LOG = Path("train.log")


def error_of(arguments: Sequence[str], caplog: pytest.LogCaptureFixture) -> str:
    """The one sentence that a run ends with."""
    caplog.clear()
    assert train.main(arguments) == 2
    [message] = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert "\n" not in message and "Traceback" not in message
    return message


def stopped_after(step: int) -> Callable[..., float]:
    """A training step behind which the run is stopped, as by a signal."""
    original = Trainer.train_step

    def train_step(self: Trainer, batches: Sequence[Batch]) -> float:
        loss = original(self, batches)
        if self.step == step:
            self.keep()
            raise SystemExit
        return loss

    return train_step


# -- numbers that are not finite -----------------------------------------------------------------------------------------

STEADY = {"training__schedule": "constant", "training__warmup_steps": 1, "training__validate_every": 1}


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize(("rate", "clip"), [(1e4, 0.0), (1e30, 1.0), (1e30, 0.0)])
def test_what_is_saved_as_good_is_finite_and_the_run_goes_on_from_it(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, rate: float, clip: float, average: float
) -> None:
    settings = {**STEADY, "training__ema_decay": average, "training__gradient_clip": clip}
    assert train.main(options(tone_dataset, tmp_path, training__num_steps=2, **settings)) == 0
    wild = options(tone_dataset, tmp_path, training__num_steps=200, training__learning_rate=rate, **settings)
    message = error_of([*wild, "--resume"], caplog)
    assert "not finite" in message and "training.learning_rate" in message
    folder = run_folder(tmp_path)
    for saved in folder.glob("step=*"):
        assert math.isfinite(read_metadata(saved)["validation"]["loss"])
        assert all(bool(torch.isfinite(tensor).all()) for tensor in load_file(saved / "model.safetensors").values())
    last = (folder / "last").resolve()
    assert str(folder / last.name) in message
    check_state(last, read_training_state(last))
    step = read_metadata(last)["step"]
    good = options(tone_dataset, tmp_path, training__num_steps=step + 2, training__learning_rate=1e-4, **settings)
    if step == 2:  # nothing of the wild rate was taken over
        assert train.main([*good, "--resume"]) == 0
        assert all(map(math.isfinite, losses(tmp_path))) and read_metadata(folder / "last")["step"] == 4
        assert pd.read_csv(folder / "losses.csv")["learning_rate"].tolist()[-1] == pytest.approx(1e-4)


def test_a_gradient_that_is_not_finite_stops_before_the_update(
    tone_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original, calls = CaptioningLoss.forward, []

    def forward(self: CaptioningLoss, batch: Batch) -> torch.Tensor:
        calls.append(1)
        weight = next(p for p in self.captioner.decoder.parameters() if p.requires_grad)
        flaw = (
            torch.sqrt((weight * 0).sum()) if len(calls) == 5 else 0.0
        )  # its derivative is infinite; validation is a call
        return original(self, batch) + flaw

    monkeypatch.setattr(CaptioningLoss, "forward", forward)
    for clip in (0.0, 1.0):
        calls.clear()
        folder = tmp_path / str(clip)
        message = error_of(options(tone_dataset, folder, training__gradient_clip=clip), caplog)
        assert "gradient of the loss is not finite at step 4" in message and "step=3" in message
        assert read_metadata(run_folder(folder) / "last")["step"] == 3


def test_a_checkpoint_that_was_saved_at_a_stop_gives_way_to_the_last_good_one(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = options(tone_dataset, tmp_path, training__validate_every=2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Trainer, "train_step", stopped_after(3))
        train.main(arguments)
    folder = run_folder(tmp_path)
    assert read_metadata(folder / "last")["step"] == 3 and (folder / "step=2" / TRAINING_STATE_FILE).exists()
    wild = [*arguments, "--training.learning_rate=1e30", "--resume"]
    assert "step=2" in error_of(wild, caplog)
    assert read_metadata(folder / "last")["step"] == 2
    assert train.main([*arguments, "--resume"]) == 0
    assert len(losses(tmp_path)) == 6


def test_without_averaging_no_copy_of_the_weights_is_kept(tone_dataset: Path, tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    average = MovingAverage([("w", weight)], 0.0)
    for method in (average.update, average.exchange, average.restart):
        method()
    assert average.values == {} and torch.equal(weight, torch.ones(3))
    settings = {"training__ema_decay": 0.0, "training__num_steps": 3}
    assert train.main(options(tone_dataset, tmp_path, **settings)) == 0
    state = read_training_state(run_folder(tmp_path) / "last")
    assert state["average"]["values"] == {} and state["weights"]
    settings |= {"training__ema_decay": 0.9, "training__num_steps": 5}  # an average that begins later
    assert train.main([*options(tone_dataset, tmp_path, **settings), "--resume"]) == 0


# -- stops in every phase ------------------------------------------------------------------------------------------------

HANGS = """
import os, signal, sys, threading, time, torch
torch.set_num_threads(1)
import train
from training import {module} as module
owner, name, at = {owner}, {name!r}, {at}
original, calls = getattr(owner, name), []
def stopped(*arguments, **options):
    calls.append(1)
    if len(calls) == at:
        os.kill(os.getpid(), signal.{signal})
        time.sleep(100)  # the main thread is busy elsewhere
    return original(*arguments, **options)
setattr(owner, name, stopped)
sys.exit(train.main(sys.argv[1:]))
"""
# Module, what has the function, its name, at which call the signal comes, and the signal; and what is kept.
PHASES = {
    "pool of the tagger": ("tagger_pool", "module", "load", 9, "SIGTERM", "0 steps of member 1"),
    "tagger": ("tagger", "module", "tagger_loss", 6, "SIGINT", "1 steps of member 2"),
    "embeddings": ("features", "module.FrozenFeatures", "_compute", 9, "SIGHUP", "no step was done yet"),
    "steps": ("objective", "module.CaptioningLoss", "forward", 3, "SIGTERM", "step 2 is saved"),
    "trained encoder": ("objective", "module.CaptioningLoss", "forward", 7, "SIGINT", "step 5 is saved"),
    "validation": ("validation", "module", "cider_d", 1, "SIGHUP", "step 3 is saved"),
    "self-critical": ("trainer", "module", "find_captions", 2, "SIGTERM", "step 7 is saved"),
}


def phase_options(tone_dataset: Path, clips: Path, folder: Path, phase: str) -> list[str]:
    """A run that has the phase."""
    steps = {
        "training__validate_every": 3,
        "training__self_critical__num_steps": 2,
        "training__self_critical__batch_size": 4,
    }
    if phase == "trained encoder":
        return options(tone_dataset, folder, captioner__encoder__train_from_step=2, data__cache_dir="null", **steps)
    tagger = {"training__tagger__members": 2, "training__tagger__num_steps": 4}
    return text_options(tone_dataset, clips, folder, **tagger, **steps)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_any_phase_keeps_what_was_done(
    tone_dataset: Path,
    collection: Path,  # noqa: F811
    tmp_path: Path,
    phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, owner, name, at, sent, kept = PHASES[phase]
    code = HANGS.format(module=module, owner=owner, name=name, at=at, signal=sent)
    arguments = phase_options(tone_dataset, collection, tmp_path / "parts", phase)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def heed_signals() -> None:
        import signal

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
        preexec_fn=heed_signals,
    )  # fmt: skip
    assert process.returncode == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[sent], process.stderr
    told = process.stderr.strip().splitlines()[-1]
    assert "stopped by" in told and kept in told, told
    assert "Traceback" not in process.stderr
    folder = run_folder(tmp_path / "parts")
    if "is saved" in kept:
        state = read_training_state(folder / "last")
        assert len(losses(tmp_path / "parts")) == state["step"] == len(state["history"]["losses"])
    else:
        assert not list(folder.glob("step=*"))
    if phase in ("embeddings",):
        assert len(list((tmp_path / "parts" / "cache").rglob("*.npy"))) == at - 1

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    again = [] if phase == "embeddings" and not (folder / "tagger.safetensors").exists() else ["--resume"]
    assert train.main([*arguments, *again]) == 0
    assert train.main(phase_options(tone_dataset, collection, tmp_path / "whole", phase)) == 0
    torch.set_num_threads(threads)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    rows = [pd.read_csv(run_folder(tmp_path / run) / "validation.csv") for run in ("parts", "whole")]
    assert rows[0]["step"].equals(rows[1]["step"])
    assert rows[0]["loss"].equals(rows[1]["loss"])
    ends = [load_file(run_folder(tmp_path / run) / "last" / "model.safetensors") for run in ("parts", "whole")]
    assert [name for name in ends[1] if not torch.equal(ends[0][name], ends[1][name])] == []
    assert not list(folder.glob("tagger_progress-*")) and not list(folder.glob("*.writing-*"))


def test_the_table_of_losses_is_never_behind_a_checkpoint(
    tone_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.run_folder import RunFolder

    original, seen = RunFolder.publish, []

    def publish(self: RunFolder, step: int, is_best: bool) -> None:
        seen.append((step, len(losses(tmp_path))))
        original(self, step, is_best)

    monkeypatch.setattr(RunFolder, "publish", publish)
    monkeypatch.setattr(Trainer, "train_step", stopped_after(4))
    with pytest.raises(SystemExit):
        train.main(options(tone_dataset, tmp_path))
    assert seen == [(3, 3), (4, 4)]


# -- clips that are lost -------------------------------------------------------------------------------------------------


def vanish(path: Path) -> None:
    path.unlink()


def break_off(path: Path) -> None:
    path.write_bytes(b"RIFF no sound")


@pytest.mark.parametrize("damage", [vanish, break_off])
def test_a_lost_validation_clip_goes_by_the_policy(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    root = tmp_path / "tones"
    shutil.copytree(tone_dataset, root)
    lost = root / "validation" / "validation1.wav"
    uncached = {"data__cache_dir": "null", "captioner__encoder__train_from_step": 0}
    original = Trainer.train_step

    def train_step(self: Trainer, batches: Sequence[Batch]) -> float:
        if lost.exists():
            damage(lost)
        return original(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        message = error_of(options(root, tmp_path / "stop", **uncached), caplog)
    assert "validation stopped after step 3, which is saved" in message and lost.name in message
    assert "data.bad_clips" in message and read_metadata(run_folder(tmp_path / "stop") / "last")["step"] == 3
    shutil.copyfile(tone_dataset / "validation" / lost.name, lost)
    assert train.main([*options(root, tmp_path / "stop", **uncached), "--resume"]) == 0
    whole = pd.read_csv(run_folder(tmp_path / "stop") / "validation.csv")["step"].tolist()
    assert whole == [3, 6]  # the one that was not done came first
    caplog.clear()
    damage(lost)
    with pytest.MonkeyPatch.context() as patch:
        shutil.copyfile(tone_dataset / "validation" / lost.name, lost)
        patch.setattr(Trainer, "train_step", train_step)
        assert train.main(options(root, tmp_path / "skip", data__bad_clips="skip", **uncached)) == 0
    assert "left out of this validation: " in caplog.text and lost.name in caplog.text


@pytest.mark.parametrize("split", ["development", "validation"])
def test_a_clip_lost_before_its_embedding_goes_by_the_policy(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "tones"
    shutil.copytree(tone_dataset, root)
    lost = root / split / f"{split}1.wav"
    original = Trainer.start_phase

    def start_phase(self: Trainer) -> int:
        lost.unlink(missing_ok=True)
        return original(self)

    monkeypatch.setattr(Trainer, "start_phase", start_phase)
    assert lost.name in error_of(options(root, tmp_path / "stop"), caplog)
    shutil.copyfile(tone_dataset / split / lost.name, lost)
    caplog.clear()
    assert train.main(options(root, tmp_path / "skip", data__bad_clips="skip")) == 0
    assert f"left out of the embeddings of the {'training' if split == 'development' else split} clips: " in caplog.text


# -- resuming with what does not fit -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_run(tone_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("short")
    assert train.main(options(tone_dataset, folder, training__num_steps=1)) == 0
    return folder


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("captioner.decoder.width", 48),
        ("captioner.decoder.num_layers", 2),
        ("captioner.encoder.width", 0.2),
        ("captioner.encoder.output", "clip"),
        ("captioner.encoder.train_from_step", 0),
        ("captioner.projection.kind", "linear"),
        ("captioner.tags.num_tags", 3),
        ("captioner.styles", "[short,long]"),
    ],
)
def test_another_network_is_refused_in_a_sentence(
    tone_dataset: Path, short_run: Path, caplog: pytest.LogCaptureFixture, key: str, value: object
) -> None:
    changes = {key.replace(".", "__"): value}
    message = error_of([*options(tone_dataset, short_run, training__num_steps=1, **changes), "--resume"], caplog)
    assert "another network" in message and key in message and "step=1" in message


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


def with_value(value: object, *keys: str) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


STATES = {
    **{
        f"no {key}": without(key)
        for key in ("step", "weights", "optimizer", "average", "history", "best_score", "seconds")
    },
    "no state of the optimizer": without("optimizer", "state"),
    "no groups": without("optimizer", "param_groups"),
    "no averages": without("average", "values"),
    "no losses": without("history", "losses"),
    "no validations": without("history", "validations"),
    "a step in words": with_value("one", "step"),
    "a step that is none": with_value(True, "step"),
    "weights in a list": with_value([], "weights"),
    "too many steps": with_value(7, "step"),
    "validations without steps": with_value([{"loss": 1.0}], "history", "validations"),
    "endless seconds": with_value(math.inf, "seconds"),
    "weights of NaN": with_value({"w": torch.tensor([math.nan])}, "weights"),
    "an infinite optimizer": with_value({0: {"exp_avg": torch.tensor([math.inf])}}, "optimizer", "state"),
}


@pytest.mark.parametrize("case", STATES)
def test_a_training_state_that_lacks_something_is_refused_in_a_sentence(short_run: Path, case: str) -> None:
    folder = run_folder(short_run) / "step=1"
    state = read_training_state(folder)
    check_state(folder, state)
    STATES[case](state)
    with pytest.raises(CheckpointError) as told:
        check_state(folder, state)
    assert str(folder / TRAINING_STATE_FILE) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    "change",
    [
        without("history"),
        with_value([], "optimizer", "param_groups"),
        with_value(
            {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(7), "exp_avg_sq": torch.zeros(7)}},
            "optimizer",
            "state",
        ),
        without("weights", "projection.layers.0.weight"),
    ],
    ids=["no history", "no groups", "other shapes", "no weight"],
)
def test_the_command_refuses_it_in_a_sentence(
    tone_dataset: Path, short_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Any], None]
) -> None:
    from configs.checkpoint_files import sha256_of

    run = tmp_path / "again"
    shutil.copytree(short_run, run, symlinks=True)
    folder = run_folder(run) / "step=1"
    state = read_training_state(folder)
    try:
        change(state)
    except KeyError:
        name = next(name for name in state["weights"] if name.startswith("projection"))
        del state["weights"][name]
    torch.save(state, folder / TRAINING_STATE_FILE)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["files"][TRAINING_STATE_FILE] = sha256_of(folder / TRAINING_STATE_FILE)
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert str(run_folder(run)) in error_of([*options(tone_dataset, run, training__num_steps=2), "--resume"], caplog)


# -- errors that keep their reason ---------------------------------------------------------------------------------------


def test_an_error_in_a_loader_process_keeps_its_reason(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (RuntimeError, KeyError):

        def sample(self: TrainingSet, epoch: int, index: int, kind: type[Exception] = kind) -> None:
            raise kind("Cannot re-initialize CUDA in forked subprocess")

        monkeypatch.setattr(TrainingSet, "_sample", sample)
        message = error_of(options(tone_dataset, tmp_path / kind.__name__, data__num_workers=1), caplog)
        assert f"failed ({kind.__name__}: " in message and "Cannot re-initialize CUDA" in message
        log = (run_folder(tmp_path / kind.__name__) / LOG).read_text()
        assert "Traceback" in log and message in log and "_sample" in log.replace("in sample", "in _sample")


def test_the_log_has_the_traceback_of_any_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError), LogFile(tmp_path / LOG):
        logging.getLogger("train").warning("before")
        print(1 / 0)
    text = (tmp_path / LOG).read_text()
    assert "WARNING before" in text and "Traceback" in text and "ZeroDivisionError" in text


def test_a_log_on_a_full_disk_costs_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    for path in (Path("/dev/full"), Path("/no/such/folder/train.log")):
        with LogFile(path):
            logging.getLogger("train").error("what went wrong")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("kind", [ValueError, OSError, RuntimeError])
def test_the_traceback_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: type[Exception], shown: bool
) -> None:
    import argparse

    def run(_: argparse.Namespace) -> int:
        raise kind("CUDA out of memory")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    arguments = ["--traceback"] if shown else []
    assert run_command(argparse.ArgumentParser(), run, arguments, logging.getLogger("train")) == 2
    errors = capsys.readouterr().err
    assert "ERROR CUDA out of memory" in errors and ("Traceback" in errors) == shown
    assert ("--traceback" in errors.splitlines()[0]) == (kind is RuntimeError)


@pytest.mark.slow
def test_the_commands_take_the_switch(tmp_path: Path) -> None:
    for command in (
        ["inference.py", "--ckpt_path", tmp_path / "none", ROOT / "assets" / "siren.flac"],
        ["evaluate.py"],
        ["train.py", "--data.dataset_root", tmp_path],
    ):
        errors = [
            subprocess.run([sys.executable, *command, *extra], cwd=ROOT, capture_output=True, text=True).stderr
            for extra in ([], ["--traceback"])
        ]
        assert ["Traceback" in text for text in errors] == [False, True], errors


# -- processes -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_accelerate_launch_with_one_process_for_two_is_refused(tone_dataset: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number, expected in (("2", False), ("1", True)):
        arguments = options(tone_dataset, tmp_path / number, training__num_steps=1)
        command = [*launch, number, "train.py", *arguments]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (process.returncode == 0) == expected, process.stderr
        assert ("torchrun --nproc_per_node" in process.stderr) != expected


@pytest.mark.slow
def test_processes_wait_for_the_first_ones_phases(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(
        "import torch.distributed as dist, torch\n"
        "from configs.schema import TrainingConfig\n"
        "from training.processes import LONGEST_WAIT, build_accelerator\n"
        "accelerator = build_accelerator(TrainingConfig(), False)\n"
        "group = dist.distributed_c10d._get_default_group()._get_backend(accelerator.device)\n"
        "assert accelerator.num_processes == 2 and group.options._timeout == LONGEST_WAIT, group.options._timeout\n"
        "assert LONGEST_WAIT.days >= 1\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


# -- configurations that no memory holds ---------------------------------------------------------------------------------

LETTERS = list(zip("abcdefgh", "bcdefghi", strict=True))
BOMBS = {
    "lists": "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in LETTERS),
    "mappings": "a: &a {k: 1}\n"
    + "".join(f"{b}: &{b} {{x: *{a}, y: *{a}, z: *{a}, w: *{a}, v: *{a}}}\n" for a, b in LETTERS),
    "merged keys": "a: &a {k: 1}\n" + "".join(f"{b}: &{b}\n  <<: [{','.join([f'*{a}'] * 9)}]\n" for a, b in LETTERS),
    "an alias of itself": "data: &a\n  augment: *a\n",
    "a list of itself": "a: &a [*a]\n",
    "deep": "[" * 3000,
    "long": "#" * 2**21,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_configuration_of_more_than_any_memory_holds(
    tmp_path: Path, bomb: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BOMBS[bomb])
    for read in (load_config, load_checkpoint_config):
        with pytest.raises(ConfigError) as told:
            read(path)
        assert "\n" not in str(told.value) and len(str(told.value)) < 300
    assert str(path) in error_of([f"--config={path}"], caplog)


def test_a_configuration_with_aliases_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("training: &t {num_steps: 7}\ndata: {batch_size: 8}\n", encoding="utf-8-sig")
    assert load_config(path).training.num_steps == 7

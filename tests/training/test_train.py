"""train.py from end to end on tones: it learns, resumes exactly, shares steps over processes, and stops when it must."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import train
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from training.batches import Batch
from training.objective import CaptioningLoss
from training.optimisation import has_bfloat16
from training.run_folder import RunFolder
from training.trainer import Trainer

ROOT = Path(__file__).parents[2]


def small_run(dataset: Path, folder: Path) -> dict[str, object]:
    """Settings of a quick run, whatever its encoder."""
    return {
        "captioner.encoder.max_duration_s": 2.0,
        "captioner.decoder.num_layers": 1,
        "captioner.decoder.num_heads": 2,
        "captioner.decoder.width": 32,
        "captioner.tokenizer.vocab_size": 120,
        "data.dataset_root": dataset,
        "data.batch_size": 4,
        "data.cache_dir": folder / "cache",
        "training.checkpoints_dir": folder,
        "training.run_name": "run",
        "decoding.max_tokens": 10,
    }


def command_line(config: Path, settings: dict[str, object], changes: dict[str, object]) -> list[str]:
    """Options of train.py; the changes' keys use __ for dots."""
    settings = settings | {key.replace("__", "."): value for key, value in changes.items()}
    return ["--config", str(config), *(f"--{key}={value}" for key, value in settings.items())]


def options(dataset: Path, folder: Path, **changes: object) -> list[str]:
    """Command line of a small, quick run; keys use __ for dots."""
    settings = small_run(dataset, folder) | {
        "captioner.encoder.name": "mobilenet",
        "captioner.encoder.width": 0.1,
        "data.augment.mixup_alpha": 0.4,
        "training.num_steps": 6,
        "training.validate_every": 3,
        "training.warmup_steps": 2,
        "training.learning_rate": 0.003,
        "training.ema_decay": 0.9,
        "training.label_smoothing": 0.1,
    }
    empty = folder / "empty.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    empty.write_text("{}\n")
    return command_line(empty, settings, changes)


def losses(folder: Path) -> list[float]:
    return pd.read_csv(folder / "run" / "mobilenet_llama" / "losses.csv")["loss"].tolist()


def run_folder(folder: Path) -> Path:
    return folder / "run" / "mobilenet_llama"


def test_a_run_learns_and_leaves_what_it_promises(tone_dataset: Path, tmp_path: Path) -> None:
    assert train.main(options(tone_dataset, tmp_path, training__num_steps=30, training__validate_every=10)) == 0
    folder = run_folder(tmp_path)
    found = losses(tmp_path)
    assert len(found) == 30 and sum(found[-5:]) < 0.8 * sum(found[:5])
    assert (folder / "loss.png").stat().st_size > 5000
    assert {path.name for path in folder.glob("step=*")} <= {"step=10", "step=20", "step=30"}
    assert read_metadata(folder / "last")["step"] == 30
    assert read_metadata(folder / "best")["data"]["training_clips"] == 12
    assert not (folder / "step=20" / "training_state.pt").exists()
    captioner = AudioCaptioner.from_pretrained(folder)
    assert captioner.config.training.num_steps == 30


def test_a_run_begins_with_another_checkpoint_and_its_vocabulary(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(options(tone_dataset, tmp_path / "first", training__num_steps=30)) == 0
    first = run_folder(tmp_path / "first") / "last"
    further = options(tone_dataset, tmp_path / "second", training__start_from=str(first), training__learning_rate=1e-6)
    assert train.main(further) == 0
    assert losses(tmp_path / "second")[0] < losses(tmp_path / "first")[0] - 0.3
    one, two = (AudioCaptioner.from_pretrained(path) for path in (first, run_folder(tmp_path / "second") / "last"))
    assert one.tokenizer.to_str() == two.tokenizer.to_str()
    for (name, before), after in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        assert torch.allclose(before, after, atol=1e-4), name
    larger = options(
        tone_dataset, tmp_path / "third", training__start_from=str(first), captioner__decoder__num_layers=3
    )
    assert train.main(larger) == 2
    assert "has other networks than the configuration" in caplog.text


@pytest.mark.parametrize("unfreeze", [None, 0, 3])
def test_a_resumed_run_repeats_every_digit(tone_dataset: Path, tmp_path: Path, unfreeze: int | None) -> None:
    extra = {
        "captioner__encoder__train_from_step": "null" if unfreeze is None else unfreeze,
        "data__augment__gain_db": 3,
    }
    whole = options(tone_dataset, tmp_path / "whole", training__num_steps=6, training__schedule="constant", **extra)
    assert train.main(whole) == 0
    parts = {"training__schedule": "constant", **extra}
    assert train.main(options(tone_dataset, tmp_path / "parts", training__num_steps=4, **parts)) == 0
    assert train.main([*options(tone_dataset, tmp_path / "parts", training__num_steps=6, **parts), "--resume"]) == 0
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    first = AudioCaptioner.from_pretrained(run_folder(tmp_path / "whole") / "last").state_dict()
    second = AudioCaptioner.from_pretrained(run_folder(tmp_path / "parts") / "last").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_with_and_without_the_cache_the_losses_are_the_same(tone_dataset: Path, tmp_path: Path) -> None:
    assert train.main(options(tone_dataset, tmp_path / "with")) == 0
    assert train.main(options(tone_dataset, tmp_path / "without", data__cache_dir="null")) == 0
    assert losses(tmp_path / "with") == losses(tmp_path / "without")
    assert list((tmp_path / "with" / "cache").rglob("*.npy"))
    assert not (tmp_path / "without" / "cache").exists()


def test_workers_and_accumulation_change_no_loss(tone_dataset: Path, tmp_path: Path) -> None:
    plain = {"captioner__decoder__dropout": 0, "captioner__projection__dropout": 0}
    assert train.main(options(tone_dataset, tmp_path / "one", **plain)) == 0
    assert train.main(options(tone_dataset, tmp_path / "two", data__num_workers=2, **plain)) == 0
    assert train.main(options(tone_dataset, tmp_path / "parts", training__accumulation=2, **plain)) == 0
    assert losses(tmp_path / "two") == losses(tmp_path / "one")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


def start(arguments: list[str], *launcher: str) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, *launcher, "train.py", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tone_dataset: Path, tmp_path: Path) -> None:
    plain = {"captioner__decoder__dropout": 0, "captioner__projection__dropout": 0}
    assert train.main(options(tone_dataset, tmp_path / "one", **plain)) == 0
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    process = start(options(tone_dataset, tmp_path / "two", **plain), *launcher)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


def wait_for(condition: object, process: subprocess.Popen[str], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_and_resumed_it_repeats_every_digit(tone_dataset: Path, tmp_path: Path) -> None:
    settings = {"training__num_steps": 24, "training__validate_every": 4}
    whole = start(options(tone_dataset, tmp_path / "whole", **settings))  # with as many threads as the killed ones
    assert whole.communicate(timeout=300) and whole.returncode == 0
    arguments = options(tone_dataset, tmp_path / "killed", **settings)
    for step in (4, 12):
        process = start([*arguments, *(["--resume"] if step > 4 else [])])
        wait_for((run_folder(tmp_path / "killed") / f"step={step}").exists, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    process = start([*arguments, "--resume"])
    assert process.communicate(timeout=300) and process.returncode == 0
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


@pytest.mark.slow
def test_stopped_by_a_signal_it_saves_first(tone_dataset: Path, tmp_path: Path) -> None:
    arguments = options(tone_dataset, tmp_path, training__num_steps=100000, training__validate_every=50)
    process = start(arguments)
    wait_for((run_folder(tmp_path) / "step=50").exists, process)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    metadata = read_metadata(run_folder(tmp_path) / "last")
    assert metadata["step"] >= 50
    state = torch.load(run_folder(tmp_path) / "last" / "training_state.pt", weights_only=True)
    assert state["step"] == metadata["step"]


def test_a_loss_that_is_not_finite_stops_before_the_update(
    tone_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = CaptioningLoss.forward
    calls = []

    def forward(self: CaptioningLoss, batch: Batch) -> torch.Tensor:
        calls.append(batch)
        loss = original(self, batch)
        return loss * float("nan") if len(calls) == 6 else loss  # the fifth step; validation takes one call

    monkeypatch.setattr(CaptioningLoss, "forward", forward)
    assert train.main(options(tone_dataset, tmp_path)) == 2
    assert "not finite at step 5" in caplog.text and "development" in caplog.text and "step=3" in caplog.text


def test_errors_are_one_sentence_and_status_2(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def told(arguments: list[str]) -> str:
        caplog.clear()
        assert train.main(arguments) == 2
        errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1
        return errors[0]

    assert "data.download" in told(options(tmp_path / "nowhere", tmp_path / "a"))
    assert "unknown option" in told(["--training.num_step", "3"])
    assert "no checkpoint to resume" in told([*options(tone_dataset, tmp_path / "b"), "--resume"])
    assert train.main(options(tone_dataset, tmp_path / "c", training__num_steps=1)) == 0
    assert "already contains a run" in told(options(tone_dataset, tmp_path / "c"))
    assert "choose a multiple" in told(options(tone_dataset, tmp_path / "d", training__accumulation=3))


def test_two_trainings_in_one_folder_are_kept_apart(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(run_folder(tmp_path), keep=1)
    assert train.main(options(tone_dataset, tmp_path)) == 2
    assert "another training is writing" in caplog.text
    folder.close()


def test_a_damaged_newest_checkpoint_is_passed_over(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(options(tone_dataset, tmp_path, training__num_steps=3)) == 0
    newest = run_folder(tmp_path) / "step=3" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train.main([*options(tone_dataset, tmp_path), "--resume"]) == 2
    assert "skipped" in caplog.text and "step=3" in caplog.text
    assert json.loads((run_folder(tmp_path) / "step=3" / "metadata.json").read_text())["step"] == 3


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.mark.slow
def test_two_processes_stopped_by_a_signal_leave_one_whole_checkpoint(tone_dataset: Path, tmp_path: Path) -> None:
    arguments = options(tone_dataset, tmp_path, training__num_steps=100000, training__validate_every=20)
    process = start(arguments, *TORCHRUN)
    wait_for((run_folder(tmp_path) / "step=20").exists, process)
    process.terminate()
    process.communicate(timeout=120)
    found = read_metadata(run_folder(tmp_path) / "last")
    assert found["step"] == max(RunFolder.reader(run_folder(tmp_path)).steps())
    assert not list(run_folder(tmp_path).glob("*.writing-*"))


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "told"), [(signal.SIGKILL, "died"), (signal.SIGSTOP, "froze")])
def test_a_loader_process_killed_or_frozen_is_reported_with_the_last_good_checkpoint(
    tone_dataset: Path, tmp_path: Path, sent: signal.Signals, told: str
) -> None:
    settings = {"training__num_steps": 100000, "training__validate_every": 10, "data__num_workers": 1}
    process = start(options(tone_dataset, tmp_path, data__worker_timeout_s=15, **settings))
    wait_for((run_folder(tmp_path) / "step=10").exists, process)
    worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[-1]
    os.kill(int(worker), sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    message = errors.strip().splitlines()[-1]
    assert "ERROR" in message and told in message and "--resume" in message
    assert re.search(r"step=\d+", message)


def test_a_clip_lost_in_training_stops_it_saved_or_is_skipped(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "tones"
    shutil.copytree(tone_dataset, root)
    uncached = {"data__cache_dir": "null", "captioner__encoder__train_from_step": 0, "training__num_steps": 6}
    lost = root / "development" / "development3.wav"
    original, seen = Trainer.train_step, []

    def train_step(self: Trainer, batches: list[Batch]) -> float:
        seen.append(1)
        if len(seen) == 2:
            lost.unlink(missing_ok=True)
        return original(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        assert train.main(options(root, tmp_path / "stop", **uncached)) == 2
    assert "development3.wav" in caplog.text and "data.bad_clips" in caplog.text
    saved = read_metadata(run_folder(tmp_path / "stop") / "last")["step"]
    assert 2 <= saved < 6
    shutil.copyfile(tone_dataset / "development" / lost.name, lost)
    assert train.main([*options(root, tmp_path / "stop", **uncached), "--resume"]) == 0
    caplog.clear()
    seen.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        assert train.main(options(root, tmp_path / "skip", data__bad_clips="skip", **uncached)) == 0
    assert "skipped: " in caplog.text and "development3.wav" in caplog.text
    assert len(losses(tmp_path / "skip")) == 6


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    arguments = options(tone_dataset, tmp_path)
    arguments = [a.replace(f"checkpoints_dir={tmp_path}", f"checkpoints_dir={tmp_path}/file") for a in arguments]
    assert train.main(arguments) == 2
    assert "cannot be written" in caplog.text and "training.checkpoints_dir" in caplog.text


def test_half_precision_learns_the_same_within_its_precision(tone_dataset: Path, tmp_path: Path) -> None:
    plain = {"captioner__decoder__dropout": 0, "captioner__projection__dropout": 0}
    assert train.main(options(tone_dataset, tmp_path / "whole", **plain)) == 0
    process = start(options(tone_dataset, tmp_path / "half", training__mixed_precision="bf16", **plain))
    _, errors = process.communicate(timeout=120)  # accelerate keeps one precision for the life of a process
    assert process.returncode == 0, errors
    assert losses(tmp_path / "half") == pytest.approx(losses(tmp_path / "whole"), abs=0.05)
    assert (losses(tmp_path / "half") != losses(tmp_path / "whole")) == has_bfloat16()
    assert ("no instructions for bfloat16" in errors) != has_bfloat16()


def test_all_wrong_settings_are_reported_before_anything_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"decoding__style": "verse", "decoding__min_tokens": 60, "decoding__top_p": 0, "data__batch_size": 0}
    assert train.main(options(tmp_path / "nowhere", tmp_path / "runs", **changes)) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "found data.batch_size 0 (expected 1 or more), decoding.top_p 0.0 (expected above 0 and at most 1), "
        "decoding.min_tokens 60 (expected at most max_tokens, 10) and decoding.style 'verse' (expected none, since this "
        "captioner has no named styles): change these settings."
    ]

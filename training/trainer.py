"""The training loop: steps, validation and saving of one run."""

import itertools
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, set_seed
from torch import Tensor
from tqdm import tqdm

from configs.schema import Config
from data.audio import AudioError
from models.encoders.build import encoder_label
from training.batches import Batch
from training.datasets import load_clips
from training.objective import token_weights
from training.optimisation import MovingAverage, build_optimizer, set_learning_rates, usable_precision
from training.phases import Phase, Phases
from training.resume import TrainingState, resume
from training.run_folder import RunFolder, TrainingError
from training.self_critical import CiderReward, find_captions
from training.start import begin_with
from training.tagger import TAGGER_FILE, load_tagger, save_tagger, tune_tagger
from training.text_only.text_labels import build_caption_store
from training.tracking import History
from training.validation import ValidationResult, validate

logger = logging.getLogger("train")


class Trainer:
    """One run: everything that the loop in `fit` uses.

    Args:
        config: the experiment.
        resumes: go on from the newest whole checkpoint.
    """

    def __init__(self, config: Config, resumes: bool) -> None:
        settings = config.training
        trains_encoder = config.captioner.encoder.train_from_step is not None
        self.config = config
        on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
        self.accelerator = Accelerator(
            mixed_precision=usable_precision(settings.mixed_precision, on_cpu or not torch.accelerator.is_available()),
            dataloader_config=DataLoaderConfiguration(),
            # A trained encoder's tagger has no gradient without the tags' loss.
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)] if trains_encoder else [],
            cpu=on_cpu,
        )
        self._check_world_size()
        model_name = f"{encoder_label(config.captioner.encoder.name)}_llama"
        path = Path(settings.checkpoints_dir) / settings.run_name / model_name
        self.run = RunFolder(path, settings.keep) if self.accelerator.is_main_process else None
        if self.run and self.run.steps() and not resumes:
            raise TrainingError(
                f"{path} holds a run already: go on with --resume, or choose another training.run_name."
            )
        set_seed(settings.seed)
        self.clips = load_clips(config.data, settings.seed)
        self.captioner = begin_with(config, self.clips.train)
        self.captioner.search.store = build_caption_store(
            config.data.texts, config.captioner.styles, self.clips.train, settings.seed
        )
        if settings.tag_loss and not self.captioner.encoder.has_tagger:
            raise TrainingError(f"{config.captioner.encoder.name} has no tagger to teach: set training.tag_loss to 0.")
        self.captioner.encoder.set_trained(False)
        self.captioner.to(self.accelerator.device)
        optimizer = build_optimizer(self.captioner, settings, trains_encoder)
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.trained = [(name, p) for name, p in self.captioner.named_parameters() if id(p) in trained]
        self.optimizer = self.accelerator.prepare(optimizer)
        self.average = MovingAverage(self.trained, settings.ema_decay)
        self.history = History(path, settings.tensorboard and self.accelerator.is_main_process)
        self.state = TrainingState(self.trained, self.optimizer, self.average, self.history, self.accelerator.scaler)
        self.phases = Phases(config, self.clips, self.captioner, self.accelerator)
        self.phase: Phase
        self.stop_requested = False
        if resumes:
            resume(self.state, self.captioner, config, self.run or RunFolder.reader(path), may_begin=restarts() > 0)
        if settings.tagger.num_steps:
            self._tune_tagger(path / TAGGER_FILE)
        self.accelerator.wait_for_everyone()

    @property
    def step(self) -> int:
        """Optimiser steps so far."""
        return self.state.step

    def _tune_tagger(self, kept: Path) -> None:
        """Train the tagger further, or take the one that an earlier start of this run left behind."""
        encoder = self.captioner.encoder
        if self.step and not kept.exists():
            raise TrainingError(
                f"{kept} is gone, without which this run cannot go on: put it back, or begin a new run."
            )
        with self.accelerator.main_process_first():
            if not kept.exists():
                tune_tagger(encoder, self.clips.labelled, self.config.training.tagger, self.config.training.seed)
                kept.parent.mkdir(parents=True, exist_ok=True)
                save_tagger(encoder, kept)
            load_tagger(encoder, kept)

    def start_phase(self) -> int:
        """Build what the current step's phase needs; returns the step where the phase ends."""
        settings = self.config.training
        if settings.ema_decay and self.step == settings.num_steps:  # found captions are rewarded from the averages on
            self.average.restart(self.trained)
        # A phase's last validation comes at the step where the next one begins, so what it needs is kept until then.
        self.phase = self.phases.build(self.step)
        return self.phase.end_step

    # -- one step ------------------------------------------------------------------------------------------------------

    def next_batches(self) -> list[Batch]:
        """The micro-batches of one step, on the device.

        Raises:
            TrainingError: a clip cannot be read any more; what was learnt is saved.
        """
        try:
            parts = list(itertools.islice(self.phase.loader, self.config.training.accumulation))
        except AudioError as error:
            self.save(is_best=False)
            reason = str(error).strip().splitlines()[-1].split("AudioError: ")[-1]  # a loader process sends a traceback
            raise TrainingError(
                f"training stopped after step {self.step}, which is saved: {reason} Put the clip back and go on with "
                "--resume, or set data.bad_clips to skip."
            ) from error
        return [batch.to(self.accelerator.device) for batch in parts]

    def train_step(self, batches: Sequence[Batch]) -> float:
        """Update the weights once; returns the mean training loss a token over all processes, or minus the mean reward.

        Raises:
            TrainingError: the loss is not finite; no weight was changed.
        """
        settings = self.config.training
        # Dropout is seeded by the step, so that a resumed run needs no generator state to repeat it.
        torch.manual_seed(hash((settings.seed, self.step, self.accelerator.process_index)) % 2**63)
        reward = None
        if self.phase.reward is not None:
            batches, reward = self._criticise(batches, self.phase.reward)
        if reward is None:
            weight = torch.stack([token_weights(batch).sum() for batch in batches]).sum()
        else:  # weights are advantages there, so words are counted
            weight = torch.stack([(batch.caption_lengths - 1).sum() for batch in batches]).sum().float()
        weight = self.accelerator.reduce(weight, "sum")
        losses = []
        for part, batch in enumerate(batches):
            synchronise = part == len(batches) - 1
            with self.accelerator.autocast(), _no_sync_unless(self.accelerator, self.phase.objective, synchronise):
                loss = self.phase.objective(batch) / weight
                losses.append(loss.detach())
                # Data-parallel wrappers average gradients over processes; the loss is a sum over them.
                self.accelerator.backward(loss * self.accelerator.num_processes)
        self._check_finite(losses, batches)
        total = torch.stack(losses).sum()
        if settings.gradient_clip:
            parameters = [parameter for _, parameter in self.trained if parameter.grad is not None]
            self.accelerator.clip_grad_norm_(parameters, settings.gradient_clip)
        rate = set_learning_rates(self.optimizer, self.step, settings, self.phases.encoder_first_step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if settings.ema_decay:
            self.average.update(self.trained)
        self.state.step += 1
        if reward is not None:
            total = torch.tensor(-reward / self.accelerator.num_processes, device=total.device)
        mean = float(self.accelerator.reduce(total, "sum"))
        self.history.add_step(mean, rate)
        return mean

    def _criticise(self, batches: Sequence[Batch], reward: CiderReward) -> tuple[list[Batch], float]:
        """Captions found for the clips of each micro-batch, weighted by their advantage, and the mean reward."""
        beams, longest = self.config.training.self_critical.num_beams, self.config.decoding.max_tokens
        with self.accelerator.autocast():
            found = [find_captions(self.captioner, batch, reward, beams, longest) for batch in batches]
        self.phase.objective.train()
        return [weighted for weighted, _ in found], sum(mean for _, mean in found) / len(found)

    def _check_finite(self, losses: Sequence[Tensor], batches: Sequence[Batch]) -> None:
        """Refuse a step by the losses of its micro-batches, once for all of them: each look waits for the device."""
        finite = torch.isfinite(torch.stack(list(losses)))
        if float(self.accelerator.reduce(finite.all().float(), "sum")) == self.accelerator.num_processes:
            return
        good = self.run.last_good() if self.run else "in the main process's folder"
        known = zip(batches, finite.tolist(), strict=True)
        lost = [name for batch, is_finite in known if not is_finite for name in batch.names]
        names = ", ".join(lost[:8]) + (" ..." if len(lost) > 8 else "")
        raise TrainingError(
            f"the loss is not finite at step {self.step + 1} (clips: {names}); no weight was changed; the last good "
            f"checkpoint is {good}: lower training.learning_rate or look at those clips."
        )

    # -- validation and saving -----------------------------------------------------------------------------------------

    def validate_and_save(self) -> ValidationResult | None:
        """Measure and save the averaged weights; other processes wait."""
        result = None
        if self.accelerator.is_main_process:
            started = time.monotonic()
            if self.config.training.ema_decay:
                self.average.exchange(self.trained)
            result = validate(
                self.captioner,
                self.clips.validation,
                self.phase.load_audio,
                self.phase.trains_encoder,
                self.config.decoding,
                self.config.training.max_validation_captions,
            )
            if self.config.training.ema_decay:
                self.average.exchange(self.trained)
            self.history.add_validation(
                step=self.step, loss=result.loss, cider_d=result.cider_d, seconds=round(time.monotonic() - started, 1)
            )
            tqdm.write(_validation_line(self.step, result), file=sys.stderr)
            score = self._score(result)
            is_best = score > self.state.best_score
            self.state.best_score = max(score, self.state.best_score)
            self.save(is_best, result)
            self.history.write()
        self.phase.objective.train()
        self.accelerator.wait_for_everyone()
        return result

    def _score(self, result: ValidationResult) -> float:
        select = self.config.training.select
        if select == "last":
            return float(self.step)
        return result.cider_d if select == "cider_d" and result.cider_d is not None else -result.loss

    def save(self, is_best: bool, result: ValidationResult | None = None) -> None:
        """Write the checkpoint of the current step, and let `last` (and `best`) name it."""
        if self.run is None:
            return
        metrics = {"loss": result.loss, "cider_d": result.cider_d} if result else {}
        metadata = {"step": self.step, "validation": metrics, "data": self.clips.summary}
        state = self.average.values if self.config.training.ema_decay else self.state.weights()
        self.captioner.save_pretrained(self.run.step_folder(self.step), metadata, state, self.state.to_save())
        self.run.publish(self.step, is_best)

    # -- processes -----------------------------------------------------------------------------------------------------

    def _check_world_size(self) -> None:
        promised = int(os.environ.get("WORLD_SIZE", "1"))
        if promised != self.accelerator.num_processes:
            raise TrainingError(
                f"{promised} processes were started but {self.accelerator.num_processes} found each other: "
                "start them with torchrun --nproc_per_node N train.py."
            )

    def should_stop(self) -> bool:
        """Whether any process was told to end (SIGTERM, SIGINT)."""
        if self.accelerator.num_processes == 1:
            return self.stop_requested
        flag = torch.tensor(float(self.stop_requested), device=self.accelerator.device)
        return bool(float(self.accelerator.reduce(flag, "sum")) > 0)


def restarts() -> int:
    """How often torchrun (`--max-restarts`) has started this run again after a process of it died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def fit(trainer: Trainer) -> bool:
    """The training loop; returns False when a signal ended it early (what was learnt is saved)."""
    try:
        return _run_steps(trainer)
    except RuntimeError as error:
        if "DataLoader" not in str(error):
            raise
        # It is raised at whatever line the loop was at, so the weights may be half-way through a step: nothing is saved.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the loader's own handler would raise at the kill
        for process in multiprocessing.active_children():
            process.kill()  # a frozen one would be waited for at the end
        what = "froze" if "timed out" in str(error) else "died"
        good = trainer.run.last_good() if trainer.run else "in the main process's folder"
        raise TrainingError(
            f"a process that loads clips {what} ({str(error).strip().splitlines()[0]}); the last good checkpoint is {good}: "
            "go on with --resume, and with data.num_workers 0 if it comes again."
        ) from error


def _run_steps(trainer: Trainer) -> bool:
    settings = trainer.config.training
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: setattr(trainer, "stop_requested", True))
    show = trainer.accelerator.is_main_process
    limit_s = settings.max_minutes * 60 or float("inf")
    with tqdm(total=settings.total_steps, initial=trainer.step, unit="step", disable=not show, smoothing=0.05) as bar:
        while trainer.step < settings.total_steps:
            phase_end = trainer.start_phase()
            bar.unpause()  # half an hour of embeddings is no part of a step
            while trainer.step < phase_end:
                started = time.monotonic()
                batches = trainer.next_batches()
                loss = trainer.train_step(batches)
                duration = time.monotonic() - started
                trainer.state.seconds += duration
                rate = trainer.history.rates[-1]
                num_clips = sum(len(batch.names) for batch in batches) * trainer.accelerator.num_processes
                bar.set_postfix_str(
                    f"loss {loss:.3f}, rate {rate:.1e}, {num_clips / duration:.0f} clips/s", refresh=False
                )
                bar.update()
                if trainer.should_stop():
                    trainer.save(is_best=False)
                    return False
                out_of_time = trainer.state.seconds >= limit_s
                ends = trainer.step in (settings.num_steps, settings.total_steps)
                if trainer.step % settings.validate_every == 0 or ends or out_of_time:
                    trainer.validate_and_save()
                if out_of_time:
                    logger.info("stopping after %.1f minutes at step %d.", trainer.state.seconds / 60, trainer.step)
                    return True
    return True


def _no_sync_unless(accelerator: Accelerator, model: Any, synchronise: bool) -> Any:
    from contextlib import nullcontext

    return nullcontext() if synchronise else accelerator.no_sync(model)


def _validation_line(step: int, result: ValidationResult) -> str:
    score = "not defined" if result.cider_d is None else f"{result.cider_d:.3f}"
    return f"step {step}: validation loss {result.loss:.3f}, CIDEr-D {score}"

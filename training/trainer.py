"""One training run: networks, steps, validation and checkpoints."""

import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from configs.commands import LogFile
from configs.schema import Config
from configs.stopping import StopSignals
from data.audio import AudioError
from models.checkpoints.folder import not_finite
from models.encoders.build import encoder_label
from training.batches import Batch
from training.datasets import load_clips
from training.objective import token_weights
from training.optimisation import MovingAverage, build_optimizer, set_learning_rates
from training.phases import Phase, Phases
from training.processes import build_accelerator, restarts
from training.resume import TrainingState, find_state, resume
from training.run_folder import LOCK_FILE, RunFolder, TrainingError
from training.self_critical import CiderReward, find_captions
from training.start import begin_with
from training.tagger import TAGGER_FILE, load_tagger, running_statistics, save_tagger, tune_tagger
from training.text_only.text_labels import build_caption_store
from training.tracking import History
from training.tuning_progress import TuningProgress
from training.validation import ValidationResult, validate

LOG_FILE = Path("train.log")  # in the run's folder; train1.log for the second process, and so on
LONGEST_OF_OTHERS_S = 5.0  # seconds that other processes wait for the end of the first one


class Trainer:
    """A training run, as used by the loop in `fit`.

    Args:
        config: configuration of the run.
        resumes: whether to resume from the newest intact checkpoint.
        signals: stop signals; their function `keep` is set, which saves the run before the process ends.
        closing: exit stack that closes the run's folder and log.

    Raises:
        TrainingError: the run cannot start or resume.
    """

    def __init__(self, config: Config, resumes: bool, signals: StopSignals, closing: ExitStack) -> None:
        settings = config.training
        trains_encoder = config.captioner.encoder.train_from_step is not None
        self.config = config
        self.accelerator = build_accelerator(settings, trains_encoder)
        model_name = f"{encoder_label(config.captioner.encoder.name)}_llama"
        self.path = Path(settings.checkpoints_dir) / settings.run_name / model_name
        self.run = RunFolder(self.path, settings.keep) if self.accelerator.is_main_process else None
        if self.run:
            closing.callback(self.run.close)
            closing.enter_context(LogFile(self.path / LOG_FILE))
        else:
            name = LOG_FILE.with_stem(f"{LOG_FILE.stem}{self.accelerator.process_index}")
            closing.enter_context(LogFile(self.path / name, level=logging.ERROR))
        if self.run and self.run.steps() and not resumes:
            raise TrainingError(
                f"{self.path} already contains a run: continue it with --resume, or choose another training.run_name."
            )
        found = None
        if resumes:
            begun = restarts() > 0 or (self.path / TAGGER_FILE).exists() or TuningProgress.exists(self.path)
            found = find_state(self.run or RunFolder.reader(self.path), may_begin=begun)
        set_seed(settings.seed)
        self.clips = load_clips(config.data, settings.seed)
        self.captioner = begin_with(config, self.clips.train)
        self.captioner.search.store = build_caption_store(
            config.data.texts, config.captioner.styles, self.clips.train, settings.seed
        )
        if settings.tag_loss and not self.captioner.encoder.has_tagger:
            raise TrainingError(f"{config.captioner.encoder.name} has no tagger: set training.tag_loss to 0.")
        self.captioner.encoder.set_trained(False)
        self.captioner.to(self.accelerator.device)
        if settings.tagger.num_steps:
            self._tune_tagger(self.path / TAGGER_FILE, found is not None, signals)
        optimizer = build_optimizer(self.captioner, settings, trains_encoder)
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.trained = [(name, p) for name, p in self.captioner.named_parameters() if id(p) in trained]
        self.optimizer = self.accelerator.prepare(optimizer)
        self.average = MovingAverage(self.trained, settings.ema_decay)
        self.history = History(self.path, settings.tensorboard and self.accelerator.is_main_process)
        self.state = TrainingState(self.trained, self.optimizer, self.average, self.history, self.accelerator.scaler)
        self.phases = Phases(config, self.clips, self.captioner, self.accelerator)
        self.phase: Phase
        self.lock = threading.RLock()  # held while the content of a checkpoint changes
        self._saved_step = 0
        self._statistics: dict[str, Tensor] = {}
        if found is not None:
            resume(self.state, self.captioner, config, *found)
            self._saved_step = self.step
        signals.keep = self.keep
        self.accelerator.wait_for_everyone()

    @property
    def step(self) -> int:
        """Number of optimiser steps so far."""
        return self.state.step

    def _tune_tagger(self, kept: Path, resumes: bool, signals: StopSignals) -> None:
        """Fine-tune the tagger, or load the one saved by an earlier start of this run."""
        encoder, config = self.captioner.encoder, self.config
        if resumes and not kept.exists():
            raise TrainingError(
                f"{kept} is missing, without which this run cannot continue: restore it, or start a new run."
            )
        with self.accelerator.main_process_first():
            if not kept.exists():
                settings, seed = config.training.tagger, config.training.seed
                progress = TuningProgress(self.path, encoder, self.clips.labelled, settings, seed)
                signals.keep = progress.keep
                tune_tagger(encoder, self.clips.labelled, settings, seed, progress, config.data.bad_clips == "skip")
                with progress.lock:
                    save_tagger(encoder, kept)
                    progress.clear()
                signals.keep = lambda: f"the fine-tuned tagger is in {kept}"
            load_tagger(encoder, kept)

    def start_phase(self) -> int:
        """Build the phase of the current step; return the step where it ends."""
        if self.step == self.config.training.num_steps:  # self-critical training starts from the averages
            with self.lock:
                self.average.restart()
        # A phase's last validation is at the first step of the next phase, so its state is kept until then.
        self.phase = self.phases.build(self.step)
        return self.phase.end_step

    def owes_validation(self) -> bool:
        """Return whether a validation is due that was missed, because the run was stopped or a clip was unreadable."""
        settings = self.config.training
        ends = self.step in (settings.num_steps, settings.total_steps)
        due = self.step > 0 and (self.step % settings.validate_every == 0 or ends)
        return due and not self.history.validated(self.step)

    def validate_again(self) -> None:
        """Validate the weights after resumption, as the phase that trained them would have done."""
        self.phase = self.phases.build(self.step - 1)
        self.validate_and_save()

    # -- one step ------------------------------------------------------------------------------------------------------

    def next_batches(self) -> list[Batch]:
        """Return the micro-batches of one step, on the device.

        Raises:
            TrainingError: a clip can no longer be read; a checkpoint has been saved.
        """
        try:
            parts = list(itertools.islice(self.phase.loader, self.config.training.accumulation))
        except AudioError as error:
            raise self._stopped_by(error, "training") from error
        return [batch.to(self.accelerator.device) for batch in parts]

    def _stopped_by(self, error: AudioError, doing: str) -> TrainingError:
        """Save a checkpoint and return the error for an unreadable clip."""
        if self.step:
            self.save(is_best=False)
        reason = str(error).strip().splitlines()[-1].split("AudioError: ")[-1]  # a loader process sends a traceback
        reason = reason if reason.endswith(".") else f"{reason}."
        return TrainingError(
            f"{doing} stopped after step {self.step}, which is saved: {reason} Restore the clip and continue with --resume, or "
            "set data.bad_clips to skip."
        )

    def train_step(self, batches: Sequence[Batch]) -> float:
        """Update the weights once; returns the mean training loss per token over all processes, or minus the mean reward.

        Raises:
            TrainingError: the loss or its gradient is not finite; no weight was changed.
        """
        settings = self.config.training
        # Dropout is seeded by the step, so that a resumed run repeats it without a generator state.
        torch.manual_seed(hash((settings.seed, self.step, self.accelerator.process_index)) % 2**63)
        reward = None
        if self.phase.reward is not None:
            batches, reward = self._criticise(batches, self.phase.reward)
        if reward is None:
            weight = torch.stack([token_weights(batch).sum() for batch in batches]).sum()
        else:  # weights are advantages there, so tokens are counted
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
        self._check_gradient(batches)
        if reward is not None:
            total = torch.tensor(-reward / self.accelerator.num_processes, device=total.device)
        mean = float(self.accelerator.reduce(total, "sum"))
        with self.lock:
            rate = set_learning_rates(self.optimizer, self.step, settings, self.phases.encoder_first_step)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.average.update()
            self._statistics = running_statistics(self.captioner.encoder) if self.phase.trains_encoder else {}
            self.state.step += 1
            self.history.add_step(mean, rate)
        return mean

    def _criticise(self, batches: Sequence[Batch], reward: CiderReward) -> tuple[list[Batch], float]:
        """Return generated captions of each micro-batch, weighted by their advantage, and the mean reward."""
        beams, longest = self.config.training.self_critical.num_beams, self.config.decoding.max_tokens
        with self.accelerator.autocast():
            found = [find_captions(self.captioner, batch, reward, beams, longest) for batch in batches]
        self.phase.objective.train()
        return [weighted for weighted, _ in found], sum(mean for _, mean in found) / len(found)

    def _check_finite(self, losses: Sequence[Tensor], batches: Sequence[Batch]) -> None:
        """Check that all losses of a step are finite, in one transfer, since each transfer synchronises the device."""
        finite = torch.isfinite(torch.stack(list(losses)))
        if float(self.accelerator.reduce(finite.all().float(), "sum")) == self.accelerator.num_processes:
            return
        known = zip(batches, finite.tolist(), strict=True)
        lost = _some_names([batch for batch, is_finite in known if not is_finite])
        raise self._not_finite(f"the loss is not finite at step {self.step + 1} (clips: {lost})")

    def _check_gradient(self, batches: Sequence[Batch]) -> None:
        """Clip the gradient and check that it is finite, except for fp16, whose scaler skips such steps."""
        parameters = [parameter for _, parameter in self.trained if parameter.grad is not None]
        limit = self.config.training.gradient_clip
        if limit:
            norm = self.accelerator.clip_grad_norm_(parameters, limit)
        else:
            norm = torch.nn.utils.get_total_norm(
                [parameter.grad for parameter in parameters if parameter.grad is not None]
            )
        if self.accelerator.scaler is None and not math.isfinite(float(norm)):
            names = _some_names(batches)
            raise self._not_finite(f"the gradient of the loss is not finite at step {self.step + 1} (clips: {names})")

    def _not_finite(self, what: str) -> TrainingError:
        """Reset the run to the last good checkpoint and return the error for a non-finite value."""
        good = "in the main process's folder"
        if self.run:
            self.run.withdraw()
            good = self.run.last_good()
        return TrainingError(
            f"{what}; nothing was changed or saved. --resume continues from the last good checkpoint, {good}: lower "
            "training.learning_rate, or check these clips."
        )

    # -- validation and saving -----------------------------------------------------------------------------------------

    def validate_and_save(self) -> None:
        """Validate and save the averaged weights; other processes wait.

        Raises:
            TrainingError: the weights or their validation loss are not finite, and not saved; or a validation clip can no longer
                be read, and the weights are saved.
        """
        if self.accelerator.is_main_process:
            started = time.monotonic()
            result = self._validate()
            with self.lock:
                self._check_weights(result)
                self.history.add_validation(
                    step=self.step,
                    loss=result.loss,
                    cider_d=result.cider_d,
                    seconds=round(time.monotonic() - started, 1),
                )
                score = self._score(result)
                is_best = score > self.state.best_score
                self.state.best_score = max(score, self.state.best_score)
                self.save(is_best, result)
            tqdm.write(_validation_line(self.step, result), file=sys.stderr)
            self.history.draw()
        self.phase.objective.train()
        self.accelerator.wait_for_everyone()

    def _validate(self) -> ValidationResult:
        with self.lock:
            self.average.exchange()
        try:
            return validate(
                self.captioner,
                self.clips.validation,
                self.phase.load_audio,
                self.phase.trains_encoder,
                self.config.decoding,
                self.config.training.max_validation_captions,
                skips_bad_clips=self.config.data.bad_clips == "skip",
            )
        except AudioError as error:
            with self.lock:
                self.average.exchange()
                raise self._stopped_by(error, "validation") from error
        finally:
            with self.lock:
                if self.average.exchanged:
                    self.average.exchange()

    def _check_weights(self, result: ValidationResult) -> None:
        """Check that weights and validation loss are finite, before a good checkpoint is replaced."""
        if found := self.state.not_finite() or not_finite(dict(self.captioner.named_buffers())):
            raise self._not_finite(f"{found} has non-finite numbers after step {self.step}")
        if not math.isfinite(result.loss):
            raise self._not_finite(f"the validation loss is not finite after step {self.step}")

    def _score(self, result: ValidationResult) -> float:
        select = self.config.training.select
        if select == "last":
            return float(self.step)
        return result.cider_d if select == "cider_d" and result.cider_d is not None else -result.loss

    def save(self, is_best: bool, result: ValidationResult | None = None) -> None:
        """Write the checkpoint of the current step, after the tables, and set `last` (and `best`) to it."""
        if self.run is None:
            return
        with self.lock:
            metrics = {"loss": result.loss, "cider_d": result.cider_d} if result else {}
            metadata = {"step": self.step, "validation": metrics, "data": self.clips.summary}
            statistics = {f"encoder.{name}": tensor for name, tensor in self._statistics.items()}
            state = {**(self.average.values or self.state.weights()), **statistics}
            self.history.write_tables()
            self.captioner.save_pretrained(self.run.step_folder(self.step), metadata, state, self.state.to_save())
            self.run.publish(self.step, is_best)
            self._saved_step = self.step

    def keep(self) -> str:
        """Save a checkpoint before the process ends and return a sentence about it; nothing changes afterwards."""
        if self.run is None:  # the first process may need this one to finish its step
            with suppress(Timeout):
                FileLock(self.path / LOCK_FILE).acquire(timeout=LONGEST_OF_OTHERS_S)
            return "the first process saves the checkpoint"
        self.lock.acquire()
        if self.average.exchanged:
            self.average.exchange()
        if self.step == 0:
            return "no step was done yet"
        if self.step != self._saved_step:
            if found := self.state.not_finite():
                self.run.withdraw()
                return f"{found} has non-finite numbers, so step {self.step} is not saved; {self.run.last_good()} is"
            self.save(is_best=False)
        return f"step {self.step} is saved in {self.run.step_folder(self.step)}, and --resume continues from it"


def _some_names(batches: Sequence[Batch]) -> str:
    names = [name for batch in batches for name in batch.names]
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _no_sync_unless(accelerator: Accelerator, model: Any, synchronise: bool) -> AbstractContextManager[Any]:
    return nullcontext() if synchronise else accelerator.no_sync(model)


def _validation_line(step: int, result: ValidationResult) -> str:
    score = "not defined" if result.cider_d is None else f"{result.cider_d:.3f}"
    return f"step {step}: validation loss {result.loss:.3f}, CIDEr-D {score}"

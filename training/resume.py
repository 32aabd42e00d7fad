"""The training state of a run, and resumption from it, with the same result as an uninterrupted run."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.checkpoint_files import TOKENIZER_FILE, TRAINING_STATE_FILE
from configs.errors import CheckpointError
from configs.schema import CaptionerConfig, Config
from models.captioner import AudioCaptioner
from models.checkpoints import captioner_files
from models.checkpoints.folder import not_finite
from training.optimisation import MovingAverage
from training.run_folder import RunFolder, TrainingError
from training.tracking import History

logger = logging.getLogger(__name__)

# Schema of a training state: for each key the type of its value, and of nested values.
_PARTS: dict[str, tuple[type | tuple[type, ...], dict[str, type]]] = {
    "step": (int, {}),
    "weights": (dict, {}),
    "optimizer": (dict, {"state": dict, "param_groups": list}),
    "average": (dict, {"values": dict, "num_updates": int}),
    "history": (dict, {"losses": list, "rates": list, "validations": list}),
    "best_score": ((float, int), {}),
    "seconds": ((float, int), {}),
}
# Settings of the captioner that may change: paths, and those that the check of the vocabulary covers.
_FREE = ("encoder.weights", "tokenizer.kind", "tokenizer.vocab_size")


class TrainingState:
    """Everything that changes from step to step: the content of `training_state.pt`.

    Args:
        trained: names and tensors of the trained parameters.
        optimizer: optimiser of these parameters.
        average: moving average of these parameters.
        history: losses and metrics so far.
        scaler: gradient scaler for fp16; None for other precisions.

    Attributes:
        step: number of optimiser steps so far.
        best_score: score of the best validation so far.
        seconds: duration of the steps so far, in seconds.
    """

    def __init__(
        self,
        trained: Sequence[tuple[str, torch.nn.Parameter]],
        optimizer: Any,
        average: MovingAverage,
        history: History,
        scaler: Any = None,
    ) -> None:
        self.trained = trained
        self.optimizer = optimizer
        self.average = average
        self.history = history
        self.scaler = scaler
        self.step, self.best_score, self.seconds = 0, -float("inf"), 0.0

    def weights(self) -> dict[str, Tensor]:
        """Trained weights by name."""
        return {name: parameter.detach() for name, parameter in self.trained}

    def to_save(self) -> dict[str, Any]:
        """Return the state for `load`: dense tensors and plain values."""
        state = {
            "step": self.step,
            "weights": {name: tensor.cpu() for name, tensor in self.weights().items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "history": self.history.state(),
            "best_score": self.best_score,
            "seconds": self.seconds,
        }
        if self.scaler is not None:
            state["scaler"] = self.scaler.state_dict()
        return state

    def not_finite(self) -> str:
        """Return the name of a non-finite tensor among weights, averages and optimiser state; empty if there is none."""
        return not_finite(
            {"weights": self.weights(), "average": self.average.values, "optimizer": self.optimizer.state_dict()}
        )

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        """Load a saved state; learning rates and weight decay are those of this run's configuration.

        Raises:
            ValueError, KeyError, TypeError, RuntimeError: the optimiser's state is for other parameters.
        """
        settings = [{key: value for key, value in group.items() if key != "params"} for group in self._groups()]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, own in zip(self._groups(), settings, strict=True):
            group.update(own)
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(
                        f"{name} of the optimizer has the shape {list(value.shape)}, not {list(parameter.shape)}"
                    )
        for name, parameter in self.trained:
            parameter.copy_(state["weights"][name])
        self.average.load(**state["average"])
        self.history.load(state["history"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.best_score, self.seconds = state["step"], state["best_score"], state["seconds"]

    def _groups(self) -> list[dict[str, Any]]:
        groups: list[dict[str, Any]] = self.optimizer.param_groups
        return groups


def check_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Check that a training state is complete and finite.

    Raises:
        CheckpointError: the state is invalid.
    """
    file, remedy = folder / TRAINING_STATE_FILE, "copy the checkpoint again, or start a new run"
    for key, (kind, parts) in _PARTS.items():
        for name, value, expected in (
            (key, state.get(key), kind),
            *((f"{key}.{part}", None, t) for part, t in parts.items()),
        ):
            if value is None and "." in name and isinstance(state.get(key), Mapping):
                value = state[key].get(name.split(".")[1])
            if isinstance(value, bool) or not isinstance(value, expected):
                found = "is missing" if value is None else f"is a {type(value).__name__}"
                kinds = " or ".join(t.__name__ for t in (expected if isinstance(expected, tuple) else (expected,)))
                raise CheckpointError(f"{file}: {name} {found}, expected a {kinds}; {remedy}.")
    history = state["history"]
    if not len(history["losses"]) == len(history["rates"]) == state["step"]:
        raise CheckpointError(
            f"{file}: its history has {len(history['losses'])} losses after {state['step']} steps; {remedy}."
        )
    if not all(isinstance(row, Mapping) and "step" in row for row in history["validations"]):
        raise CheckpointError(f"{file}: history.validations has entries without a step; {remedy}.")
    if not math.isfinite(state["seconds"]):
        raise CheckpointError(f"{file}: seconds is {state['seconds']}, expected a finite number; {remedy}.")
    for part in ("weights", "average", "optimizer"):
        if found := not_finite(state[part], part):
            raise CheckpointError(f"{file}: {found} has non-finite numbers; {remedy}.")


def find_state(run: RunFolder, may_begin: bool) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest intact checkpoint of a run and its training state.

    Args:
        run: folder of the run.
        may_begin: whether to return None for a run without a checkpoint, which was stopped before its first save.

    Raises:
        TrainingError: there is no intact checkpoint.
    """
    found = run.newest_state(check_state)
    if found is None and run.steps():
        raise TrainingError(
            f"{run.path} has no intact checkpoint to resume from: copy one again, or choose another training.run_name."
        )
    if found is None and not may_begin:
        raise TrainingError(f"{run.path} has no checkpoint to resume from: start without --resume.")
    return found


def resume(
    state: TrainingState, captioner: AudioCaptioner, config: Config, folder: Path, saved: Mapping[str, Any]
) -> None:
    """Resume from a checkpoint.

    Args:
        state: training state, updated in place.
        captioner: captioner with the weights of `state`; its running statistics are loaded.
        config: configuration of the run.
        folder: folder of the checkpoint.
        saved: training state of the checkpoint.

    Raises:
        TrainingError: the checkpoint has other networks or another vocabulary.
        CheckpointError: its optimiser state is for other parameters.
    """
    if (folder / TOKENIZER_FILE).read_text(encoding="utf-8") != captioner.tokenizer.to_str(pretty=False):
        raise TrainingError(
            f"{folder} was trained with another vocabulary: the training captions have changed since; restore them, or start a "
            "new run."
        )
    _check_networks(state, config, folder, saved)
    try:
        state.load(saved)
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{folder / TRAINING_STATE_FILE} does not fit its own weights ({type(error).__name__}: {reason}): copy the "
            "checkpoint "
            "again, or start a new run."
        ) from error
    captioner_files.load_buffers(captioner, folder)
    logger.info("resuming after step %d from %s", state.step, folder)


def _check_networks(state: TrainingState, config: Config, folder: Path, saved: Mapping[str, Any]) -> None:
    """Check that a checkpoint has the networks of the configuration."""
    was, now = (_flat(part) for part in (captioner_files.read_config(folder).captioner, config.captioner))
    if None in (was["encoder.weights_sha256"], now["encoder.weights_sha256"]):  # may be in the checkpoint only
        was["encoder.weights_sha256"] = now["encoder.weights_sha256"]
    changed = [
        f"captioner.{key} was {was[key]}, is {now[key]}" for key in now if key not in _FREE and was[key] != now[key]
    ]
    weights = state.weights()
    tensors = {name: tensor for name, tensor in saved["weights"].items() if isinstance(tensor, Tensor)}
    if not changed and tensors.keys() != weights.keys():
        changed = [f"{sorted(tensors.keys() ^ weights.keys())[0]} is in only one of them"]
    if not changed:
        changed = [
            f"{name} was {list(tensors[name].shape)}, is {list(tensor.shape)}"
            for name, tensor in weights.items()
            if tensors[name].shape != tensor.shape
        ]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise TrainingError(
            f"{folder} was trained with another network ({'; '.join(changed[:3])}{more}): resume with the captioner section of "
            "its config.yaml, or choose another training.run_name."
        )


def _flat(captioner: CaptionerConfig) -> dict[str, Any]:
    """Return the settings by dotted key."""
    found: dict[str, Any] = {}
    for name, value in dataclasses.asdict(captioner).items():
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return found

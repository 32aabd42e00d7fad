"""What a run needs to go on as if it had never stopped, and how it goes on."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from configs.schema import Config
from models.captioner import AudioCaptioner
from models.checkpoints import captioner_files
from models.checkpoints.folder import TOKENIZER_FILE
from training.optimisation import MovingAverage
from training.run_folder import RunFolder, TrainingError
from training.tracking import History

logger = logging.getLogger(__name__)


class TrainingState:
    """All that changes from step to step: what `training_state.pt` holds.

    Args:
        trained: names and parameters that are trained.
        optimizer: theirs.
        average: of their values.
        history: losses and measures so far.
        scaler: of losses in fp16; None for other precisions.

    Attributes:
        step: optimiser steps so far.
        best_score: of the best validation so far.
        seconds: that the steps took.
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
        """What `load` needs: dense tensors and plain values."""
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

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name, parameter in self.trained:
            parameter.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load(**state["average"])
        self.history.load(state["history"])
        if self.scaler is not None and "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.best_score, self.seconds = state["step"], state["best_score"], state["seconds"]


def resume(state: TrainingState, captioner: AudioCaptioner, config: Config, run: RunFolder, may_begin: bool) -> None:
    """Load the newest whole checkpoint of a run.

    Args:
        state: to be loaded.
        captioner: whose trained weights `state` has; its running statistics are loaded.
        config: the experiment.
        run: the run's folder.
        may_begin: whether a run without a checkpoint is one that died before its first save.

    Raises:
        TrainingError: no checkpoint, or one of other networks or words.
    """
    found = run.newest_state()
    if found is None and may_begin:
        return
    if found is None:
        raise TrainingError(f"{run.path} has no checkpoint to resume from: start without --resume.")
    folder, saved = found
    if captioner_files.read_config(folder).captioner.decoder != config.captioner.decoder:
        raise TrainingError(f"{folder} was trained with another decoder: resume with the same configuration.")
    if (folder / TOKENIZER_FILE).read_text(encoding="utf-8") != captioner.tokenizer.to_str(pretty=False):
        raise TrainingError(
            f"{folder} was trained with another vocabulary: the training captions have changed since; put them back, or "
            "begin a new run."
        )
    state.load(saved)
    captioner_files.load_buffers(captioner, folder)
    logger.info("resuming after step %d from %s", state.step, folder)

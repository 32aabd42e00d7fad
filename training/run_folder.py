"""The folder of a run: numbered checkpoints, the links `best` and `last`, and a lock against concurrent runs."""

import logging
import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from configs.checkpoint_files import TRAINING_STATE_FILE
from configs.errors import CheckpointError
from models.checkpoints.folder import (
    drop_training_state,
    point_link,
    read_metadata,
    read_training_state,
    sweep_leftovers,
)

logger = logging.getLogger(__name__)
LOCK_FILE = ".lock"


class TrainingError(ValueError):
    """Training cannot start or continue; the message is one sentence with the remedy."""


class RunFolder:
    """`checkpoints/<run>/<model>/`.

    Args:
        path: path of the folder; created if missing.
        keep: number of checkpoints to keep besides the best and the last.

    Raises:
        TrainingError: it is not writable, or another run has locked it.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.keep = keep
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / LOCK_FILE)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise TrainingError(
                f"another training is writing to {path}: wait for it, or give another run_name."
            ) from None
        except OSError as error:
            raise TrainingError(
                f"{path} cannot be written ({error.strerror or error}): set training.checkpoints_dir to a writable folder."
            ) from error
        for name in sweep_leftovers(path):
            logger.warning("removed %s, left by an interrupted save.", name)

    @classmethod
    def reader(cls, path: Path) -> "RunFolder":
        """Return the folder for reading, without the lock, for other processes of the same run."""
        folder = cls.__new__(cls)
        folder.path, folder.keep = path, 0
        return folder

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def step_folder(self, step: int) -> Path:
        """Return the folder of the checkpoint after `step` steps."""
        return self.path / f"step={step}"

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, oldest first."""
        found = (re.fullmatch(r"step=(\d+)", path.name) for path in self.path.iterdir() if path.is_dir())
        return sorted(int(match.group(1)) for match in found if match)

    def publish(self, step: int, is_best: bool) -> None:
        """Set `last` (and `best`) to the checkpoint of `step`, then remove older unreferenced checkpoints."""
        point_link(self.path / "last", self.step_folder(step))
        if is_best:
            point_link(self.path / "best", self.step_folder(step))
        named = {(self.path / name).resolve().name for name in ("best", "last") if (self.path / name).exists()}
        steps = self.steps()
        resumable = {step, self._newest_good()}
        recent = {*steps[max(0, len(steps) - 1 - self.keep) :], *resumable}
        for old in steps:
            if old not in recent and f"step={old}" not in named:
                shutil.rmtree(self.step_folder(old))
        for old in steps:  # the newest and the newest good one keep their training state
            if old not in resumable:
                drop_training_state(self.step_folder(old))

    def withdraw(self) -> None:
        """Set `last` to the newest validated checkpoint, if newer ones were saved without validation."""
        good = self._newest_good()
        if good is None:
            return
        for step in self.steps():
            if step > good:
                drop_training_state(self.step_folder(step))
        point_link(self.path / "last", self.step_folder(good))

    def _newest_good(self) -> int | None:
        """Return the newest step with a finite validation loss; None if there is none."""
        for step in reversed(self.steps()):
            with suppress(CheckpointError):
                validation = read_metadata(self.step_folder(step), check_files=False).get("validation")
                loss = validation.get("loss") if isinstance(validation, dict) else None
                if isinstance(loss, float) and math.isfinite(loss):
                    return step
        return None

    def newest_state(self, check: Callable[[Path, dict[str, Any]], None]) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest intact checkpoint with a training state, and this state; None if there is none.

        Damaged checkpoints are skipped with a warning.

        Args:
            check: function that raises CheckpointError for an invalid training state.
        """
        for step in reversed(self.steps()):
            folder = self.step_folder(step)
            try:
                if TRAINING_STATE_FILE in read_metadata(folder)["files"]:
                    state = read_training_state(folder)
                    check(folder, state)
                    return folder, state
            except (CheckpointError, OSError) as error:
                logger.warning("skipped %s: %s", folder, error)
        return None

    def last_good(self) -> str:
        """Return the path of the newest intact checkpoint with a finite validation loss, for messages."""
        good = self._newest_good()
        if good is not None:
            with suppress(CheckpointError):
                read_metadata(self.step_folder(good))
                return str(self.step_folder(good))
        return "none"

"""The folder of one run: numbered checkpoints, `best` and `last` beside them, and a lock against a second training."""

import logging
import math
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from models.checkpoints.folder import (
    TRAINING_STATE_FILE,
    drop_training_state,
    point_link,
    read_metadata,
    read_training_state,
    sweep_leftovers,
)
from models.errors import CheckpointError

logger = logging.getLogger(__name__)
LOCK_FILE = ".lock"


class TrainingError(ValueError):
    """A training that cannot start or go on; the message is one sentence with the remedy."""


class RunFolder:
    """`checkpoints/<run>/<model>/`.

    Args:
        path: the folder; made if missing.
        keep: numbered checkpoints kept beside the best and the last.

    Raises:
        TrainingError: it cannot be written, or another training holds it.
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
                f"{path} cannot be written ({error.strerror or error}): give a folder of yours with training.checkpoints_dir."
            ) from error
        for name in sweep_leftovers(path):
            logger.warning("removed %s, which an interrupted save left behind.", name)

    @classmethod
    def reader(cls, path: Path) -> "RunFolder":
        """The folder as another process of the same run sees it: to read, without the lock."""
        folder = cls.__new__(cls)
        folder.path, folder.keep = path, 0
        return folder

    def close(self) -> None:
        """Let other trainings use the folder."""
        self._lock.release()

    def step_folder(self, step: int) -> Path:
        """Folder of the checkpoint after `step` steps."""
        return self.path / f"step={step}"

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, oldest first."""
        found = (re.fullmatch(r"step=(\d+)", path.name) for path in self.path.iterdir() if path.is_dir())
        return sorted(int(match.group(1)) for match in found if match)

    def publish(self, step: int, is_best: bool) -> None:
        """Let `last` (and `best`) name the checkpoint of `step`, then remove older ones that nothing names."""
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
        for (
            old
        ) in steps:  # only the newest, and the newest good one, resume; the optimiser's state is twice the model's size
            if old not in resumable:
                drop_training_state(self.step_folder(old))

    def withdraw(self) -> None:
        """Let the run go on from the last good checkpoint, where newer ones were saved without a validation."""
        good = self._newest_good()
        if good is None:
            return
        for step in self.steps():
            if step > good:
                drop_training_state(self.step_folder(step))
        point_link(self.path / "last", self.step_folder(good))

    def _newest_good(self) -> int | None:
        """Newest step whose checkpoint had a finite validation loss; None if there is none."""
        for step in reversed(self.steps()):
            with suppress(CheckpointError):
                validation = read_metadata(self.step_folder(step), check_files=False).get("validation")
                loss = validation.get("loss") if isinstance(validation, dict) else None
                if isinstance(loss, float) and math.isfinite(loss):
                    return step
        return None

    def newest_state(self, check: Callable[[Path, dict[str, Any]], None]) -> tuple[Path, dict[str, Any]] | None:
        """Newest whole checkpoint that training can resume from, and its training state; None if there is none.

        Damaged ones are passed over with a warning.

        Args:
            check: raises CheckpointError for a checkpoint's training state that lacks something.
        """
        for step in reversed(self.steps()):
            folder = self.step_folder(step)
            try:
                if TRAINING_STATE_FILE in read_metadata(folder)["files"]:
                    state = read_training_state(folder)
                    check(folder, state)
                    return folder, state
            except (CheckpointError, OSError) as error:
                logger.warning("passed over %s: %s", folder, error)
        return None

    def last_good(self) -> str:
        """Path of the newest whole checkpoint whose validation loss was finite, for messages."""
        good = self._newest_good()
        if good is not None:
            with suppress(CheckpointError):
                read_metadata(self.step_folder(good))
                return str(self.step_folder(good))
        return "none"

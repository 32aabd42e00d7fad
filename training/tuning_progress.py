"""Progress of fine-tuning a run's tagger, saved in the run's folder: the drawn clips and the optimiser's state."""

import hashlib
import io
import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from configs.atomic_files import new_file, write_file
from configs.schema import TaggerConfig
from data.audio import AudioError
from data.clotho import FileClip
from models.checkpoints.published import state_sha256
from models.encoders.base import AudioEncoder

logger = logging.getLogger(__name__)
_PREFIX, _STATE_FILE = "tagger_progress-", "state.pt"


class TuningProgress:
    """Saved progress of fine-tuning a tagger, so that a resumed run gives the same weights.

    Args:
        run: folder of the run, which must exist.
        encoder: encoder before fine-tuning.
        collections: labelled clips.
        config: settings of the training.
        seed: seed of the training.

    Attributes:
        lock: lock held while the training state changes.
        state: function that returns the state to save; None before training starts.
    """

    def __init__(
        self,
        run: Path,
        encoder: AudioEncoder,
        collections: Sequence[Sequence[FileClip]],
        config: TaggerConfig,
        seed: int,
    ) -> None:
        digest = hashlib.sha256(f"{state_sha256(encoder)} {config} {seed}".encode())
        for clip in (clip for clips in collections for clip in clips):
            digest.update(f"{_identity(clip)} {clip.labels}\n".encode())
        self.run = run
        self.folder = run / f"{_PREFIX}{digest.hexdigest()[:12]}"  # progress with other settings is not used
        self.lock = threading.Lock()
        self.state: Callable[[], dict[str, Any]] | None = None

    @staticmethod
    def exists(run: Path) -> bool:
        """Return whether a run has saved progress."""
        return any(run.glob(f"{_PREFIX}*"))

    def keep(self) -> str:
        """Save the state before the process ends and return a sentence about it; nothing changes afterwards."""
        self.lock.acquire()
        if self.state is None:
            return "the clips drawn for the tagger so far are kept" if self.folder.is_dir() else "nothing was done yet"
        state = self.state()
        self.folder.mkdir(exist_ok=True)
        with new_file(self.folder / _STATE_FILE) as file:
            torch.save(state, file)
        return (
            f"{state['step']} steps of member {state['member'] + 1} of the tagger's training are kept in {self.folder}"
        )

    def load(self) -> dict[str, Any] | None:
        """Return the saved state; None if there is none."""
        path = self.folder / _STATE_FILE
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged archive can raise any exception
            logger.warning("%s cannot be read (%s): the tagger's training starts again.", path, type(error).__name__)
            return None
        logger.info("resuming after %d steps of member %d of the tagger's training", state["step"], state["member"] + 1)
        return state

    def part(self, name: str) -> dict[str, Tensor] | None:
        """Return a saved part of the drawn clips; None if it is missing or damaged."""
        try:
            return load((self.folder / f"{name}.safetensors").read_bytes())
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError) as error:
            logger.warning("part of the tagger's clips is drawn again: %s", error)
            return None

    def keep_part(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Save a part of the drawn clips.

        Raises:
            FileNotWrittenError: no space, or no permission.
        """
        self.folder.mkdir(exist_ok=True)
        write_file(self.folder / f"{name}.safetensors", save(tensors))

    def drop_parts(self) -> None:
        """Remove the drawn clips of a trained member; the next member draws its own."""
        for path in self.folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all progress after fine-tuning."""
        for folder in self.run.glob(f"{_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)


def _identity(clip: FileClip) -> str:
    try:
        return clip.identity
    except AudioError:  # reported when the clip is drawn
        return "gone"

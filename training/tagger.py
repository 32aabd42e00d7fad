"""Fine-tuning of the encoder's tagger on labelled clips, before the captioner is trained.

The classes of a clip's label are positive targets, the other classes of its collection negative ones; for all other classes the
scores of the tagger before fine-tuning are the targets (distillation: Li, Hoiem, "Learning without Forgetting",
arXiv 1606.09282). The clips and the outputs of the frozen layers for them are in `training.tagger_pool`.

Shapes: B clips, C tag classes.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from configs.atomic_files import write_file
from configs.errors import CheckpointError
from configs.schema import TaggerConfig
from data.clotho import FileClip
from models.checkpoints.published import state_sha256
from models.encoders.base import NUM_AUDIOSET_CLASSES, AudioEncoder
from training.optimisation import cosine_factor
from training.run_folder import TrainingError
from training.tagger_pool import Pool, draw_pool
from training.tuning_progress import TuningProgress

TAGGER_FILE = "tagger.safetensors"  # file of the fine-tuned encoder in a run's folder
MEMBER_SEEDS = 1000  # difference of the seeds of two members


def tune_tagger(
    encoder: AudioEncoder,
    collections: Sequence[Sequence[FileClip]],
    config: TaggerConfig,
    seed: int,
    progress: TuningProgress | None = None,
    skips_bad_clips: bool = False,
) -> None:
    """Train an encoder's tagger in place; its `frozen_layers` stay unchanged.

    The mean of several trainings from the same weights generalises better than each of them: Wortsman et al., Model soups,
    arXiv 2203.05482.

    Args:
        encoder: encoder on its device.
        collections: labelled clips to train on.
        config: settings of the training.
        seed: seed of all random draws.
        progress: progress of an interrupted run to resume from; None to start a new training.
        skips_bad_clips: as for `draw_pool`.

    Raises:
        ValueError: the number of members is below 1.
        AudioError: as for `draw_pool`.
        TrainingError: the loss is not finite.
    """
    if config.members < 1:
        raise ValueError(f"training.tagger.members is {config.members}: expected 1 or more.")
    teacher = copy.deepcopy(encoder).eval().requires_grad_(False)
    before = teacher.state_dict()
    mean = {name: torch.zeros_like(tensor) for name, tensor in before.items() if tensor.is_floating_point()}
    saved = progress.load() if progress else None
    if saved:
        for name, total in mean.items():
            total.copy_(saved["mean"][name])
        encoder.load_state_dict(saved["encoder"])
    lock = progress.lock if progress else nullcontext()
    for member in range(saved["member"] if saved else 0, config.members):
        if not saved:
            encoder.load_state_dict(before)
        training = _Member(encoder, config, seed + member * MEMBER_SEEDS, saved)
        if progress:
            progress.state = partial(training.state, member, mean)
        pool = draw_pool(teacher, collections, config, training.seed, progress, skips_bad_clips)
        training.run(pool, lock)
        with lock:
            for name, total in mean.items():
                total += encoder.state_dict()[name] / config.members
            if member + 1 < config.members:
                encoder.load_state_dict(before)
            if progress:
                progress.state = partial(_Member(encoder, config, 0, None).state, member + 1, mean)
        if progress:
            progress.drop_parts()
        saved = None
    encoder.load_state_dict({**encoder.state_dict(), **mean})
    blend_weights(encoder, teacher, config.blend)
    encoder.set_trained(False)
    encoder.eval()


class _Member:
    """The training of one member, in place.

    Args:
        encoder: encoder with the weights to start or resume from.
        config: settings of the training.
        seed: seed of this member.
        saved: state to resume from, as returned by `state`.
    """

    def __init__(self, encoder: AudioEncoder, config: TaggerConfig, seed: int, saved: dict[str, Any] | None) -> None:
        encoder.set_trained(True)
        self.encoder, self.config, self.seed = encoder, config, seed
        self.parameters = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.step = 0
        if saved:
            encoder.load_state_dict(saved["encoder"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.step = saved["step"]
        self.statistics = running_statistics(encoder)

    def state(self, member: int, mean: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the state for resumption: that of this member, and the sum of the weights of previous members."""
        return {
            "member": member,
            "mean": dict(mean),
            "step": self.step,
            "encoder": {**self.encoder.state_dict(), **self.statistics},
            "optimizer": self.optimizer.state_dict(),
        }

    def run(self, pool: Pool, lock: AbstractContextManager[Any]) -> None:
        """Train; the lock is held while weights and step change.

        Raises:
            TrainingError: the loss is not finite.
        """
        config = self.config
        self.encoder.train()
        losses = []
        bar = tqdm(
            range(self.step, config.num_steps), desc="tagger", unit="step", initial=self.step, total=config.num_steps
        )
        for step in bar:
            torch.manual_seed(self.seed * 1_000_003 + step)
            batch = pool.batch(step, config.batch_size, self.seed).to(next(self.encoder.parameters()).device)
            now = self.encoder.trained_part(batch.maps.float(), batch.frames)
            loss = tagger_loss(now, batch.before, batch.known, config.distillation)
            losses.append(float(loss.detach()))
            for group in self.optimizer.param_groups:
                group["lr"] = config.learning_rate * cosine_factor(step, config.num_steps, config.num_steps // 20)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, 1.0))
            if not (math.isfinite(losses[-1]) and math.isfinite(norm)):
                raise TrainingError(
                    f"the loss of the tagger's training, or its gradient, is not finite at step {step + 1}: "
                    "lower training.tagger.learning_rate."
                )
            with lock:
                self.optimizer.step()
                self.step = step + 1
                self.statistics = running_statistics(self.encoder)
            bar.set_postfix_str(f"loss {np.mean(losses[-20:]):.3f}", refresh=False)


def running_statistics(encoder: AudioEncoder) -> dict[str, Tensor]:
    """Return a copy of batch norm's running statistics, which an interrupted step has already changed."""
    if encoder.keeps_statistics:
        return {}
    state = encoder.state_dict()
    return {name: state[name].clone() for name, _ in encoder.named_buffers() if name in state}


def save_tagger(encoder: AudioEncoder, path: Path) -> None:
    """Write the encoder's weights with their checksum, atomically.

    Raises:
        FileNotWrittenError: no space, or no permission.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    write_file(path, save(tensors, metadata={"state_sha256": state_sha256(encoder)}))


def load_tagger(encoder: AudioEncoder, path: Path) -> None:
    """Load the weights that `save_tagger` wrote.

    Raises:
        CheckpointError: the file is incomplete or changed, or for another network.
    """
    remedy = "copy the file again, or delete it and start a new run"
    try:
        with safe_open(path, framework="pt") as file:
            expected = (file.metadata() or {}).get("state_sha256")  # older files have none
            names = file.keys()
            encoder.load_state_dict({name: file.get_tensor(name) for name in names})
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise CheckpointError(f"{path} cannot be read as this encoder's tagger ({reason}): {remedy}.") from error
    if expected is not None and expected != state_sha256(encoder):
        raise CheckpointError(f"{path} is damaged: the sha256 of its weights is not the stored one; {remedy}.")


@torch.no_grad()
def blend_weights(encoder: AudioEncoder, before: AudioEncoder, share: float) -> None:
    """Interpolate an encoder's weights with those before fine-tuning: Wortsman et al., arXiv 2109.01903."""
    old = before.state_dict()
    for name, tensor in encoder.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(old[name], 1 - share)


def tagger_loss(now: Tensor, before: Tensor, known: Sequence[tuple[set[int], set[int]]], distillation: float) -> Tensor:
    """Return the binary cross-entropy of tags, summed over classes and averaged over clips.

    Args:
        now: (B, C) logits.
        before: (B, C) logits of the tagger before fine-tuning.
        known: positive and negative tags of each clip.
        distillation: weight of the distillation loss of the other tags.
    """
    targets = torch.sigmoid(before.float())
    weights = torch.full_like(targets, distillation)
    for row, (positive, negative) in enumerate(known):
        for tags, value in ((positive, 1.0), (negative, 0.0)):
            index = torch.tensor(sorted(tags), dtype=torch.long, device=targets.device)
            targets[row, index], weights[row, index] = value, 1.0
    losses = F.binary_cross_entropy_with_logits(now.float(), targets, reduction="none")  # (B, C)
    assert now.shape[1] == NUM_AUDIOSET_CLASSES
    return (losses * weights).sum() / len(now)

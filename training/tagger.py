"""Fine-tuning of the encoder's tagger on labelled clips, before the captioner is trained.

The classes of a clip's label are positive targets, the other classes of its collection negative ones; for all other classes the
scores of the tagger before fine-tuning are the targets (distillation: Li, Hoiem, "Learning without Forgetting",
arXiv 1606.09282). Half of the clips are mixtures of two. The outputs of the frozen layers take most of the time, so they are
computed once, for a pool of clips.

Shapes: B clips, S samples, C tag classes.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from configs.atomic_files import write_file
from configs.errors import CheckpointError
from configs.schema import AugmentConfig, TaggerConfig
from data.audio import AudioError
from data.augment import augment_waveform, draw_spans, sample_generator
from data.clotho import FileClip
from data.labelled.mixtures import Mixture, draw_mixture
from data.labelled.tags import tags_of, tags_of_any
from models.checkpoints.published import state_sha256
from models.encoders.base import NUM_AUDIOSET_CLASSES, AudioEncoder, SpecMasks
from training.batches import pad_arrays
from training.optimisation import cosine_factor
from training.run_folder import TrainingError
from training.tuning_progress import TuningProgress

logger = logging.getLogger(__name__)

TAGGER_FILE = "tagger.safetensors"  # file of the fine-tuned encoder in a run's folder
AUGMENTATION = AugmentConfig(gain_db=6.0)
Waveforms = list[NDArray[np.float32]]
MAX_READ_S = 10.0  # seconds read from each clip
MEMBER_SEEDS = 1000  # difference of the seeds of two members
MOST_DRAWS = 20  # attempts in place of clips that cannot be read
TIME_MASKS, BAND_MASKS = (1, 0.15), (2, 0.1)  # SpecAugment: number of spans, and the longest as a share, 0 to 1


class TagTargets:
    """Positive and negative tags of labelled clips.

    Args:
        collections: labelled clips, one list per collection. Where all labels of a collection have tags of
            `sound_phrases.yaml`, the tags of labels that a clip does not have are negative.
    """

    def __init__(self, collections: Sequence[Sequence[FileClip]]) -> None:
        self._annotated: dict[str, tuple[int, ...]] = {}
        for clips in collections:
            labels = {label for clip in clips for label in clip.labels}
            is_complete = all(tags_of([label]) for label in labels)
            annotated = tags_of(sorted(labels)) if is_complete else ()
            self._annotated |= dict.fromkeys(labels, annotated)

    def __call__(self, labels: Sequence[str]) -> tuple[set[int], set[int]]:
        """Positive and negative tags, 0 to 526, of a clip (or a mixture) with these labels."""
        positive: set[int] = set()
        for label in labels:
            positive.update(tags_of_any(label))
        annotated = [set(self._annotated.get(label, ())) for label in labels]
        return positive, set.intersection(*annotated) - positive if annotated else set()


@dataclass(frozen=True)
class Pool:
    """Clips to train on, as outputs of the encoder's frozen layers.

    Attributes:
        maps: (N, ..., T) float16, outputs of `AudioEncoder.frozen_part`.
        frames: (N,) number of frames of each clip.
        before: (N, C) logits of the tagger before fine-tuning.
        known: positive and negative tags of each clip.
    """

    maps: Tensor
    frames: Tensor
    before: Tensor
    known: Sequence[tuple[set[int], set[int]]]

    def batch(self, step: int, size: int, seed: int) -> "Pool":
        """Return the clips of a step; each epoch has its own order."""
        epoch, position = divmod(step, max(1, len(self.frames) // size))
        order = np.random.default_rng([seed, epoch]).permutation(len(self.frames))
        rows = order[position * size : (position + 1) * size]
        return Pool(self.maps[rows], self.frames[rows], self.before[rows], [self.known[row] for row in rows])

    def to(self, device: torch.device) -> "Pool":
        """Return the pool on a device."""
        return replace(self, maps=self.maps.to(device), frames=self.frames.to(device), before=self.before.to(device))


def read_ahead(read: Callable[[int], Waveforms], starts: Iterable[int]) -> Iterator[Waveforms]:
    """Yield the result of `read` for each start; a thread prefetches the next one."""
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[Waveforms] | None = None
        for start in starts:
            following = reader.submit(read, start)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


@torch.no_grad()
def draw_pool(
    teacher: AudioEncoder,
    collections: Sequence[Sequence[FileClip]],
    config: TaggerConfig,
    seed: int,
    progress: TuningProgress | None = None,
    skips_bad_clips: bool = False,
) -> Pool:
    """Draw clips and mixtures, at random levels and with masked spectrograms, and compute the frozen layers' outputs.

    Args:
        teacher: the encoder before fine-tuning.
        collections: labelled clips.
        config: number of clips and their maximum duration.
        seed: seed of all random draws.
        progress: storage for parts of the pool, including those of an interrupted run.
        skips_bad_clips: whether an unreadable clip is replaced by another one, with a warning.

    Raises:
        AudioError: a clip cannot be read, and bad clips are not skipped.
    """
    device = next(teacher.parameters()).device
    targets = TagTargets(collections)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    bar = tqdm(total=config.pool, desc="clips for the tagger", unit="clip")
    longest = int(config.max_duration_s * teacher.sample_rate)
    numbers = list(range(config.pool))  # number of each clip's draw

    def read(start: int) -> Waveforms:
        generator = sample_generator(seed, 1, start)
        waveforms = []
        for place in range(start, min(start + config.batch_size, config.pool)):
            waveform, numbers[place] = _load_drawn(
                collections, seed, place, config, teacher, generator, skips_bad_clips
            )
            waveforms.append(waveform)
        return waveforms

    starts = range(0, config.pool, config.batch_size)
    kept = {start: part for start in starts if progress and (part := progress.part(f"{seed}-{start}"))}
    waiting = read_ahead(read, [start for start in starts if start not in kept])
    for start in starts:
        if start in kept:
            part = kept.pop(start)
            numbers[start : start + config.batch_size] = part["numbers"].tolist()
            maps = torch.empty_strided(part["maps"].shape, part["strides"].tolist(), dtype=part["maps"].dtype)
            parts.append((maps.copy_(part["maps"]), part["frames"], part["before"]))
            bar.update(len(part["frames"]))
            continue
        waveforms = next(waiting)
        drawn = numbers[start : start + config.batch_size]
        generator = sample_generator(seed, 2, start)
        waveform, lengths = pad_arrays(waveforms)
        waveform = F.pad(waveform, (0, max(0, longest - waveform.shape[1])))  # all maps are of one length
        masks = SpecMasks(
            time=torch.from_numpy(np.stack([draw_spans(*TIME_MASKS, generator) for _ in drawn])).to(device),
            band=torch.from_numpy(np.stack([draw_spans(*BAND_MASKS, generator) for _ in drawn])).to(device),
        )
        maps, frames = teacher.frozen_part(waveform.to(device), lengths.to(device), masks)
        before = teacher.trained_part(maps, frames).cpu()
        maps, frames = maps.half().cpu(), frames.cpu()
        parts.append((maps, frames, before))
        if progress:  # another memory layout would change the order of summation in convolutions
            part = {"maps": maps.contiguous(), "strides": torch.tensor(maps.stride()), "frames": frames}
            part |= {"before": before.contiguous(), "numbers": torch.tensor(drawn)}
            progress.keep_part(f"{seed}-{start}", part)
        bar.update(len(drawn))
    bar.close()
    maps, frames, before = (torch.cat(rows) for rows in zip(*parts, strict=True))
    return Pool(maps, frames, before, [targets(draw(collections, seed, number).labels) for number in numbers])


def _load_drawn(
    collections: Sequence[Sequence[FileClip]],
    seed: int,
    place: int,
    config: TaggerConfig,
    teacher: AudioEncoder,
    generator: np.random.Generator,
    skips_bad_clips: bool,
) -> tuple[NDArray[np.float32], int]:
    """Return the waveform of a clip of the pool, and the number of its draw."""
    for number in range(place, place + MOST_DRAWS * config.pool, config.pool):
        try:
            return load(draw(collections, seed, number), teacher.sample_rate, config, generator), number
        except AudioError as error:
            if not skips_bad_clips:
                raise
            logger.warning("skipped: %s", error)
    raise AudioError(f"{MOST_DRAWS} labelled clips in a row cannot be read: check data.texts.labelled_dirs.")


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


def draw(collections: Sequence[Sequence[FileClip]], seed: int, number: int) -> FileClip | Mixture:
    """Draw a clip of a pool: half are single clips, a quarter sequences and a quarter overlays of two of one collection."""
    generator = sample_generator(seed, 0, number)
    sizes = np.array([len(clips) for clips in collections])
    clips = collections[int(generator.choice(len(collections), p=sizes / sizes.sum()))]
    if number % 2 == 0 or len({clip.labels for clip in clips}) < 2:
        return clips[int(generator.integers(len(clips)))]
    return draw_mixture(clips, "sequence" if number % 4 == 1 else "overlay", str(number), generator)


def load(
    clip: FileClip | Mixture, sample_rate: int, config: TaggerConfig, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Load a clip's waveform (S,), with a random level and cropped at random to the maximum duration."""
    waveform = clip.load(sample_rate, MAX_READ_S)
    longest = int(config.max_duration_s * sample_rate)
    start = int(generator.integers(max(1, len(waveform) - longest + 1)))
    return augment_waveform(waveform[start : start + longest], sample_rate, AUGMENTATION, generator)


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

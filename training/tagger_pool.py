"""Clips on which the tagger is fine-tuned: drawn once, as outputs of the encoder's frozen layers.

The classes of a clip's label are positive targets, the other classes of its collection negative ones. Half of the clips are
mixtures of two. The outputs of the frozen layers take most of the time, so they are computed once.

Shapes: B clips, S samples, C tag classes.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from configs.schema import AugmentConfig, TaggerConfig
from data.audio import AudioError
from data.augment import augment_waveform, draw_spans, sample_generator
from data.clotho import FileClip
from data.labelled.mixtures import Mixture, draw_mixture
from data.labelled.tags import tags_of, tags_of_any
from models.encoders.base import AudioEncoder, SpecMasks
from training.batches import pad_arrays
from training.tuning_progress import TuningProgress

logger = logging.getLogger(__name__)

AUGMENTATION = AugmentConfig(gain_db=6.0)
Waveforms = list[NDArray[np.float32]]
MAX_READ_S = 10.0  # seconds read from each clip
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

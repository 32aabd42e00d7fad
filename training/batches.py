"""Padded batches of clips; order and augmentation depend only on the seed and the step.

Shapes: B clips, R captions, S samples, T frames, E encoder width, L tokens.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from configs.schema import AugmentConfig, DataConfig
from configs.stopping import leave_to_parent
from data.audio import AudioError
from data.augment import augment_waveform, draw_mixup, draw_spans, hide_spans, mix, sample_generator
from data.captions import encode_caption
from data.clotho import Clip, FileClip
from data.labelled.mixtures import Mixture, draw_mixture
from data.labelled.tags import tags_of
from training.text_only.captions import TextClip
from vocabulary.audioset import tag_names

logger = logging.getLogger(__name__)
PAD_SAMPLES = 32000


@dataclass(frozen=True)
class Sample:
    """Training sample: a waveform (S,) or embeddings (T, E), its captions as (token ids, weight), and its tags.

    `tags` is None for a clip without labels.
    """

    name: str
    audio: NDArray[np.float32]
    captions: list[tuple[list[int], float]]
    time_spans: NDArray[np.float32]
    band_spans: NDArray[np.float32]
    tags: tuple[int, ...] | None = None
    style: int = 0


@dataclass(frozen=True)
class Batch:
    """Padded samples.

    Attributes:
        names: names of the B clips.
        audio: waveforms (B, S) or embeddings (B, T, E), float32, zero beyond `lengths`.
        lengths: (B,) int64, samples or frames.
        caption_ids: (R, L) int64 with begin and end tokens, padded on the right.
        caption_lengths: (R,) int64, number of tokens of each caption, including begin and end tokens.
        caption_weights: (R,) float32, weight of each caption in the loss.
        clip_index: (R,) int64, index of the clip of each caption.
        time_spans: (B, K, 2) float32, spectrogram spans to mask in time, as shares of its length, 0 to 1.
        band_spans: (B, M, 2) float32, spectrogram spans to mask in frequency, as shares of its bands, 0 to 1.
        tags: (B, 527) float32, 1 for present tags, 0 for absent ones, -1 for unknown ones.
        styles: (B,) int64, style number of each clip's captions.
    """

    names: list[str]
    audio: Tensor
    lengths: Tensor
    caption_ids: Tensor
    caption_lengths: Tensor
    caption_weights: Tensor
    clip_index: Tensor
    time_spans: Tensor
    band_spans: Tensor
    tags: Tensor
    styles: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


class TrainingSet(Dataset[Sample]):
    """Samples addressed by (epoch, index).

    Args:
        clips: training clips.
        tokenizer: tokenizer of the captions.
        config: augmentation settings.
        seed: seed of the run.
        max_tokens: maximum number of tokens per caption, including begin and end tokens.
        embed: function that returns a clip's embeddings (T, E) from a frozen encoder; None to load waveforms.
        sample_rate: sample rate of the waveforms in hertz.
        max_duration_s: maximum duration of a waveform in seconds.
        skips_bad_clips: whether an unreadable clip is replaced by the next one, with a warning.
        styles: names of the captioner's styles.
        simulate: function that returns simulated embeddings (T, E) of a caption without audio.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        tokenizer: Tokenizer,
        config: AugmentConfig,
        seed: int,
        max_tokens: int,
        embed: Callable[[Clip], NDArray[np.float32]] | None,
        sample_rate: int,
        max_duration_s: float,
        skips_bad_clips: bool = False,
        styles: Sequence[str] = (),
        simulate: Callable[[TextClip, np.random.Generator], NDArray[np.float32]] | None = None,
    ) -> None:
        self.styles = styles
        self.simulate = simulate
        self.skips_bad_clips = skips_bad_clips
        self.clips = clips
        self.tokenizer = tokenizer
        self.config = config
        self.seed = seed
        self.max_tokens = max_tokens
        self.embed = embed
        self.sample_rate = sample_rate
        self.max_duration_s = max_duration_s
        self._singles = [clip for clip in clips if isinstance(clip, FileClip) and len(clip.labels) == 1]

    @property
    def judged_tags(self) -> tuple[int, ...]:
        """Tags of at least one clip, which count as absent in labelled clips without them."""
        return tuple(sorted({tag for clip in self.clips for tag in tags_of(clip.labels)}))

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Any) -> Sample:
        """Return the sample of `key` = (epoch, index).

        Raises:
            AudioError: the clip cannot be read, and bad clips are not skipped or no clip is readable.
        """
        epoch, index = key
        if not self.skips_bad_clips:
            return self._sample(epoch, index)
        for offset in range(len(self.clips)):
            try:
                return self._sample(epoch, (index + offset) % len(self.clips))
            except AudioError as error:
                logger.warning("skipped: %s", error)
        raise AudioError("none of the training clips can be read any more: check data.dataset_root.")

    def _sample(self, epoch: int, index: int) -> Sample:
        generator = sample_generator(self.seed, epoch, index)
        clip = self.clips[index]
        if isinstance(clip, Mixture) and self.embed is None:  # only the drawn clips have cached embeddings
            clip = draw_mixture(self._singles, clip.order, clip.name, generator)
        audio, captions = self._audio(clip, generator), [(self._caption(clip, generator), 1.0)]
        tags = tags_of(clip.labels) if clip.labels else None
        mixup = draw_mixup(self.config, len(self.clips), generator)
        if mixup is not None:
            partner = self.clips[mixup.partner]
            tags = None if tags is None or not partner.labels else tuple({*tags, *tags_of(partner.labels)})
            audio = mix(audio, self._audio(partner, generator), mixup.share)
            if self.config.mixup_captions == "both":
                captions = [(captions[0][0], mixup.share), (self._caption(partner, generator), 1 - mixup.share)]
        time_spans = draw_spans(self.config.time_masks, self.config.time_mask_share, generator)
        band_spans = draw_spans(self.config.band_masks, self.config.band_mask_share, generator)
        if self.embed is not None:
            audio = hide_spans(audio, time_spans, band_spans)
        return Sample(clip.name, audio, captions, time_spans, band_spans, tags, style_number(clip, self.styles))

    def _audio(self, clip: Clip, generator: np.random.Generator) -> NDArray[np.float32]:
        if isinstance(clip, TextClip):
            assert self.simulate is not None
            return self.simulate(clip, generator)
        if self.embed is not None:
            return self.embed(clip)
        limit = None if self.config.crop_s else self.max_duration_s
        waveform = augment_waveform(clip.load(self.sample_rate, limit), self.sample_rate, self.config, generator)
        return waveform[: int(self.max_duration_s * self.sample_rate)]

    def _caption(self, clip: Clip, generator: np.random.Generator) -> list[int]:
        caption = clip.captions[int(generator.integers(len(clip.captions)))]
        return encode_caption(self.tokenizer, caption, self.max_tokens)


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Sampler of the (epoch, index) pairs of each micro-batch, starting at `first_step`.

    The batch of a step is split over accumulation parts and processes, so that the clips of a step do not depend on the
    number of processes. Each epoch has its own permutation; clips that do not fill the last batch are moved to the next
    epoch.

    Args:
        num_clips: size of the training set.
        batch_size: number of clips per step over all processes.
        seed: seed of the run.
        first_step: first step, 0 for a new run.
        last_step: step after the last one.
        rank: rank of this process.
        world_size: number of processes.
        accumulation: number of micro-batches per step in one process.
        sizes: relative length of each clip; a step's clips are grouped by it to reduce padding.
    """

    def __init__(
        self,
        num_clips: int,
        batch_size: int,
        seed: int,
        first_step: int,
        last_step: int,
        rank: int = 0,
        world_size: int = 1,
        accumulation: int = 1,
        sizes: Sequence[int] | None = None,
    ) -> None:
        parts = world_size * accumulation
        if batch_size % parts:
            raise ValueError(
                f"data.batch_size {batch_size} does not divide by {world_size} processes x {accumulation} accumulation "
                "parts: choose a multiple."
            )
        self.num_clips, self.batch_size, self.seed = num_clips, batch_size, seed
        self.first_step, self.last_step = first_step, last_step
        self.rank, self.accumulation = rank, accumulation
        self.part_size = batch_size // parts
        self.sizes = sizes or [0] * num_clips

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps per epoch."""
        return max(1, self.num_clips // self.batch_size)

    def step_pairs(self, step: int) -> list[tuple[int, int]]:
        """Return all (epoch, index) pairs of one step, over all processes."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_clips)
        start = position * self.batch_size
        pairs = [(epoch, int(order[i % self.num_clips])) for i in range(start, start + self.batch_size)]
        return sorted(pairs, key=lambda pair: self.sizes[pair[1]])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first_step, self.last_step):
            pairs = self.step_pairs(step)
            for part in range(self.accumulation):
                start = (self.rank * self.accumulation + part) * self.part_size
                yield pairs[start : start + self.part_size]

    def __len__(self) -> int:
        return (self.last_step - self.first_step) * self.accumulation


def style_number(clip: Clip, styles: Sequence[str]) -> int:
    """Return the index in `styles` of the style of a clip's captions; 0, the default style, if it is unknown."""
    return styles.index(clip.style) if clip.style in styles else 0


def pad_arrays(arrays: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Stack arrays of different lengths (S,) or (T, E), padded with zeros: (B, longest, ...) and lengths (B,).

    Waveforms are padded to a multiple of PAD_SAMPLES: convolution libraries optimise each shape separately, so few shapes
    are faster than many (2 to 5 times, measured on two cores). Encoder outputs do not depend on the padding.
    """
    lengths = torch.tensor([len(array) for array in arrays])
    longest = int(lengths.max())
    if arrays[0].ndim == 1:
        longest = -(-longest // PAD_SAMPLES) * PAD_SAMPLES
    padded = torch.zeros(len(arrays), longest, *arrays[0].shape[1:])
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = torch.from_numpy(np.ascontiguousarray(array))
    return padded, lengths


def pad_captions(captions: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Return token ids (R, L) int64, padded on the right."""
    padded = torch.full((len(captions), max(map(len, captions))), pad_id, dtype=torch.long)
    for row, ids in enumerate(captions):
        padded[row, : len(ids)] = torch.tensor(ids)
    return padded


@dataclass(frozen=True)
class Collate:
    """Collates samples to a `Batch`; a class, so that it can be pickled for loader workers."""

    pad_id: int
    judged_tags: tuple[int, ...] = ()

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Pad samples to one batch."""
        audio, lengths = pad_arrays([sample.audio for sample in samples])
        rows = [(row, ids, weight) for row, sample in enumerate(samples) for ids, weight in sample.captions]
        return Batch(
            names=[sample.name for sample in samples],
            audio=audio,
            lengths=lengths,
            caption_ids=pad_captions([ids for _, ids, _ in rows], self.pad_id),
            caption_lengths=torch.tensor([len(ids) for _, ids, _ in rows]),
            caption_weights=torch.tensor([weight for _, _, weight in rows]),
            clip_index=torch.tensor([row for row, _, _ in rows]),
            time_spans=torch.from_numpy(np.stack([sample.time_spans for sample in samples])),
            band_spans=torch.from_numpy(np.stack([sample.band_spans for sample in samples])),
            tags=torch.stack([self._tag_targets(sample.tags) for sample in samples]),
            styles=torch.tensor([sample.style for sample in samples]),
        )

    def _tag_targets(self, tags: tuple[int, ...] | None) -> Tensor:
        targets = torch.full((len(tag_names()),), -1.0)
        if tags is not None:
            targets[list(self.judged_tags)] = 0.0
            targets[list(tags)] = 1.0
        return targets


def build_loader(dataset: TrainingSet, sampler: StepSampler, pad_id: int, config: DataConfig) -> DataLoader[Sample]:
    """Return a loader of micro-batches; without a feature cache the encoder runs in this process, as workers have no device."""
    computes = dataset.embed is not None and getattr(dataset.embed, "cache", True) is None
    workers = 0 if computes else config.num_workers
    if workers:
        # The other strategy requests each file descriptor from the worker and blocks if the worker is frozen.
        torch.multiprocessing.set_sharing_strategy("file_system")
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=Collate(pad_id, dataset.judged_tags),
        num_workers=workers,
        timeout=config.worker_timeout_s if workers else 0,
        worker_init_fn=leave_to_parent,
    )

"""The phases of training: with a frozen encoder, with a trained encoder, and self-critical training.

Loader and loss depend on the phase of a step and are built at the start of each phase.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from tqdm import tqdm

from configs.schema import Config
from data.clotho import Clip
from data.feature_cache import FeatureCache
from data.labelled.mixtures import Mixture
from models.captioner import AudioCaptioner
from training.batches import Sample, StepSampler, TrainingSet, build_loader
from training.datasets import Clips
from training.features import FrozenFeatures, encoder_fingerprint
from training.objective import CaptioningLoss
from training.self_critical import CiderReward, words_of
from training.text_only.captions import TextClip
from training.text_only.simulation import Simulator, style_durations
from training.text_only.sound_bank import build_sound_bank

NEVER = sys.maxsize


@dataclass(frozen=True)
class Phase:
    """Everything needed for the steps of a phase.

    Attributes:
        trains_encoder: whether batches are waveforms, and the encoder is trained.
        end_step: step after the last step of the phase.
        load_audio: function that returns a clip's waveform (S,), or its embeddings (T, E) if the encoder is frozen.
        loader: micro-batches of the phase's steps (`training.batches.Batch`).
        objective: the loss, wrapped for several processes.
        reward: reward of generated captions; None outside self-critical training.
    """

    trains_encoder: bool
    end_step: int
    load_audio: Callable[[Clip], NDArray[np.float32]]
    loader: Iterator[Any]
    objective: Any
    reward: CiderReward | None


class Phases:
    """Builds the phase of a step.

    Args:
        config: configuration of the run.
        clips: training and validation clips.
        captioner: captioner on its device.
        accelerator: accelerator of this process.
    """

    def __init__(self, config: Config, clips: Clips, captioner: AudioCaptioner, accelerator: Accelerator) -> None:
        first_step = config.captioner.encoder.train_from_step
        self.encoder_first_step: int = NEVER if first_step is None else first_step
        self.config = config
        self.clips = clips
        self.captioner = captioner
        self.accelerator = accelerator
        self._simulate: Simulator | None = None

    def is_critical(self, step: int) -> bool:
        """Return whether a step is part of self-critical training."""
        return step >= self.config.training.num_steps

    def trains_encoder(self, step: int) -> bool:
        """Return whether the encoder is trained at a step."""
        return step >= self.encoder_first_step and not self.is_critical(step)

    def end_step(self, step: int) -> int:
        """Return the step after the last step of the phase of `step`."""
        ends = (self.encoder_first_step, self.config.training.num_steps, self.config.training.total_steps)
        return min(end for end in ends if end > step)

    def build(self, step: int) -> Phase:
        """Build the phase of `step`, with a loader that starts at that step."""
        is_critical, trains_encoder = self.is_critical(step), self.trains_encoder(step)
        reward = self._reward() if is_critical else None
        self.captioner.encoder.set_trained(trains_encoder)
        embed = None if trains_encoder else self._frozen_features()
        smoothing = 0.0 if is_critical else self.config.training.label_smoothing
        tag_loss = self.config.training.tag_loss
        objective = CaptioningLoss(self.captioner, smoothing, trains_encoder, tag_loss)
        return Phase(
            trains_encoder=trains_encoder,
            end_step=self.end_step(step),
            load_audio=embed or self._waveform,
            loader=_lazily(self._loader(step, embed)),
            objective=self.accelerator.prepare_model(objective).train(),
            reward=reward,
        )

    def _reward(self) -> CiderReward:
        """Return the reward with document frequencies of the training captions."""
        hidden = not self.accelerator.is_main_process
        clips = tqdm(self.clips.train, desc="n-grams", unit="clip", disable=hidden)
        return CiderReward([words_of(text) for text in clip.captions] for clip in clips)

    def _waveform(self, clip: Clip) -> NDArray[np.float32]:
        return clip.load(self.captioner.sample_rate, self.captioner.max_duration_s)

    def _frozen_features(self) -> FrozenFeatures:
        """Return the frozen encoder's embeddings; with a cache, compute those of all clips."""
        encoder, settings = self.captioner.encoder, self.config.captioner.encoder
        encoder.eval()
        cache = None
        if self.config.data.cache_dir:
            cache = FeatureCache(Path(self.config.data.cache_dir), encoder_fingerprint(encoder, settings))
        embed = FrozenFeatures(encoder, settings, cache)
        skips = self.config.data.bad_clips == "skip"
        with self.accelerator.main_process_first():
            recorded = [clip for clip in self.clips.train if not isinstance(clip, TextClip)]
            embed.fill(recorded, "embeddings of the training clips", skips)
            embed.fill(self.clips.validation, "embeddings of the validation clips", skips)
            source_clips = embed.fill(self.clips.source_clips, "embeddings of the source clips", skips)
        if source_clips and self._simulate is None:
            texts, seed = self.config.data.texts, self.config.training.seed
            bank = build_sound_bank(source_clips, embed, encoder, texts.simulation, seed)
            self._simulate = Simulator(bank, encoder.frame_rate_hz, texts.simulation, style_durations(texts))
        return embed

    def _loader(self, step: int, embed: FrozenFeatures | None) -> DataLoader[Sample]:
        """Return a loader of this process's micro-batches from `step` to the end of the phase."""
        data, settings = self.config.data, self.config.training
        dataset = TrainingSet(
            clips=self.clips.train,
            tokenizer=self.captioner.tokenizer,
            config=data.augment,
            seed=settings.seed,
            max_tokens=self.config.decoding.max_tokens,
            embed=embed,
            sample_rate=self.captioner.sample_rate,
            max_duration_s=self.captioner.max_duration_s,
            skips_bad_clips=data.bad_clips == "skip",
            styles=self.config.captioner.styles,
            simulate=self._simulate,
        )
        sampler = StepSampler(
            num_clips=len(dataset),
            batch_size=settings.self_critical.batch_size if self.is_critical(step) else data.batch_size,
            seed=settings.seed,
            first_step=step,
            last_step=self.end_step(step),
            rank=self.accelerator.process_index,
            world_size=self.accelerator.num_processes,
            accumulation=settings.accumulation,
            sizes=[size_rank(clip) for clip in self.clips.train],
        )
        return build_loader(dataset, sampler, self.captioner.token_ids["pad"], data)


def _lazily(loader: DataLoader[Sample]) -> Iterator[Any]:
    """Yield the loader's batches; its processes start with the first one."""
    yield from loader


def size_rank(clip: Clip) -> int:
    """Return a relative length of a clip, for grouping: by words for a caption without audio, greater for sequences."""
    if isinstance(clip, TextClip):
        return len(clip.captions[0].split())
    return 1 if isinstance(clip, Mixture) and clip.order == "sequence" else 0

"""Settings of the training data (`data`)."""

from dataclasses import dataclass, field
from typing import Literal

from configs.schema.texts import TextsConfig


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training clips; 0 switches each off. Every sample is seeded by (seed, epoch, index).

    Attributes:
        mixup_alpha: parameter of the Beta(alpha, alpha) distribution of the share of a second clip that is mixed in; 0 for none.
        mixup_captions: "both" trains on the captions of both clips, weighted by their shares; "either" on those of the louder.
        time_masks: number of SpecAugment masks in time, 0 or more.
        time_mask_share: maximum length of a time mask as a share of the clip, 0 to 1.
        band_masks: number of SpecAugment masks over mel bands (over channels of cached embeddings), 0 or more.
        band_mask_share: maximum width of a band mask as a share of the bands, 0 to 1.
        gain_db: waveforms are scaled by a random gain between -gain_db and +gain_db decibels.
        crop_s: length of a random crop in seconds; 0 keeps the clip up to the encoder's max_duration_s.
    """

    mixup_alpha: float = 0.0
    mixup_captions: Literal["both", "either"] = "both"
    time_masks: int = 0
    time_mask_share: float = 0.1
    band_masks: int = 0
    band_mask_share: float = 0.1
    gain_db: float = 0.0
    crop_s: float = 0.0


@dataclass(frozen=True)
class DataConfig:
    """The training data.

    Attributes:
        dataset_root: data set folder in one of the layouts of `data/clotho.py`.
        validation_share: share of the development clips that are held out, above 0 and below 1, if the layout has no validation
            split.
        mixtures: number of two-sound mixtures added to each epoch of a labelled data set (`data/labelled/mixtures.py`), 0 or
            more. They are the same in each epoch while the encoder is frozen (embeddings are cached), and newly drawn afterwards.
        batch_size: clips per optimiser step, over all processes and accumulation steps.
        num_workers: number of processes that load clips; 0 loads them in the training process.
        worker_timeout_s: seconds without data from a worker after which training stops with an error.
        cache_dir: cache folder for a frozen encoder's embeddings; None computes them in each step.
        bad_clips: what happens if a clip becomes unreadable during training: "stop" saves and stops with its name; "skip" warns
            and uses the next clip instead.
        augment: augmentation of training clips.
        texts: captions without audio that are trained on as well.
    """

    dataset_root: str = "datasets/clotho"
    validation_share: float = 0.1
    mixtures: int = 0
    batch_size: int = 32
    num_workers: int = 0
    worker_timeout_s: float = 300.0
    cache_dir: str | None = "datasets/embeddings"
    bad_clips: Literal["stop", "skip"] = "stop"
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    texts: TextsConfig = field(default_factory=TextsConfig)

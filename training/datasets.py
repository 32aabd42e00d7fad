"""The clips of a run: training and validation, with on-the-fly mixtures where the data set is labelled."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from configs.schema import DataConfig
from data.clotho import Clip, FileClip, load_split
from data.sounds import make_mixtures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clips:
    """Training and validation clips, and what to note of them in a checkpoint."""

    train: Sequence[Clip]
    validation: Sequence[Clip]
    summary: dict[str, Any]


def load_clips(config: DataConfig, seed: int) -> Clips:
    """Read a data set's development and validation splits; the evaluation split is never touched.

    Raises:
        DatasetError: a split cannot be used.
    """
    train: list[FileClip] = load_split(config.dataset_root, "development", config.validation_share, seed)
    validation = load_split(config.dataset_root, "validation", config.validation_share, seed)
    mixtures = make_mixtures(train, config.mixtures, seed) if config.mixtures else []
    for mixture in tqdm(mixtures, desc="wording mixtures", unit="clip", disable=not mixtures):
        len(mixture.captions)  # measured and worded at the first look, kept after it
    summary = {
        "dataset_root": str(config.dataset_root),
        "training_clips": len(train),
        "training_mixtures": len(mixtures),
        "validation_clips": len(validation),
    }
    logger.info("%d training clips, %d mixtures, %d validation clips", len(train), len(mixtures), len(validation))
    return Clips([*train, *mixtures], validation, summary)

"""The clips of a run: training and validation, with on-the-fly mixtures where the data set is labelled."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.schema import DataConfig
from data.caption_texts import read_texts
from data.clotho import Clip, FileClip, load_split
from data.composed_texts import compose_texts
from data.labelled import read_labelled
from data.sounds import caption_briefly, make_mixtures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clips:
    """Training and validation clips, collections that lend texts their sound, and what to note of them in a checkpoint."""

    train: Sequence[Clip]
    validation: Sequence[Clip]
    donors: Sequence[Sequence[FileClip]]
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
    texts = read_texts(config.texts.tables, config.texts.styles)
    if config.texts.composed:
        first = [text for text in texts if text.style == config.texts.styles[0]]
        texts += compose_texts(first, config.texts.composed, config.texts.brief_style or config.texts.styles[0], seed)
    donors = [read_labelled(Path(root), config.texts.held_out)[0] for root in config.texts.donors]
    briefly: list[Clip] = []
    if config.texts.brief_style:
        labelled = [clip for group in donors for clip in group]
        briefly += caption_briefly(labelled, config.texts.brief_mixtures, config.texts.brief_style, seed)
    if texts:  # a recording with captions lends its sound too
        donors.append([replace(clip, labels=clip.captions[:1]) for clip in train if not clip.labels])
    summary = {
        "dataset_root": str(config.dataset_root),
        "training_clips": len(train),
        "training_mixtures": len(mixtures),
        "validation_clips": len(validation),
        **({"texts": len(texts), "donors": sum(map(len, donors)), "briefly_captioned": len(briefly)} if texts else {}),
    }
    logger.info(
        "%d training clips, %d mixtures, %d texts, %d validation clips",
        len(train), len(mixtures), len(texts), len(validation),
    )  # fmt: skip
    return Clips([*train, *mixtures, *texts, *briefly * config.texts.brief_repeats], validation, donors, summary)

"""The clips of a run: training and validation, with on-the-fly mixtures where the data set is labelled."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.schema import DataConfig
from data.clauses import ClauseDetector
from data.clotho import Clip, FileClip, load_split
from data.labelled.collections import read_labelled
from data.labelled.mixtures import caption_briefly, make_mixtures
from data.tables import DatasetError
from training.text_only.captions import read_texts
from training.text_only.compose import caption_as_people_do, compose_texts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clips:
    """The clips of a run.

    Attributes:
        train: to learn captions of.
        validation: to choose on.
        labelled: collections that teach the tagger and lend texts their sound.
        recordings: with captions, which lend theirs too.
        summary: what to note of them in a checkpoint.
    """

    train: Sequence[Clip]
    validation: Sequence[Clip]
    labelled: Sequence[Sequence[FileClip]]
    recordings: Sequence[FileClip]
    summary: dict[str, Any]

    @property
    def donors(self) -> list[FileClip]:
        """All that lend texts their sound."""
        return [*itertools.chain.from_iterable(self.labelled), *self.recordings]


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
    if not texts and config.texts.composed:
        raise DatasetError("data.texts.composed joins captions of data.texts.tables, which is empty: name a table.")
    first_table = [text for text in texts if text.style in config.texts.styles[:1]]
    is_clause = ClauseDetector(text.captions[0] for text in first_table)
    if config.texts.composed:
        style = config.texts.labelled_style or config.texts.styles[0]
        texts += compose_texts(first_table, is_clause, config.texts.composed, style, seed)
    labelled = [read_labelled(Path(root), left_out=config.texts.left_out)[0] for root in config.texts.labelled_dirs]
    every = [clip for group in labelled for clip in group]
    briefly: list[Clip] = []
    if config.texts.labelled_style:
        plain = caption_briefly(every, config.texts.labelled_mixtures, config.texts.labelled_style, seed)
        briefly += plain * config.texts.labelled_repeats
        if first_table and config.texts.human_captions != "none":
            style, whole = config.texts.styles[0], config.texts.human_captions == "all"
            human = caption_as_people_do(plain, first_table, is_clause, style, seed, whole)
            briefly += human * config.texts.human_caption_repeats
    recordings = [replace(clip, labels=clip.captions[:1]) for clip in train if texts and not clip.labels]
    summary = {
        "dataset_root": str(config.dataset_root),
        "training_clips": len(train),
        "training_mixtures": len(mixtures),
        "validation_clips": len(validation),
        **(
            {"texts": len(texts), "donors": len(every) + len(recordings), "briefly_captioned": len(briefly)}
            if texts
            else {}
        ),
    }
    logger.info(
        "%d training clips, %d mixtures, %d texts, %d validation clips",
        len(train), len(mixtures), len(texts), len(validation),
    )  # fmt: skip
    return Clips([*train, *mixtures, *texts, *briefly], validation, labelled, recordings, summary)

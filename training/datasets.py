"""The clips of a run: training and validation, with on-the-fly mixtures where the data set is labelled."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.schema import DataConfig
from data.caption_texts import read_texts
from data.clotho import Clip, FileClip, load_split
from data.composed_texts import caption_as_people_do, compose_texts
from data.labelled import read_labelled
from data.simple_present import Retelling, tell_simply
from data.sounds import caption_briefly, make_mixtures
from data.tables import DatasetError
from vocabulary.words import class_captions

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
    if not texts and (config.texts.composed or config.texts.rare):
        raise DatasetError(
            "data.texts.composed and rare join people's captions, but data.texts.tables is empty: name a table."
        )
    peoples = [text for text in texts if text.style in config.texts.styles[:1]]
    retelling = Retelling(text.captions[0] for text in peoples)
    if config.texts.participles:
        others = [text for text in texts if text.style != config.texts.styles[0]]
        texts = tell_simply(peoples, retelling, config.texts.participles) + others
        peoples = [text for text in texts if text.style == config.texts.styles[0]]
    if config.texts.composed:
        style = config.texts.brief_style or config.texts.styles[0]
        texts += compose_texts(peoples, retelling.is_clause, config.texts.composed, style, seed)
    if config.texts.rare:
        style, own = config.texts.styles[0], class_captions()
        texts += compose_texts(peoples, retelling.is_clause, config.texts.rare, style, seed, own)
    labelled = [read_labelled(Path(root), left_out=config.texts.left_out)[0] for root in config.texts.donors]
    every = [clip for group in labelled for clip in group]
    briefly: list[Clip] = []
    if config.texts.brief_style:
        plain = caption_briefly(every, config.texts.brief_mixtures, config.texts.brief_style, seed)
        briefly += plain * config.texts.brief_repeats
        if peoples and config.texts.peoples != "none":
            style, whole = config.texts.styles[0], config.texts.peoples == "all"
            told = caption_as_people_do(plain, peoples, retelling.is_clause, style, seed, whole)
            briefly += told * config.texts.peoples_repeats
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

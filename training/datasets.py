"""The clips of a run: training and validation clips, mixtures of labelled clips, and the corpus of text-only training."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from configs.schema import DataConfig
from data.clotho import Clip, FileClip, load_split
from data.labelled.mixtures import Mixture, make_mixtures
from training.text_only.corpus import TextCorpus, build_text_corpus

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clips:
    """The clips of a run.

    Attributes:
        train: clips and captions to train on.
        validation: clips to validate on.
        labelled: collections of labelled clips, which train the tagger and give the embeddings that are simulated from.
        recordings: captioned training clips whose embeddings are simulated from as well; empty without captions of tables.
        summary: numbers of clips, for the checkpoint's metadata.
    """

    train: Sequence[Clip]
    validation: Sequence[Clip]
    labelled: Sequence[Sequence[FileClip]]
    recordings: Sequence[FileClip]
    summary: dict[str, Any]

    @property
    def source_clips(self) -> list[FileClip]:
        """All clips whose embeddings are simulated from."""
        return [*itertools.chain.from_iterable(self.labelled), *self.recordings]


def load_clips(config: DataConfig, seed: int) -> Clips:
    """Read a data set's development and validation splits, and build the text-only corpus; the evaluation split is never read.

    Args:
        config: settings of the data.
        seed: seed of the validation split, of mixtures and of captions that are drawn.

    Raises:
        DatasetError: a split, a caption table or a folder of labelled clips cannot be used.
    """
    train = load_split(config.dataset_root, "development", config.validation_share, seed)
    validation = load_split(config.dataset_root, "validation", config.validation_share, seed)
    mixtures = _mixtures(train, config.mixtures, seed)
    corpus = build_text_corpus(config.texts, seed)
    recordings = [replace(clip, labels=clip.captions[:1]) for clip in train if corpus.texts and not clip.labels]
    summary = {
        "dataset_root": str(config.dataset_root),
        "training_clips": len(train),
        "training_mixtures": len(mixtures),
        "validation_clips": len(validation),
        **_text_summary(corpus, len(recordings)),
    }
    logger.info(
        "%d training clips, %d mixtures, %d captions without audio, %d validation clips",
        len(train), len(mixtures), len(corpus.texts), len(validation),
    )  # fmt: skip
    clips = [*train, *mixtures, *corpus.texts, *corpus.captioned]
    return Clips(clips, validation, corpus.labelled, recordings, summary)


def _mixtures(clips: Sequence[FileClip], count: int, seed: int) -> list[Mixture]:
    """Return mixtures of two labelled clips; their captions depend on the waveforms."""
    if not count:
        return []
    mixtures = make_mixtures(clips, count, seed)
    for mixture in tqdm(mixtures, desc="captions of mixtures", unit="clip"):
        len(mixture.captions)  # computed at the first access and cached
    return mixtures


def _text_summary(corpus: TextCorpus, num_recordings: int) -> dict[str, int]:
    if not corpus.texts:
        return {}
    num_labelled = sum(map(len, corpus.labelled))
    return {
        "texts": len(corpus.texts),
        "source_clips": num_labelled + num_recordings,
        "captioned_labelled_clips": len(corpus.captioned),
    }

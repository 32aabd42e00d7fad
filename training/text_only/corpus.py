"""Corpus of text-only training: captions from tables, composed captions, and captioned labelled clips."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from configs.schema import TextsConfig
from data.clauses import ClauseDetector
from data.clotho import FileClip
from data.labelled.collections import read_labelled
from data.labelled.mixtures import Mixture, caption_with_templates
from data.tables import DatasetError
from training.text_only.captions import TextClip, read_text_clips
from training.text_only.compose import compose_captions, give_human_captions


@dataclass(frozen=True)
class TextCorpus:
    """Corpus of text-only training.

    Attributes:
        captions: captions of the tables, in the order of the tables.
        composed: captions composed of short human captions in the first table's style.
        labelled: labelled clips of each folder.
        captioned: labelled clips and mixtures with template captions, followed by those with human captions; each is repeated
            as often as it occurs per epoch.
    """

    captions: list[TextClip] = field(default_factory=list)
    composed: list[TextClip] = field(default_factory=list)
    labelled: list[list[FileClip]] = field(default_factory=list)
    captioned: list[FileClip | Mixture] = field(default_factory=list)

    @property
    def texts(self) -> list[TextClip]:
        """Return all captions without audio."""
        return [*self.captions, *self.composed]


def build_text_corpus(config: TextsConfig, seed: int) -> TextCorpus:
    """Build the corpus from a configuration.

    Args:
        config: tables, folders of labelled clips, and numbers of captions; without tables and folders, the corpus is empty.
        seed: seed of all random draws.

    Raises:
        DatasetError: a table or folder is unusable, or a setting requires a table and none is given.
    """
    captions = read_tables(config)
    human = [text for text in captions if text.style == config.tables[0].style]
    is_clause = ClauseDetector(text.captions[0] for text in human)
    composed = _composed(config, human, is_clause, seed)
    labelled = [read_labelled(Path(root), left_out=config.left_out)[0] for root in config.labelled_dirs]
    captioned: list[FileClip | Mixture] = []
    if config.labelled_style:
        clips = list(itertools.chain.from_iterable(labelled))
        templates = caption_with_templates(clips, config.labelled_mixtures, config.labelled_style, seed)
        captioned += templates * config.labelled_repeats
        captioned += _human(config, templates, human, is_clause, seed) * config.human_caption_repeats
    return TextCorpus(captions, composed, labelled, captioned)


def read_tables(config: TextsConfig) -> list[TextClip]:
    """Return the captions of all tables that name a known sound."""
    return [clip for table in config.tables for clip in read_text_clips(Path(table.path), table.style)]


def _composed(config: TextsConfig, human: Sequence[TextClip], is_clause: ClauseDetector, seed: int) -> list[TextClip]:
    """Return at most `config.composed` captions composed of short human captions.

    Raises:
        DatasetError: composed captions are requested without a table.
    """
    if not config.composed:
        return []
    if not config.tables:
        raise DatasetError("data.texts.composed joins captions of data.texts.tables, which is empty: name a table.")
    return compose_captions(human, is_clause, config.composed, config.labelled_style or config.tables[0].style, seed)


def _human(
    config: TextsConfig,
    clips: Sequence[FileClip | Mixture],
    human: Sequence[TextClip],
    is_clause: ClauseDetector,
    seed: int,
) -> list[FileClip | Mixture]:
    """Return the labelled clips and mixtures with human captions in the style of the first table."""
    if not human or config.human_captions == "none":
        return []
    fill = config.human_captions == "all"
    return give_human_captions(clips, human, is_clause, config.tables[0].style, seed, fill_with_templates=fill)

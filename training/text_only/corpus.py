"""The corpus of text-only training: captions of tables, composed captions, and labelled clips under captions."""

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
    """The corpus of text-only training.

    Attributes:
        captions: captions of the tables, in their order.
        composed: captions composed of short ones of the first table's style.
        labelled: clips of each folder of labelled clips.
        captioned: labelled clips and mixtures under template captions, then under human captions, each as often as it comes in
            an epoch.
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
    """Build the corpus of a configuration.

    Args:
        config: its tables, folders and numbers; empty ones give an empty corpus.
        seed: seed of all random draws.

    Raises:
        DatasetError: a table or folder cannot be used, or a setting needs a table and there is none.
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
    """Captions composed of short human captions, as many as the configuration asks for."""
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
    """The labelled clips and mixtures that are trained on in the first table's style too."""
    if not human or config.human_captions == "none":
        return []
    fill = config.human_captions == "all"
    return give_human_captions(clips, human, is_clause, config.tables[0].style, seed, fill_with_templates=fill)

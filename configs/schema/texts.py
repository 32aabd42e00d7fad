"""Settings of captions without audio (`data.texts`)."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class CaptionTable:
    """A table of captions without audio.

    Attributes:
        path: CSV file with a column `caption`, or `caption_1` to `caption_N`.
        style: style of its captions, one of captioner.styles.
        duration_s: shortest and longest duration, in seconds, of the clips that its captions describe.
    """

    path: str
    style: str
    duration_s: tuple[float, float] = (10.0, 10.0)


@dataclass(frozen=True)
class SimulationConfig:
    """How audio embeddings are simulated for captions without audio (`training/text_only/simulation.py`).

    Levels are in decibels, `p_` settings are probabilities, 0 to 1.

    Attributes:
        noise: whether simulated audio has what recordings have: unclear, quiet, partial and missing sources, and sounds that
            no caption mentions. If False, each source is the clearest clip of its class, and there are no other sounds.
        mix_slope: weight of a source in a mixture of embeddings, as the exponent per decibel of its level.
        mix_gain: factor of the embeddings of mixtures.
        detection_threshold: tag score, 0 to 1, from which a clip of the sound bank has a class that its label does not name.
        max_label_rank: a clip has a class of its label only if fewer classes than this have a higher tag score.
        min_clips: clips that each class has at least in the sound bank; synthetic embeddings fill the gap.
        min_synthetic: synthetic embeddings of each class, at least.
        synthetic_frames: frames of a synthetic embedding.
        synthetic_beta: parameters of the Beta distribution of the scores of synthetic embeddings.
        synthetic_steps: optimiser steps of synthetic embeddings.
        min_peak_score: lowest value, 0 to 1, of the highest score of a class, by which that distribution is scaled.
        class_weights: relative probabilities that a source takes a clip of its first, second, ... class.
        num_candidates: clips that are drawn for a source, of which the one with the best fit is taken.
        score_weight: weight of the tag score in the fit; a class of the source that the clip has counts 1.
        p_any_clip: probability that a source other than speech takes any clip of its class.
        speech_gain_db: gain of speech, which the tagger detects through other sounds.
        level_deviation_db: standard deviation of the levels of sources.
        p_partial: probability that one of several sources sounds in a part of its turn only.
        p_partial_speech: the same for speech.
        p_early_onset: probability that a later source starts together with the source before it.
        p_background: probability of a quiet background that the caption does not mention.
        background_db: lowest and highest level of that background.
        p_unmentioned_speech: probability of speech where the caption mentions none.
        unmentioned_speech_db: lowest and highest level of that speech.
        p_missing: probability that a source after the first one does not sound.
    """

    noise: bool = True
    mix_slope: float = 0.09
    mix_gain: float = 1.3
    detection_threshold: float = 0.35
    max_label_rank: int = 60
    min_clips: int = 8
    min_synthetic: int = 3
    synthetic_frames: int = 12
    synthetic_beta: tuple[float, float] = (5.0, 1.2)
    synthetic_steps: int = 150
    min_peak_score: float = 0.7
    class_weights: tuple[float, ...] = (1.0, 0.6, 0.4, 0.25)
    num_candidates: int = 8
    score_weight: float = 5.0
    p_any_clip: float = 0.1
    speech_gain_db: float = 14.0
    level_deviation_db: float = 4.0
    p_partial: float = 0.4
    p_partial_speech: float = 0.9
    p_early_onset: float = 0.15
    p_background: float = 0.25
    background_db: tuple[float, float] = (-24.0, -8.0)
    p_unmentioned_speech: float = 0.6
    unmentioned_speech_db: tuple[float, float] = (-10.0, 14.0)
    p_missing: float = 0.04


@dataclass(frozen=True)
class TextsConfig:
    """Captions without audio, whose audio embeddings are simulated while the encoder is frozen.

    Attributes:
        tables: the tables of captions, human ones; the first one's style is that of composed and human captions below.
        label_table: CSV file of AudioSet label sets of the first table's clips (an id column, `audioset_labels`), from which
            label sets of that table's other captions are learned (`training/text_only/text_labels.py`); with it, a checkpoint
            carries these captions as references for minimum Bayes risk decoding (`generation/retrieval.py`). Empty
            for none.
        labelled_dirs: folders of labelled clips (`data/labelled/collections.py`), whose embeddings simulate the sounds
            that captions name.
        left_out: collections of labelled clips that nothing is trained on, so that captioners can be evaluated on them; a
            collection is the first folder of its clips' file names.
        composed: number of captions composed of short ones of the first table (`training/text_only/compose.py`), so that
            rare sounds and pairs are as frequent as others; in labelled_style, or the first table's style if that is empty.
        simulation: how the embeddings are simulated.
        labelled_style: style, one of captioner.styles, of short template captions (`data/labelled/label_captions.py`) of
            labelled clips and of mixtures of two, which are trained on like recordings. Empty for none.
        labelled_mixtures: number of these mixtures.
        labelled_repeats: times that each of these clips and mixtures comes in an epoch.
        human_captions: which of them are also trained on in the first table's style (`training/text_only/compose.py`):
            "usual": those whose sounds have captions that two people or more wrote, with these captions; "all": the others
            as well, with template captions; "none".
        human_caption_repeats: times that each of those comes in an epoch.
    """

    tables: tuple[CaptionTable, ...] = ()
    label_table: str = ""
    labelled_dirs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    composed: int = 0
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    labelled_style: str = ""
    labelled_mixtures: int = 0
    labelled_repeats: int = 1
    human_captions: Literal["none", "usual", "all"] = "all"
    human_caption_repeats: int = 1

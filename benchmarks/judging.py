"""Measures of `benchmarks.yardstick`: against human references, against another system's captions, and against labels.

Every value is an `evaluation.scores.Score`; all intervals are 95 % bootstrap percentiles over clips (Efron, 1979). Systems are
compared on the same resamples (paired bootstrap).
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.captions import normalize_caption
from data.labelled.caption_templates import named_categories
from data.labelled.tags import tags_of_any
from evaluation.inputs import Corpus
from evaluation.invented import unsupported_clauses
from evaluation.overlap import MeasureResult, mean_result
from evaluation.scores import (
    HIGH,
    LOW,
    Comparison,
    Score,
    ScoreSettings,
    as_score,
    compare,
    draw_resamples,
    score_systems,
)
from vocabulary.audioset import wide_tags
from vocabulary.words import classes_of

MEASURES = ("cider_d", "meteor", "rouge_l", "sbert_sim", "invented", "wrong_speakers")
CHOOSING = ("cider_d", "invented")  # measures of the choice score
HALVES = ("choose", "confirm", "all")
NUM_RESAMPLES = 1000

T = TypeVar("T")


class Captioned(Protocol):
    """A clip with human captions."""

    @property
    def name(self) -> str:
        """Key of the clip in tables of captions."""

    @property
    def captions(self) -> tuple[str, ...]:
        """Reference captions, one or more."""


def in_half(name: str, half: str) -> bool:
    """Whether a clip belongs to a half, by the parity of a hash of its name, independent of other clips.

    Args:
        name: file name of the clip.
        half: "choose", "confirm" or "all".

    Raises:
        ValueError: the half is unknown.
    """
    if half not in HALVES:
        raise ValueError(f"found the half {half!r}, expected one of {', '.join(HALVES)}.")
    return half in ("all", HALVES[_digest(name)[0] % 2])


def some_of(clips: Sequence[T], name: Callable[[T], str], half: str, limit: int | None) -> list[T]:
    """Clips of a half in their order, at most `limit`, selected by a hash of their names."""
    kept = [clip for clip in clips if in_half(name(clip), half)]
    ranked = {name(clip) for clip in sorted(kept, key=lambda clip: _digest(name(clip)))[:limit]}
    return [clip for clip in kept if name(clip) in ranked]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _by_coverage(
    clips: Sequence[Captioned], captions: Mapping[str, Mapping[str, str]], needed: Collection[str] = ()
) -> dict[tuple[Captioned, ...], list[str]]:
    """Systems grouped by the clips for which they and all `needed` systems have captions."""
    found: dict[tuple[Captioned, ...], list[str]] = {}
    for system in captions:
        own = tuple(clip for clip in clips if all(clip.name in captions[other] for other in (system, *needed)))
        if own:
            found.setdefault(own, []).append(system)
    return found


@dataclass(frozen=True)
class _Scorer:
    """Scores systems on clips for which all of them have captions."""

    captions: Mapping[str, Mapping[str, str]]
    measures: Sequence[str]
    seed: int

    def score(self, clips: Sequence[Captioned], systems: Sequence[str]) -> list[dict[str, Score]]:
        names, references = tuple(clip.name for clip in clips), tuple(clip.captions for clip in clips)
        corpora = [
            Corpus(names, tuple(self.captions[system][name] for name in names), references) for system in systems
        ]
        settings = ScoreSettings(measures=tuple(self.measures), num_resamples=NUM_RESAMPLES, seed=self.seed)
        return [{key: found[key] for key in self.measures} for found in score_systems(corpora, settings)]


def judge_captioned(
    clips: Sequence[Captioned],
    captions: Mapping[str, Mapping[str, str]],
    measures: Sequence[str] = MEASURES,
    seed: int = 0,
) -> dict[str, dict[str, Score]]:
    """Score each system on its captioned clips of a group; systems without any are left out.

    Args:
        clips: clips of the group. CIDEr-D's document frequencies come from the references of the clips that a system has
            captions of.
        captions: captions by system and clip name.
        measures: keys of `evaluation.measures.MEASURES`.
        seed: random seed of the resamples.

    Returns:
        Scores by system and measure, in the order of `captions`.
    """
    scorer = _Scorer(captions, measures, seed)
    found: dict[str, dict[str, Score]] = {}
    for own, systems in _by_coverage(clips, captions).items():
        found |= dict(zip(systems, scorer.score(own, systems), strict=True))
    return {system: found[system] for system in captions if system in found}


@dataclass(frozen=True)
class Pairing:
    """A system compared with a peer on their common clips.

    Attributes:
        num_clips: number of common clips.
        differences: system minus peer, by measure.
        cider_d_ratio: system's CIDEr-D divided by the peer's; without a value if the peer's is 0.
    """

    num_clips: int
    differences: dict[str, Comparison]
    cider_d_ratio: Score


def ratio(first: Score, second: Score) -> Score:
    """First corpus value divided by the second, with an interval from paired resamples.

    The result has no value if one is missing or the second is 0, and no interval without resamples or if one of them is 0.
    """
    if first.value is None or not second.value:
        return Score(None)
    value = first.value / second.value
    if first.resampled is None or second.resampled is None or not (second.resampled > 0).all():
        return Score(value)
    return as_score(MeasureResult(value, np.zeros(0), first.resampled / second.resampled))


def judge_pairs(
    clips: Sequence[Captioned],
    captions: Mapping[str, Mapping[str, str]],
    peer: str,
    measures: Sequence[str] = MEASURES,
    seed: int = 0,
) -> dict[str, Pairing]:
    """Compare every other system with the peer; systems without common clips are left out.

    Args:
        clips: clips of the group.
        captions: captions by system, the peer included, and clip name.
        peer: name of the peer.
        measures: keys of `evaluation.measures.MEASURES`, cider_d among them.
        seed: random seed of the resamples.
    """
    scorer = _Scorer(captions, measures, seed)
    found: dict[str, Pairing] = {}
    for own, systems in _by_coverage(clips, captions, needed=[peer]).items():
        others = [system for system in systems if system != peer]
        if not others:
            continue
        reference, *scores = scorer.score(own, [peer, *others])
        for system, score in zip(others, scores, strict=True):
            quotient = ratio(score["cider_d"], reference["cider_d"])
            found[system] = Pairing(len(own), compare(score, reference), quotient)
    return {system: found[system] for system in captions if system in found}


def rate(hits: Sequence[bool] | NDArray[np.bool_], seed: int = 0) -> Score:
    """Share of hits, 0 to 1; without a value if there are no clips."""
    values = np.asarray(hits, dtype=np.float64)
    if len(values) == 0:
        return Score(None)
    return as_score(mean_result(values, draw_resamples(len(values), NUM_RESAMPLES, seed)))


def mean_rate(rates: Sequence[Score]) -> Score:
    """Unweighted mean of rates on different clips; each is resampled within its clips.

    The rates must have different seeds, otherwise collections of equal size would have the same resamples.
    """
    values = [score.value for score in rates if score.value is not None]
    if not values or len(values) < len(rates):
        return Score(None)
    # A collection of one clip has no resamples; its value is constant.
    columns = [
        np.full(NUM_RESAMPLES, value) if score.resampled is None else score.resampled
        for value, score in zip(values, rates, strict=True)
    ]
    return as_score(MeasureResult(float(np.mean(values)), np.zeros(0), np.mean(columns, axis=0)))


def difference(first: Score, second: Score) -> Score:
    """First minus second, on the same clips and resamples; without a value if one is missing."""
    if first.value is None or second.value is None:
        return Score(None)
    value = first.value - second.value
    if first.resampled is None or second.resampled is None or len(first.resampled) != len(second.resampled):
        return Score(value)
    low, high = np.percentile(first.resampled - second.resampled, [LOW, HIGH])
    return replace(Score(value), low=float(low), high=float(high))


@dataclass(frozen=True)
class SoundRates:
    """Rates of captions of labelled single sounds and of mixtures of two (`data/labelled/sound_phrases.yaml`).

    Attributes:
        single: share of single clips whose caption names the label.
        single_only: share that names the label and no other of the table's sounds.
        invented: share of single clips whose caption names a sound of the table other than the label.
        both: share of mixtures whose caption names both labels.
    """

    single: Score
    single_only: Score
    invented: Score
    both: Score


def judge_sounds(labels: Sequence[tuple[str, ...]], captions: Sequence[str]) -> SoundRates:
    """Rates of captions of clips with one label (single sounds) or two (mixtures)."""
    named = [named_categories(normalize_caption(caption)) for caption in captions]
    singles = [(said, set(own)) for said, own in zip(named, labels, strict=True) if len(own) == 1]
    mixtures = [(said, set(own)) for said, own in zip(named, labels, strict=True) if len(own) == 2]
    return SoundRates(
        single=rate([own <= said for said, own in singles]),
        single_only=rate([own == said for said, own in singles]),
        invented=rate([bool(said - own) for said, own in singles]),
        both=rate([own <= said for said, own in mixtures]),
    )


def label_classes(labels: Sequence[str]) -> tuple[int, ...]:
    """AudioSet classes, 0 to 526, of a clip's labels; the first label's main class comes first; empty for unknown labels."""
    main = tags_of_any(labels[0])[:1] if labels else ()
    if not main:
        return ()
    others = [number for label in labels for number in (*tags_of_any(label), *classes_of(label))]
    return tuple(dict.fromkeys([*main, *others]))


@dataclass(frozen=True)
class LabelRates:
    """Rates of captions of labelled clips.

    Attributes:
        num_clips: clips whose label has a class.
        named: share of clips whose caption names the label's main class.
        only: share of clips whose caption also has no clause about other sounds; wide classes, such as Animal, do not count
            as the same sound.
    """

    num_clips: int
    named: Score
    only: Score


def judge_labelled(labels: Sequence[tuple[str, ...]], captions: Sequence[str], seed: int = 0) -> LabelRates:
    """Rates of N captions; clips whose labels have no class are left out.

    Args:
        labels: labels of each clip.
        captions: caption of each clip.
        seed: random seed of the resamples; use a different one per collection.
    """
    named: list[bool] = []
    only: list[bool] = []
    for own, caption in zip(labels, captions, strict=True):
        if classes := label_classes(own):
            narrow = set(classes) - wide_tags() or set(classes)
            named.append(classes[0] in classes_of(caption))
            only.append(named[-1] and not unsupported_clauses(caption, narrow))
    return LabelRates(len(named), rate(named, seed), rate(only, seed))

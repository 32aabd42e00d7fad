"""What `benchmarks.yardstick` measures: captions beside human references, beside a peer's captions, and beside labels.

Every value is an `evaluation.scores.Score`, so that all intervals are 95 % bootstrap percentiles over clips (Efron, 1979) of
one kind. Systems are compared on resamples drawn for both together (a paired bootstrap).
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

MEASURES = ("cider_d", "meteor", "rouge_l", "sbert_sim", "invented")
CHOOSING = ("cider_d", "invented")  # those that the choice score is made of
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
    """Whether a clip belongs to a half, by the parity of a hash of its name: it stays there whatever else a data set holds.

    Args:
        name: file name of the clip.
        half: "choose", "confirm" or "all".

    Raises:
        ValueError: another half.
    """
    if half not in HALVES:
        raise ValueError(f"found the half {half!r}, expected one of {', '.join(HALVES)}.")
    return half in ("all", HALVES[_digest(name)[0] % 2])


def some_of(clips: Sequence[T], name: Callable[[T], str], half: str, limit: int | None) -> list[T]:
    """The clips of a half, in their order; at most `limit` of them, chosen by a hash of their names."""
    kept = [clip for clip in clips if in_half(name(clip), half)]
    ranked = {name(clip) for clip in sorted(kept, key=lambda clip: _digest(name(clip)))[:limit]}
    return [clip for clip in kept if name(clip) in ranked]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "replace")).digest()


def _by_coverage(
    clips: Sequence[Captioned], captions: Mapping[str, Mapping[str, str]], needed: Collection[str] = ()
) -> dict[tuple[Captioned, ...], list[str]]:
    """Systems by the clips, one or more, that they and all of the `needed` systems have captions of."""
    found: dict[tuple[Captioned, ...], list[str]] = {}
    for system in captions:
        own = tuple(clip for clip in clips if all(clip.name in captions[other] for other in (system, *needed)))
        if own:
            found.setdefault(own, []).append(system)
    return found


@dataclass(frozen=True)
class _Scorer:
    """Scores systems on the clips that all of them have captions of."""

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
    """Scores of systems on the clips of a group that each has captions of; systems without any are left out.

    Args:
        clips: the group. CIDEr-D's document frequencies are those of the references of its clips, and for a system that has
            captions of some of them, of those.
        captions: for each system its caption of each clip, by the clip's name.
        measures: keys of `evaluation.measures.MEASURES`.
        seed: of the resamples.

    Returns:
        For each system its scores by measure, in the order of `captions`.
    """
    scorer = _Scorer(captions, measures, seed)
    found: dict[str, dict[str, Score]] = {}
    for own, systems in _by_coverage(clips, captions).items():
        found |= dict(zip(systems, scorer.score(own, systems), strict=True))
    return {system: found[system] for system in captions if system in found}


@dataclass(frozen=True)
class Pairing:
    """A system beside a peer, on the clips that both have captions of.

    Attributes:
        num_clips: how many these are.
        differences: system less peer, by measure.
        cider_d_ratio: system's CIDEr-D divided by the peer's; no value where the peer's is 0.
    """

    num_clips: int
    differences: dict[str, Comparison]
    cider_d_ratio: Score


def ratio(first: Score, second: Score) -> Score:
    """First corpus value divided by the second, with the interval of the paired resamples' ratios.

    Without a value, or with an infinite one, there is none; without resamples, or where one of the second's is 0, no interval.
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
    """Every other system beside the peer; systems that have no clip in common with it are left out.

    Args:
        clips: the group.
        captions: for each system, the peer included, its caption of each clip, by the clip's name.
        peer: name of the peer.
        measures: keys of `evaluation.measures.MEASURES`, cider_d among them.
        seed: of the resamples.
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
    """Share of hits, 0 to 1; no value for none at all."""
    values = np.asarray(hits, dtype=np.float64)
    if len(values) == 0:
        return Score(None)
    return as_score(mean_result(values, draw_resamples(len(values), NUM_RESAMPLES, seed)))


def mean_rate(rates: Sequence[Score]) -> Score:
    """Mean of rates of different clips, each weighing the same; each is resampled within its own clips.

    The rates must come of different seeds, or collections of one size would be resampled alike.
    """
    values = [score.value for score in rates if score.value is not None]
    if not values or len(values) < len(rates):
        return Score(None)
    # A collection of one clip has no resamples: its value stands as it is.
    columns = [
        np.full(NUM_RESAMPLES, value) if score.resampled is None else score.resampled
        for value, score in zip(values, rates, strict=True)
    ]
    return as_score(MeasureResult(float(np.mean(values)), np.zeros(0), np.mean(columns, axis=0)))


def difference(first: Score, second: Score) -> Score:
    """First less second, both of the same clips and resamples; no value where one has none."""
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
    """Rates of N captions of clips with one label (single) or two (mixtures)."""
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
    """AudioSet classes, 0 to 526, that a clip's labels stand for, the main class of the first first; empty for unknown ones."""
    main = tags_of_any(labels[0])[:1] if labels else ()
    if not main:
        return ()
    others = [number for label in labels for number in (*tags_of_any(label), *classes_of(label))]
    return tuple(dict.fromkeys([*main, *others]))


@dataclass(frozen=True)
class LabelRates:
    """Rates of captions of labelled clips.

    Attributes:
        num_clips: clips whose label stands for a class.
        named: share of them whose caption names the label's main class.
        only: share whose caption names it, and has no clause about sounds that are not the label's; wide classes, which most
            animals or vehicles share, do not make two sounds one.
    """

    num_clips: int
    named: Score
    only: Score


def judge_labelled(labels: Sequence[tuple[str, ...]], captions: Sequence[str], seed: int = 0) -> LabelRates:
    """Rates of N captions; clips whose labels stand for no class are left out.

    Args:
        labels: labels of each clip.
        captions: caption of each clip.
        seed: of the resamples; another one for each collection.
    """
    named: list[bool] = []
    only: list[bool] = []
    for own, caption in zip(labels, captions, strict=True):
        if classes := label_classes(own):
            narrow = set(classes) - wide_tags() or set(classes)
            named.append(classes[0] in classes_of(caption))
            only.append(named[-1] and not unsupported_clauses(caption, narrow))
    return LabelRates(len(named), rate(named, seed), rate(only, seed))

"""Which of several captions fits best what the tagger hears.

Beam search flees to sentences that are safe rather than right, and a whole beam may leave out what is heard best, where people
hardly ever wrote of such a sound: sentences of ours for it can stand beside the found ones. A caption is ranked by its
log-probability a token, by how much of what the tagger surely hears it names (coverage), by how surely the tagger hears what it
names (support), and by how much it says what the other candidates say (consensus; minimum Bayes risk: Kumar, Byrne, HLT-NAACL
2004).

Shapes: C tag classes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from configs.schema import DecodingConfig
from vocabulary.audioset import wide_tags
from vocabulary.turns import parts_of
from vocabulary.words import class_captions, classes_of, sources_in

SAMENESS = 1.0  # what a caption loses that has all its words in common with one before it
ODD = 0.5  # nats a token by which a found caption may be less probable than the most probable one without being odd
LEAST_DELAY = 0.25  # thirds of a clip by which what follows has to be heard later
MIN_SCORE = 1e-3  # what the tagger hears no better than this is not heard at all


@dataclass(frozen=True)
class Fit:
    """How well a caption fits the tags.

    Attributes:
        coverage: share, 0 to 1, of the strong tags' scores that the caption names; 1 where there is no strong tag.
        support: mean natural logarithm of the score of each thing that the caption names, at most 0; the logarithm of
            MIN_SCORE for a caption that names nothing.
    """

    coverage: float
    support: float


def fit_to_tags(caption: str, scores: Tensor, strong: float) -> Fit:
    """How well a caption fits tag scores.

    Args:
        caption: text in lower case.
        scores: (C,) probabilities of the tags, the highest of the whole clip and its parts.
        strong: probability from which a tag ought to be named, unless it is a wide one.
    """
    values = scores.tolist()  # a caption's few numbers are read faster from a list
    named, wide = set(classes_of(caption)), wide_tags()
    loud = [number for number, value in enumerate(values) if value >= strong and number not in wide]
    total = sum(values[number] for number in loud)
    coverage = sum(values[number] for number in loud if number in named) / total if loud else 1.0
    heard = [max(MIN_SCORE, *(values[number] for number in classes)) for classes in sources_in(caption)] or [MIN_SCORE]
    return Fit(coverage, math.fsum(map(math.log, heard)) / len(heard))


def doubtful_order(caption: str, thirds: Tensor) -> float:
    """Share, 0 to 1, of the steps in time that a caption tells ("then", "before", "after") which the tags do not bear out.

    When a thing is heard is the mean third of its best heard class, weighted by the class's scores. A step from a class to
    itself ("idles and then revs up") cannot be judged and counts as borne out, and so does one to what names no class.

    Args:
        caption: text in lower case.
        thirds: (3, C) probabilities of the tags in the thirds of the clip.
    """
    turns: dict[int, list[int]] = {}
    for turn, part in parts_of(caption):
        turns.setdefault(turn, []).extend(classes_of(part))
    steps = doubts = 0
    for earlier, later in pairwise(sorted(turns)):
        steps += 1
        if turns[earlier] and turns[later]:
            first, second = (int(thirds[:, turns[turn]].amax(dim=0).argmax()) for turn in (earlier, later))
            first, second = turns[earlier][first], turns[later][second]
            delay = _heard_at(thirds[:, second]) - _heard_at(thirds[:, first])
            doubts += first != second and delay < LEAST_DELAY
    return doubts / steps if steps else 0.0


def _heard_at(scores: Tensor) -> float:
    """Mean third, 0 to 2, of a tag's scores (3,)."""
    start, middle, end = scores.tolist()
    return (middle + 2 * end) / max(start + middle + end, MIN_SCORE)


def ranks_by_tags(decoding: DecodingConfig) -> bool:
    """Whether captions are ranked by tags at all."""
    return decoding.coverage_weight > 0 or decoding.support_weight > 0


def captions_of_unnamed(captions: Sequence[str], scores: Tensor, least: float) -> tuple[str, ...]:
    """Sentences of ours (`class_captions`) for the class that is heard best of those that no caption names.

    Args:
        captions: what was found, in lower case.
        scores: (C,) probabilities of the tags.
        least: probability from which a tag has to be heard; wide classes and those that have no sentence do not count.
    """
    values = scores.tolist()  # a few numbers are read faster from a list
    named = {number for caption in captions for number in classes_of(caption)} | wide_tags()
    heard = [number for number in class_captions() if values[number] >= least and number not in named]
    return class_captions()[max(heard, key=values.__getitem__)] if heard else ()


@dataclass(frozen=True)
class Candidate:
    """A caption to be ranked.

    Attributes:
        text: in lower case.
        log_probability: of the whole caption, natural.
        num_tokens: its tokens, the end token included.
        handicap: what its log-probability a token loses before it is compared.
        ours: a sentence of ours, which the decoder may find improbable and is no odd one for that.
    """

    text: str
    log_probability: float
    num_tokens: int
    handicap: float = 0.0
    ours: bool = False


def consensus(candidates: Sequence[Candidate]) -> list[float]:
    """Mean likeness, 0 to 1, of each caption to all candidates, itself among them, weighted by the roots of their probabilities.

    Likeness is the F-score of shared words and pairs of neighbouring words. The roots flatten the weights: a few beams hold
    little of all that could be said.
    """
    counts = [Counter(words := candidate.text.split()) + Counter(pairwise(words)) for candidate in candidates]
    log_probabilities = torch.tensor([candidate.log_probability for candidate in candidates])
    weights = torch.softmax(log_probabilities / 2, dim=0).tolist()

    def likeness(one: Counter[Any], other: Counter[Any]) -> float:
        return 2 * (one & other).total() / max(1, one.total() + other.total())

    return [sum(w * likeness(own, other) for w, other in zip(weights, counts, strict=True)) for own in counts]


def rank(
    candidates: Sequence[Candidate],
    scores: Tensor | None,
    decoding: DecodingConfig,
    word_weight: float = 0.0,
    thirds: Tensor | None = None,
) -> list[int]:
    """Numbers of candidates, the best first; with tags, each next one is the best that also differs from those before it.

    The latter is maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) over shared words.

    Args:
        candidates: captions of one clip.
        scores: (C,) tag probabilities, or None without a tagger.
        decoding: its `coverage_weight`, `support_weight`, `order_weight`, `consensus_weight`, `odd_weight` and `strong_tag`.
        word_weight: what each word adds: `decoding.word_weight` of the captions' style.
        thirds: (3, C) tag probabilities in the thirds of the clip, where `order_weight` is not 0.
    """
    per_token = [candidate.log_probability / candidate.num_tokens for candidate in candidates]
    values = [own - candidate.handicap for own, candidate in zip(per_token, candidates, strict=True)]
    if scores is None:
        return sorted(range(len(candidates)), key=lambda number: -values[number])
    usual = max(per_token, default=0.0)
    for number, candidate in enumerate(candidates):
        fit = fit_to_tags(candidate.text, scores, decoding.strong_tag)
        values[number] += decoding.coverage_weight * fit.coverage + decoding.support_weight * fit.support
        values[number] += word_weight * len(candidate.text.split())
        if thirds is not None:
            values[number] -= decoding.order_weight * doubtful_order(candidate.text, thirds)
        if not candidate.ours:
            values[number] -= decoding.odd_weight * max(0.0, usual - per_token[number] - ODD)
    if decoding.consensus_weight:
        for number, agreed in enumerate(consensus(candidates)):
            values[number] += decoding.consensus_weight * agreed
    captions = [candidate.text for candidate in candidates]
    words = [frozenset(caption.split()) for caption in captions]
    order: list[int] = []
    likest = [0.0] * len(captions)  # the greatest share of words that a caption has in common with one before it
    while len(order) < len(captions):
        left = [number for number in range(len(captions)) if number not in order]
        order.append(max(left, key=lambda number: values[number] - SAMENESS * likest[number]))
        for number in left:
            shared = len(words[number] & words[order[-1]]) / max(1, len(words[number] | words[order[-1]]))
            likest[number] = max(likest[number], shared)
    return order

"""Which of several captions fits the tag scores of a clip best.

Beam search favours sentences that are safe rather than right. Candidates are ranked anew by their log-probability per token, by
how much of the strong tags' scores they name (coverage), and by their expected similarity to reference captions retrieved for
the tag scores (minimum Bayes risk: Kumar, Byrne, HLT-NAACL 2004; `models/generation/retrieval.py`). Candidates that
name a sound which the tagger does not hear rank behind all others.

Shapes: C tag classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from configs.schema import DecodingConfig
from models.generation.logits_processors import PEOPLE
from vocabulary.audioset import wide_tags
from vocabulary.words import KEPT, classes_of, sources_in

STRONG_TAG = 0.3  # score from which a tag ought to be named
SAMENESS = 1.0  # what a caption loses that has all its words in common with one before it
SCORE_FLOOR = 1e-3  # lower scores count as this one


@dataclass(frozen=True)
class Fit:
    """How well a caption fits the tags.

    Attributes:
        coverage: share, 0 to 1, of the strong tags' scores that the caption names; 1 where there is no strong tag.
        support: mean natural logarithm of the score of each thing that the caption names, at most 0; the logarithm of
            SCORE_FLOOR for a caption that names nothing.
    """

    coverage: float
    support: float


def fit_to_tags(caption: str, scores: Tensor, strong: float = STRONG_TAG) -> Fit:
    """How well a caption fits tag scores.

    Args:
        caption: text in lower case.
        scores: (C,) probabilities of the tags, the highest of the whole clip and its parts.
        strong: probability from which a tag ought to be named, unless it is a wide one.
    """
    values = scores.tolist()  # single numbers are read faster from a list
    support = [max(SCORE_FLOOR, *(values[number] for number in classes)) for classes in sources_in(caption)]
    support = support or [SCORE_FLOOR]
    return Fit(_coverage(caption, values, strong), math.fsum(map(math.log, support)) / len(support))


def _coverage(caption: str, scores: Sequence[float], strong: float) -> float:
    """Share, 0 to 1, of the strong tags' scores that a caption names."""
    named, wide = set(classes_of(caption)), wide_tags()
    loud = [number for number, value in enumerate(scores) if value >= strong and number not in wide]
    total = sum(scores[number] for number in loud)
    return sum(scores[number] for number in loud if number in named) / total if loud else 1.0


@lru_cache(maxsize=KEPT)
def named_sounds(caption: str) -> tuple[tuple[int, ...], ...]:
    """The classes of each sound that a caption in lower case names.

    A word for people ("a boy") is no sound: any sound of people allows it, which the search sees to (`SupportedWords`).
    """
    return sources_in(" ".join(word for word in caption.split() if word not in PEOPLE or not classes_of(word)))


def lowest_support(caption: str, scores: Sequence[float]) -> float:
    """Score of the sound that the tags support least of those that a caption names; 1 for a caption that names none.

    Args:
        caption: text in lower case.
        scores: (C,) probabilities of the tags; a sound has the highest of its classes.
    """
    return min((max(scores[number] for number in classes) for classes in named_sounds(caption)), default=1.0)


def ranks_by_tags(decoding: DecodingConfig) -> bool:
    """Whether candidates are ranked by tags at all."""
    tags = decoding.tags
    return tags.coverage_weight > 0 or tags.min_score > 0 or tags.consensus_weight > 0


def asks_tagger(decoding: DecodingConfig) -> bool:
    """Whether the search or the ranking needs tag scores."""
    return decoding.tags.word_bonus > 0 or ranks_by_tags(decoding)


@dataclass(frozen=True)
class Candidate:
    """A caption to be ranked.

    Attributes:
        text: in lower case.
        log_probability: of the whole caption, natural.
        num_tokens: its tokens, the end token included.
    """

    text: str
    log_probability: float
    num_tokens: int


def rank(
    candidates: Sequence[Candidate],
    tag_scores: Tensor | None,
    decoding: DecodingConfig,
    expected: Sequence[float] | None = None,
) -> list[int]:
    """Numbers of candidates, the best first; with tags, each next one is the best that also differs from those before it.

    The latter is maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) over shared words. Candidates that name a sound
    below `decoding.tags.min_score` come last, the best supported of them first.

    Args:
        candidates: captions of one clip.
        tag_scores: (C,) probabilities of the tags, the highest of the whole clip and its parts; None without a tagger.
        decoding: its `tags`.
        expected: (N,) expected similarity, 0 to 10, of each candidate to retrieved captions; None for none.
    """
    values = [candidate.log_probability / candidate.num_tokens for candidate in candidates]
    if tag_scores is None:
        return sorted(range(len(candidates)), key=lambda number: -values[number])
    scores, weights = tag_scores.tolist(), decoding.tags  # single numbers are read faster from a list
    for number, candidate in enumerate(candidates):
        values[number] += weights.coverage_weight * _coverage(candidate.text, scores, STRONG_TAG)
        if expected is not None:
            values[number] += weights.consensus_weight * expected[number]
    support = [lowest_support(candidate.text, scores) for candidate in candidates]
    supported = [number for number, value in enumerate(support) if value >= weights.min_score]
    others = [number for number, value in enumerate(support) if value < weights.min_score]
    others.sort(key=lambda number: (-support[number], -values[number]))
    return _diverse([candidate.text for candidate in candidates], values, supported) + others


def _diverse(captions: Sequence[str], values: Sequence[float], numbers: Sequence[int]) -> list[int]:
    """Numbers of captions, each the best by its value less the share of words that it has in common with one before it."""
    words = [frozenset(caption.split()) for caption in captions]
    left, order = list(numbers), list[int]()
    most_shared = [0.0] * len(captions)
    while left:
        order.append(max(left, key=lambda number: values[number] - SAMENESS * most_shared[number]))
        left.remove(order[-1])
        for number in left:
            shared = len(words[number] & words[order[-1]]) / max(1, len(words[number] | words[order[-1]]))
            most_shared[number] = max(most_shared[number], shared)
    return order

"""Re-ranking of candidate captions by the tag scores of a clip.

Beam search favours generic captions. Candidates are re-ranked by their log-probability per token, by the share of
the high tag scores that they name (coverage), and by their expected similarity to reference captions retrieved for
the tag scores (minimum Bayes risk: Kumar, Byrne, HLT-NAACL 2004; `generation/retrieval.py`). Candidates that
name a sound with low tag scores rank last.

Shapes: C tag classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from configs.schema import DecodingConfig
from generation.logits_processors import PEOPLE
from vocabulary.audioset import wide_tags
from vocabulary.words import KEPT, classes_of, sources_in

STRONG_TAG = 0.3  # score from which a tag should be named
SAMENESS = 1.0  # penalty of a caption with the same words as an earlier one
SCORE_FLOOR = 1e-3  # lower bound of tag scores


@dataclass(frozen=True)
class Fit:
    """Agreement of a caption with the tag scores.

    Attributes:
        coverage: share, 0 to 1, of the scores of strong tags that the caption names; 1 if there is no strong tag.
        support: mean natural logarithm of the scores of the sounds that the caption names, at most 0; log(SCORE_FLOOR) if it
            names none.
    """

    coverage: float
    support: float


def fit_to_tags(caption: str, scores: NDArray[np.float32], strong: float = STRONG_TAG) -> Fit:
    """Compute the agreement of a caption with tag scores.

    Args:
        caption: text in lower case.
        scores: (C,) tag scores, the maximum over the clip and its parts.
        strong: score from which a tag should be named, unless it is a wide class.
    """
    values = scores.tolist()  # lists are faster for single values
    support = [max(SCORE_FLOOR, *(values[number] for number in classes)) for classes in sources_in(caption)]
    support = support or [SCORE_FLOOR]
    return Fit(_coverage(caption, values, strong), math.fsum(map(math.log, support)) / len(support))


def _coverage(caption: str, scores: Sequence[float], strong: float) -> float:
    """Share, 0 to 1, of the scores of strong tags that a caption names."""
    named, wide = set(classes_of(caption)), wide_tags()
    loud = [number for number, value in enumerate(scores) if value >= strong and number not in wide]
    total = sum(scores[number] for number in loud)
    return sum(scores[number] for number in loud if number in named) / total if loud else 1.0


@lru_cache(maxsize=KEPT)
def named_sounds(caption: str) -> tuple[tuple[int, ...], ...]:
    """Classes of each sound that a caption in lower case names.

    Words for people ("a boy") do not count as sounds; the search handles them (`SupportedWords`).
    """
    return sources_in(" ".join(word for word in caption.split() if word not in PEOPLE or not classes_of(word)))


def lowest_support(caption: str, scores: Sequence[float]) -> float:
    """Lowest score of the sounds that a caption names; 1 if it names none.

    Args:
        caption: text in lower case.
        scores: (C,) tag scores; the score of a sound is the maximum over its classes.
    """
    return min((max(scores[number] for number in classes) for classes in named_sounds(caption)), default=1.0)


def ranks_by_tags(decoding: DecodingConfig) -> bool:
    """Whether candidates are ranked by tag scores."""
    tags = decoding.tags
    return tags.coverage_weight > 0 or tags.min_score > 0 or tags.consensus_weight > 0


def asks_tagger(decoding: DecodingConfig) -> bool:
    """Whether the search or the ranking needs tag scores."""
    return decoding.tags.word_bonus > 0 or ranks_by_tags(decoding)


@dataclass(frozen=True)
class Candidate:
    """A caption to rank.

    Attributes:
        text: caption in lower case.
        log_probability: natural log-probability of the caption.
        num_tokens: number of tokens, including the end token.
    """

    text: str
    log_probability: float
    num_tokens: int


def rank(
    candidates: Sequence[Candidate],
    tag_scores: NDArray[np.float32] | None,
    decoding: DecodingConfig,
    expected: Sequence[float] | None = None,
) -> list[int]:
    """Rank candidates, best first; with tag scores, later ones are also chosen to differ from earlier ones.

    The latter is maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998) over shared words. Candidates that name a sound
    below `decoding.tags.min_score` rank last, ordered by support.

    Args:
        candidates: captions of one clip.
        tag_scores: (C,) tag scores, the maximum over the clip and its parts; None without a tagger.
        decoding: decoding settings, of which `tags` is used.
        expected: (N,) expected similarities, 0 to 10, to retrieved captions; None for none.

    Returns:
        Indices of candidates.
    """
    values = [candidate.log_probability / candidate.num_tokens for candidate in candidates]
    if tag_scores is None:
        return sorted(range(len(candidates)), key=lambda number: -values[number])
    scores, weights = tag_scores.tolist(), decoding.tags  # lists are faster for single values
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
    """Order indices by value minus the largest share of words in common with an earlier caption."""
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

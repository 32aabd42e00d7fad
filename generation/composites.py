"""Candidates made of two short captions, for combinations of sounds that no training caption has.

A decoder rarely combines sounds that are not combined in its training captions: for a siren and a hen, all beams may name one
of them only. Most strong tags have a short caption among the candidates and references; pairs of these, joined, become
candidates. The decoder's log-probability and the ranking decide whether they are used.

Shapes: C tag classes.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from generation.rerank import STRONG_TAG
from vocabulary.audioset import wide_tags
from vocabulary.words import classes_of, sources_in

MOST_TAGS = 4  # maximum number of tags, those with the highest scores
MOST_WORDS = 6  # maximum length of a joined caption, in words
LATER = 0.5  # minimum delay of a sound that is said to follow another, in thirds of a clip


def join_short_captions(captions: Sequence[str], part_scores: NDArray[np.float32]) -> list[str]:
    """Join pairs of short captions, each naming one sound or two next to each other, for a clip's strongest tags.

    Args:
        captions: captions in lower case, most likely first.
        part_scores: (4, C) tag scores of the whole clip and its thirds.
    """
    values, wide = part_scores.max(axis=0).tolist(), wide_tags()  # lists are faster for single values
    strong = [number for number, value in enumerate(values) if value >= STRONG_TAG and number not in wide]
    strong = sorted(strong, key=lambda number: -values[number])[:MOST_TAGS]
    if len(strong) < 2:
        return []
    short = [
        text
        for text in captions
        if len(text.split()) <= MOST_WORDS and len(sources_in(text, at_conjunctions=False)) == 1
    ]
    named = {text: set(classes_of(text)) for text in short}
    chosen = {tag: next((text for text in short if tag in named[text]), None) for tag in strong}
    joined = []
    for one, other in combinations(strong, 2):
        first, second = chosen[one], chosen[other]
        if first is None or second is None or other in named[first] or one in named[second]:
            continue
        delay = _mean_third(part_scores[1:, other]) - _mean_third(part_scores[1:, one])
        if delay < 0:
            first, second = second, first
        joined.append(f"{first} {'and then' if abs(delay) >= LATER else 'and'} {second}")
    return joined


def _mean_third(scores: NDArray[np.float32]) -> float:
    """Mean position of a sound, 0 to 2 thirds, from its scores (3,) in the thirds."""
    start, middle, end = scores.tolist()
    return (middle + 2 * end) / max(start + middle + end, 1e-6)

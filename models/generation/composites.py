"""Candidates that join two short captions, for clips of sounds that no training caption has together.

A decoder finds pairs of sounds that people wrote of; of a clip with a siren and a hen every beam may name one alone. Most
strong tags have a short caption among the candidates and the retrieved references, and two of them joined are a candidate too.
The decoder's own probability and the ranking decide whether it is taken.

Shapes: C tag classes.
"""

from collections.abc import Sequence
from itertools import combinations

from torch import Tensor

from models.generation.rerank import STRONG_TAG
from vocabulary.audioset import wide_tags
from vocabulary.words import classes_of, sources_in

MOST_TAGS = 4  # strongest tags that are looked at
MOST_WORDS = 6  # of a caption that is joined
LATER = 0.5  # thirds of a clip by which a sound has to come later to be said to follow


def join_short_captions(captions: Sequence[str], part_scores: Tensor) -> list[str]:
    """Pairs of short captions, each naming one sound, of a clip's strongest tags.

    Args:
        captions: in lower case, the likeliest first.
        part_scores: (4, C) probabilities of the tags in the whole clip and its thirds.
    """
    values, wide = part_scores.amax(dim=0).tolist(), wide_tags()  # single numbers are read faster from a list
    strong = [number for number, value in enumerate(values) if value >= STRONG_TAG and number not in wide]
    strong = sorted(strong, key=lambda number: -values[number])[:MOST_TAGS]
    if len(strong) < 2:
        return []
    short = [text for text in captions if len(text.split()) <= MOST_WORDS and len(sources_in(text)) == 1]
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


def _mean_third(scores: Tensor) -> float:
    """Mean third, 0 to 2, in which a tag with scores (3,) sounds."""
    start, middle, end = scores.tolist()
    return (middle + 2 * end) / max(start + middle + end, 1e-6)

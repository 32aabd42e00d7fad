"""Sounds and speakers that a caption names but no reference does: CHAIR, applied to sounds instead of objects in images.

CHAIR's per-sentence value (Rohrbach et al. 2018, arXiv 1809.02156) is the share of captions that name an absent object. Here
words are mapped to AudioSet classes (`vocabulary.words`), and the classes named by any reference count as present.
"""

from collections.abc import Collection, Sequence
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from vocabulary.audioset import wide_tags
from vocabulary.speakers import speakers_in
from vocabulary.turns import parts_of
from vocabulary.words import classes_of


def unsupported_clauses(caption: str, classes: Collection[int]) -> list[str]:
    """Clauses of a caption that name sounds, none of them among given classes.

    Conjunctions such as "and", "while" and "followed by" separate clauses (`vocabulary.turns.parts_of`). All words of one
    clause describe one event, so a clause is supported if one of its classes is given: "food sizzling in a frying
    pan" names the pan too, but is supported by sizzling alone. A clause whose classes are all wide ones (`wide_tags`: a
    place, noise, an animal of any kind) names no particular sound and counts as supported.

    Args:
        caption: caption in any letter case.
        classes: AudioSet classes, 0 to 526. A wide class supports every clause that has it (Animal supports "a dog barks"
            and "a bird sings"); leave wide classes out to compare only narrow ones.
    """
    found = []
    for _turn, clause in parts_of(caption):
        named = set(classes_of(clause))
        if not named <= wide_tags() and named.isdisjoint(classes):
            found.append(clause.strip())
    return found


def invented(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Whether each caption names a sound that none of its references names.

    Args:
        candidates: N captions, unchanged.
        references: reference captions of each, unchanged.

    Returns:
        (N,) float64: 1 if at least one clause is unsupported by the classes of all its references, else 0.
    """
    values = []
    for candidate, group in zip(candidates, references, strict=True):
        classes = {number for reference in group for number in classes_of(reference)}
        values.append(float(bool(unsupported_clauses(candidate, classes))))
    return np.array(values, dtype=np.float64)


def wrong_speakers(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Whether each caption names a man, a woman or a child who speaks where the references name only others.

    `invented` does not notice these errors, since every one of them is speech.

    Args:
        candidates: N captions, unchanged.
        references: reference captions of each, unchanged.

    Returns:
        (N,) float64: 1 if the caption names a speaker that no reference names, and a reference names another one; else 0.
    """
    values = []
    for candidate, group in zip(candidates, references, strict=True):
        known = reduce(or_, (speakers_in(reference.lower()) for reference in group), 0)
        values.append(float(known > 0 and speakers_in(candidate.lower()) & ~known > 0))
    return np.array(values, dtype=np.float64)

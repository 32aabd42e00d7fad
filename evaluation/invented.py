"""Sounds that a caption names and no reference does: CHAIR, transferred from the objects of images to sounds.

CHAIR's per-sentence value (Rohrbach et al. 2018, arXiv 1809.02156) is the share of captions that name an object which is not
there. Here words stand for AudioSet classes (`vocabulary.words`), and what is there is what the references name together.
"""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from vocabulary.audioset import wide_tags
from vocabulary.turns import parts_of
from vocabulary.words import classes_of


def unsupported_clauses(caption: str, classes: Collection[int]) -> list[str]:
    """Clauses of a caption that name sounds, none of them among given classes.

    Conjunctions such as "and", "while" and "followed by" separate clauses (`vocabulary.turns.parts_of`). All words of one
    clause describe one event, so a clause is supported as soon as one of its classes is given: "food sizzling in a frying
    pan" names the pan too, but is supported by sizzling alone. A clause whose classes are all wide ones (`wide_tags`: a
    place, noise, an animal of any kind) names no particular sound and counts as supported.

    Args:
        caption: the caption, in any case.
        classes: AudioSet classes, 0 to 526. A wide class among them supports every clause that has it ("a dog barks" is an
            animal, as a bird is); leave wide classes out to have the narrow ones compared alone.
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
        candidates: N captions, as they were written.
        references: for each of them its references, as they were written.

    Returns:
        (N,) values, 1 where at least one clause is unsupported by the classes of all references together, else 0.
    """
    values = []
    for candidate, group in zip(candidates, references, strict=True):
        classes = {number for reference in group for number in classes_of(reference)}
        values.append(float(bool(unsupported_clauses(candidate, classes))))
    return np.array(values, dtype=np.float64)

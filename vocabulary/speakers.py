"""Speakers that captions name: a man, a woman or a child."""

from functools import lru_cache

from vocabulary.audioset import tag_ids
from vocabulary.words import KEPT, classes_of

SPEAKERS = ("Male speech, man speaking", "Female speech, woman speaking", "Child speech, kid speaking")
NUM_SETS = 2 ** len(SPEAKERS)


@lru_cache(maxsize=KEPT)
def speakers_in(caption: str) -> int:
    """Set of speakers that a caption in lower case names, 0 to 7: the sum of 1 for a man, 2 for a woman and 4 for a child."""
    classes = classes_of(caption)
    return sum(1 << bit for bit, name in enumerate(SPEAKERS) if tag_ids()[name] in classes)

"""Whether a man, a woman or a child speaks: evidence for the captions of the store.

AudioSet's labels often say only that somebody speaks. Taggers therefore give low scores to male, female and child speech even if
speech is certain, and "a man speaks" and "a woman speaks" often have the same label set. The three scores still differ: with a
prior from the captions, their odds give the probability of each speaker by Bayes' rule.

Shapes: M captions of the store, C tag classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vocabulary.audioset import tag_ids
from vocabulary.words import classes_of

SPEAKERS = ("Male speech, man speaking", "Female speech, woman speaking", "Child speech, kid speaking")
NUM_SETS = 2 ** len(SPEAKERS)
IN_SET = np.arange(NUM_SETS)[:, None] >> np.arange(len(SPEAKERS)) & 1  # (8, 3): speakers of a set, one bit each


def named_speakers(captions: Sequence[str]) -> NDArray[np.uint8]:
    """Set of speakers, 0 to 7, that each of M captions in lower case names: 1 for a man, 2 for a woman, 4 for a child."""
    own = [tag_ids()[name] for name in SPEAKERS]
    found = np.zeros(len(captions), dtype=np.uint8)
    for row, caption in enumerate(captions):
        classes = classes_of(caption)
        found[row] = sum(1 << bit for bit, number in enumerate(own) if number in classes)
    return found


class SpeakerEvidence:
    """How well each set of speakers fits a clip.

    Args:
        sets: (M,) uint8 sets of speakers that the store's captions name.
    """

    def __init__(self, sets: NDArray[np.uint8]) -> None:
        counts = np.bincount(sets, minlength=NUM_SETS) @ IN_SET + 1  # no prior is 0
        self._log_priors = np.log(counts / counts.sum())
        self._classes = np.array([tag_ids()[name] for name in SPEAKERS])

    def __call__(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-likelihood (8,), at most 0, of each set of speakers.

        It is the sum, over the speakers of the set, of the logarithm of the ratio of posterior and prior probability where that
        is below 0: a speaker who is less probable than usual counts against a caption, while the most probable one is no
        evidence for a caption, since nobody may be speaking.

        Args:
            logits: (C,) tag logits of the whole clip.
        """
        own = logits[self._classes]
        joint = self._log_priors + own
        ratios = own - (joint.max() + np.log(np.exp(joint - joint.max()).sum()))  # log of posterior over prior
        return IN_SET @ np.minimum(ratios, 0.0)

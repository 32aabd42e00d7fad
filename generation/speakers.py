"""Whether a man, a woman or a child speaks: evidence for the captions of the store.

AudioSet's labels often say only that somebody speaks. Taggers therefore give low scores to male, female and child speech even if
speech is certain, and "a man speaks" and "a woman speaks" often have the same label set. The three scores still differ: their
odds, with a prior from the captions, give the probability of each speaker by Bayes' rule.

Shapes: M captions of the store, C tag classes.
"""

import numpy as np
from numpy.typing import NDArray

from vocabulary.audioset import tag_ids
from vocabulary.speakers import NUM_SETS, SPEAKERS

MEMBERS = np.arange(NUM_SETS)[:, None] >> np.arange(len(SPEAKERS)) & 1  # (8, 3): the speakers of each set, one bit each


class SpeakerEvidence:
    """How well each set of speakers fits a clip.

    Args:
        sets: (M,) uint8, the set of speakers that each caption of the store names (`vocabulary.speakers.speakers_in`).
    """

    def __init__(self, sets: NDArray[np.uint8]) -> None:
        counts = np.bincount(sets, minlength=NUM_SETS) @ MEMBERS + 1  # no prior is 0
        self._log_priors = np.log(counts / counts.sum())
        self._classes = np.array([tag_ids()[name] for name in SPEAKERS])

    def __call__(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-likelihood (8,), at most 0, of each set of speakers.

        It is the sum over the speakers of a set of log(posterior / prior probability), where that is below 0: speakers who are
        less probable than usual count against a caption. A probable speaker is no evidence for a caption, since perhaps
        nobody speaks.

        Args:
            logits: (C,) tag logits of the whole clip.
        """
        own = logits[self._classes]
        ratios = own - np.logaddexp.reduce(self._log_priors + own)
        return MEMBERS @ np.minimum(ratios, 0.0)

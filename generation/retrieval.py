"""Training captions whose label sets fit a clip's tag scores, as references for minimum Bayes risk decoding.

Beam search finds the most probable caption, which is often worded unusually or names too much. Minimum Bayes risk decoding
(Kumar, Byrne, HLT-NAACL 2004) selects the candidate with the highest expected similarity to other plausible captions. Here these
are human captions of clips with similar labels: retrieval as in RECAP (Ghosh et al., ICASSP 2024, arXiv
2309.09836) and DRCap (Li et al., arXiv 2410.09472), but by the tagger's classes, so that no audio is needed to fill the store.

A clip with the label set L has the log-likelihood, up to a constant and with classes taken as independent, sum over c in L of
(logit_c - prior_c). SHARPNESS compensates for dependent classes (Vehicle, Car, Engine). PRIOR_LOGIT is the prior of
all classes but speech and music, which about half of AudioSet's clips have (Gemmeke et al., ICASSP 2017), so that taggers score
them highly. Speakers, whom label sets often leave out, are further evidence (`generation/speakers.py`).

The similarity is CIDEr-D's (Vedantam et al., CVPR 2015, arXiv 1411.5726): cosine of TF-IDF vectors of 1- to 4-grams and a
Gaussian penalty of the lengths' difference, without its clipping of repeated n-grams.

Shapes: M captions of the store, K retrieved ones, N candidates, C tag classes.
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import CheckpointError
from generation.speakers import SpeakerEvidence
from vocabulary.audioset import tag_ids
from vocabulary.speakers import NUM_SETS, speakers_in

NUM_REFERENCES = 300  # K
SHARPNESS = 0.5
PRIOR_LOGIT = -1.0
COMMON_CLASSES, COMMON_PRIOR_LOGIT = ("Speech", "Music"), 0.0
BUCKETS = 2**18  # n-grams are counted by a hash of their words
LONGEST_NGRAM = 4
LENGTH_SIGMA = 6.0  # words
LOWEST_SCORE = 1e-6
KEPT_VECTORS = 16384  # of about a kilobyte each

SPEAKERS_TENSOR = "speakers"  # stores of version 0.2 have none
TENSORS = {
    "text": np.dtype(np.uint8),
    "text_ends": np.dtype(np.int64),
    "classes": np.dtype(np.int16),
    "class_ends": np.dtype(np.int64),
    "styles": np.dtype(np.uint8),
    SPEAKERS_TENSOR: np.dtype(np.uint8),
    "document_frequencies": np.dtype(np.int32),
}


@dataclass(frozen=True)
class NgramVector:
    """TF-IDF vector of a caption's n-grams, normalised for each n.

    Attributes:
        buckets: (G,) int64 hash buckets, ascending.
        weights: (G,) float32 weights.
        num_words: number of words.
    """

    buckets: NDArray[np.int64]
    weights: NDArray[np.float32]
    num_words: int


@dataclass(frozen=True)
class References:
    """Captions retrieved for one clip, most probable first.

    Attributes:
        captions: K normalised captions.
        vectors: TF-IDF vectors of the captions.
        weights: (K,) float32 posterior probabilities, which sum to 1.
    """

    captions: tuple[str, ...]
    vectors: tuple[NgramVector, ...]
    weights: NDArray[np.float32]


def count_buckets(words: Sequence[str]) -> list[Counter[int]]:
    """Counts of a caption's hashed n-grams for each n from 1 to 4; the hash is CRC-32 of the words, joined by spaces."""
    first, later = [word.encode() for word in words], [f" {word}".encode() for word in words]
    hashes = [zlib.crc32(word) for word in first]
    found = [Counter([value % BUCKETS for value in hashes])]
    for n in range(2, LONGEST_NGRAM + 1):  # each n-gram's hash continues that of its first n - 1 words
        hashes = [zlib.crc32(word, value) for word, value in zip(later[n - 1 :], hashes, strict=False)]
        found.append(Counter([value % BUCKETS for value in hashes]))
    return found


class CaptionStore:
    """A store of captions with label sets.

    Args:
        tensors: tensors created by `build`: text (bytes) uint8 and text_ends (M,) int64 of the captions in UTF-8; classes int16
            and class_ends (M,) int64 of their label sets; styles (M,) uint8; speakers (M,) uint8, the
            speakers that each caption names (`vocabulary.speakers`); document_frequencies (BUCKETS,) int32.

    Raises:
        CheckpointError: a tensor is missing, or tensors are inconsistent.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        _check_kinds(tensors)
        self._text, self._text_ends = tensors["text"], tensors["text_ends"]
        self._classes, class_ends = tensors["classes"].astype(np.int64), tensors["class_ends"]
        self._styles, frequencies = tensors["styles"], tensors["document_frequencies"]
        speakers = tensors.get(SPEAKERS_TENSOR, self._styles)  # those of older stores are found below
        ends = ((self._text_ends, len(self._text)), (class_ends, len(self._classes)))
        if (
            not len(self) == len(class_ends) == len(self._styles) == len(speakers) > 0
            or len(frequencies) != BUCKETS
            or any(bool((np.diff(own, prepend=0) <= 0).any()) or own[-1] != size for own, size in ends)
        ):
            raise CheckpointError("the caption store's tensors do not fit each other: copy the checkpoint again.")
        self._check_values(frequencies, tensors.get(SPEAKERS_TENSOR))
        if SPEAKERS_TENSOR not in tensors:
            speakers = np.array([speakers_in(self.caption(row)) for row in range(len(self))], dtype=np.uint8)
        self.tensors = {**tensors, SPEAKERS_TENSOR: speakers}
        self._speakers, self._speaker_evidence = speakers, SpeakerEvidence(speakers)
        self._class_starts = np.concatenate([[0], class_ends[:-1]])
        self._idf = (np.log(len(self)) - np.log(np.maximum(1, frequencies))).tolist()  # single numbers are read faster
        self.vector = lru_cache(maxsize=KEPT_VECTORS)(self._vector)  # the same captions are retrieved for similar clips

    def __len__(self) -> int:
        return len(self._text_ends)

    def _check_values(self, frequencies: NDArray[np.int32], speakers: NDArray[np.uint8] | None) -> None:
        """Validate values that would otherwise cause errors during captioning."""
        begins = self._text[np.concatenate([[0], self._text_ends[:-1]])]  # first byte of each caption
        try:
            self._text.tobytes().decode("utf-8")
            whole = not ((begins & 0xC0) == 0x80).any()  # no caption starts within a character
        except UnicodeDecodeError:
            whole = False
        if not whole:
            raise CheckpointError("the caption store's text is not UTF-8: copy the checkpoint again.")
        num_classes = len(tag_ids())
        if self._classes.min() < 0 or self._classes.max() >= num_classes:
            raise CheckpointError(
                f"the caption store has the classes {self._classes.min()} to {self._classes.max()}, expected 0 to "
                f"{num_classes - 1}: copy the checkpoint again."
            )
        if speakers is not None and speakers.max() >= NUM_SETS:
            raise CheckpointError(
                f"the caption store has the set of speakers {speakers.max()}, expected 0 to {NUM_SETS - 1}: "
                "copy the checkpoint again."
            )
        if frequencies.min() < 0 or frequencies.max() > len(self):
            raise CheckpointError(
                f"the caption store counts an n-gram in {frequencies.min()} to {frequencies.max()} of {len(self)} captions: "
                "copy the checkpoint again."
            )

    @classmethod
    def build(cls, captions: Sequence[str], classes: Sequence[Sequence[int]], styles: Sequence[int]) -> "CaptionStore":
        """Build a store of normalised captions with label sets and style numbers; captions without labels are omitted."""
        rows = [row for row, labels in enumerate(classes) if len(labels) and captions[row]]
        if not rows:
            raise ValueError("no caption with a label for the caption store: give tables of captions that name sounds.")
        texts = [captions[row].encode() for row in rows]
        frequencies = np.zeros(BUCKETS, dtype=np.int32)
        for row in rows:
            frequencies[[bucket for counts in count_buckets(captions[row].split()) for bucket in counts]] += 1
        return cls(
            {
                "text": np.frombuffer(b"".join(texts), dtype=np.uint8).copy(),
                "text_ends": np.cumsum([len(text) for text in texts], dtype=np.int64),
                "classes": np.array([label for row in rows for label in classes[row]], dtype=np.int16),
                "class_ends": np.cumsum([len(classes[row]) for row in rows], dtype=np.int64),
                "styles": np.array([styles[row] for row in rows], dtype=np.uint8),
                SPEAKERS_TENSOR: np.array([speakers_in(captions[row]) for row in rows], dtype=np.uint8),
                "document_frequencies": frequencies,
            }
        )

    def caption(self, row: int) -> str:
        """Text of the caption with index `row`, 0 to M - 1."""
        start = int(self._text_ends[row - 1]) if row else 0
        return bytes(self._text[start : int(self._text_ends[row])]).decode()

    def has_style(self, style: int) -> bool:
        """Return whether the store contains captions of a style."""
        return bool((self._styles == style).any())

    def retrieve(self, tag_scores: NDArray[np.float32], style: int) -> References:
        """Retrieve the captions whose label sets and speakers are most probable for a clip's tag scores.

        Args:
            tag_scores: (C,) tag scores of the whole clip.
            style: style number of the captions.
        """
        scores = np.clip(tag_scores.astype(np.float64), LOWEST_SCORE, 1 - LOWEST_SCORE)
        logits = np.log(scores) - np.log1p(-scores)  # (C,)
        gains = logits - _prior_logits()
        likelihoods = SHARPNESS * np.add.reduceat(gains[self._classes], self._class_starts)  # (M,)
        likelihoods += self._speaker_evidence(logits)[self._speakers]
        likelihoods[self._styles != style] = -np.inf
        number = min(NUM_REFERENCES, len(likelihoods))
        least = np.partition(likelihoods, -number)[-number]
        rows = np.flatnonzero(likelihoods >= least)  # ten times as fast as sorting all rows
        rows = rows[np.argsort(-likelihoods[rows], kind="stable")][:number]
        rows = rows[np.isfinite(likelihoods[rows])]
        weights = np.exp(likelihoods[rows] - likelihoods[rows].max())
        captions = tuple(self.caption(int(row)) for row in rows)
        return References(
            captions,
            tuple(map(self.vector, captions)),
            (weights / weights.sum()).astype(np.float32),
        )

    def expected_similarity(self, candidates: Sequence[str], references: References) -> list[float]:
        """Weighted mean CIDEr-D similarity, 0 to 10, of each of N normalised candidates to the references."""
        if not candidates:
            return []
        vectors = [self.vector(candidate) for candidate in candidates]
        used = np.unique(np.concatenate([vector.buckets for vector in vectors]))
        own, others = _dense(vectors, used), _dense(references.vectors, used)  # (N, G), (K, G)
        lengths = np.array([vector.num_words for vector in vectors])[:, None]
        away = lengths - np.array([vector.num_words for vector in references.vectors])[None, :]  # (N, K)
        likeness = 10 / LONGEST_NGRAM * (own @ others.T) * np.exp(-(away**2) / (2 * LENGTH_SIGMA**2))
        return [float(value) for value in likeness @ references.weights]

    def _vector(self, caption: str) -> NgramVector:
        """TF-IDF vector of a normalised caption; unknown n-grams are weighted as if seen once."""
        words = caption.split()
        found: list[tuple[int, float]] = []
        for counts in count_buckets(words):
            values = [count * self._idf[bucket] for bucket, count in counts.items()]
            norm = max(math.hypot(*values), 1e-9)
            found += [(bucket, value / norm) for bucket, value in zip(counts, values, strict=True)]
        found.sort(key=itemgetter(0))
        buckets = np.array([bucket for bucket, _ in found], dtype=np.int64)
        return NgramVector(buckets, np.array([value for _, value in found], dtype=np.float32), len(words))


def _check_kinds(tensors: Mapping[str, NDArray[Any]]) -> None:
    if set(tensors) | {SPEAKERS_TENSOR} != set(TENSORS):
        raise CheckpointError(
            f"the caption store has {', '.join(sorted(tensors))[:200] or 'nothing'}: expected {', '.join(TENSORS)}."
        )
    for name, tensor in tensors.items():
        kind = TENSORS[name]
        if tensor.dtype != kind or tensor.ndim != 1:
            raise CheckpointError(
                f"the caption store's {name} has the type {tensor.dtype} and {tensor.ndim} dimensions, expected {kind} and 1: "
                "copy the checkpoint again."
            )


@cache
def _prior_logits() -> NDArray[np.float64]:
    """Prior log-odds (C,) of the classes."""
    priors = np.full(len(tag_ids()), PRIOR_LOGIT)
    priors[[tag_ids()[name] for name in COMMON_CLASSES]] = COMMON_PRIOR_LOGIT
    return priors


def _dense(vectors: Sequence[NgramVector], used: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights (V, G) of V vectors at the ascending buckets `used` (G,); other buckets are dropped."""
    dense = np.zeros((len(vectors), len(used)), dtype=np.float32)
    if len(used) == 0:  # no candidate has a word
        return dense
    rows = np.repeat(np.arange(len(vectors)), [len(vector.buckets) for vector in vectors])
    buckets = np.concatenate([vector.buckets for vector in vectors])
    columns = np.minimum(np.searchsorted(used, buckets), len(used) - 1)
    known = used[columns] == buckets
    np.add.at(dense, (rows[known], columns[known]), np.concatenate([vector.weights for vector in vectors])[known])
    return dense

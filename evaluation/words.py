"""Words of captions: vocabulary and frequent words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.captions import normalize_caption

# Function words, which lists of frequent words omit. Words of place (near, behind, outside) are not among them, since captions
# differ in them.
FUNCTION_WORDS = frozenset(
    {
        *("a", "an", "the", "this", "that", "some", "their", "them", "they", "it", "its", "there"),
        *("is", "are", "was", "were", "be", "been", "being", "has", "have"),
        *(
            "after",
            "and",
            "as",
            "at",
            "by",
            "for",
            "from",
            "in",
            "into",
            "of",
            "on",
            "or",
            "out",
            "then",
            "to",
            "which",
            "while",
        ),
        *("who", "with"),
    }
)


@dataclass(frozen=True)
class WordShare:
    """Frequency of a word.

    Attributes:
        word: word in lower case.
        predicted: share of predictions that contain it, 0 to 1.
        referenced: share of references that contain it, 0 to 1.
    """

    word: str
    predicted: float
    referenced: float


def words_of(caption: str) -> list[str]:
    """Words of a caption in lower case, without punctuation."""
    return normalize_caption(caption).split()


def vocabulary(captions: Iterable[str]) -> set[str]:
    """Set of words in captions."""
    return {word for caption in captions for word in words_of(caption)}


def frequent_words(candidates: Sequence[str], references: Sequence[Sequence[str]], count: int = 20) -> list[WordShare]:
    """Most frequent content words of predictions and references, by the larger share.

    Args:
        candidates: N predicted captions.
        references: references of each.
        count: number of words.
    """
    flat = [reference for group in references for reference in group]
    predicted, referenced = _document_counts(candidates), _document_counts(flat)
    shares = [
        WordShare(word, predicted[word] / max(1, len(candidates)), referenced[word] / max(1, len(flat)))
        for word in (predicted | referenced)
        if word not in FUNCTION_WORDS
    ]
    return sorted(shares, key=lambda share: (-max(share.predicted, share.referenced), share.word))[:count]


def _document_counts(captions: Iterable[str]) -> Counter[str]:
    return Counter(word for caption in captions for word in set(words_of(caption)))

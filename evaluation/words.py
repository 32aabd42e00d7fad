"""Words of captions: how long, how many different ones, which most often."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.captions import normalize_caption

# What joins the words that say something; left out where frequent words are listed. Words of place
# (near, behind, outside) stay, since captions differ in them.
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
    """How common a word is.

    Attributes:
        word: the word.
        predicted: share of the clips whose prediction has it, 0 to 1.
        referenced: share of all references that have it, 0 to 1.
    """

    word: str
    predicted: float
    referenced: float


def words_of(caption: str) -> list[str]:
    """Words of a caption, normalised (lower case, no punctuation)."""
    return normalize_caption(caption).split()


def vocabulary(captions: Iterable[str]) -> set[str]:
    """Different words of captions."""
    return {word for caption in captions for word in words_of(caption)}


def frequent_words(candidates: Sequence[str], references: Sequence[Sequence[str]], count: int = 20) -> list[WordShare]:
    """The most common content words of either side, commonest first (by the larger share).

    Args:
        candidates: N predicted captions.
        references: for each of them its references.
        count: words to list.
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

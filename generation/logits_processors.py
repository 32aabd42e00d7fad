"""Rules for the next token (`generation.engine.Rule`): no repeated content words, tag bonuses, unsupported words.

Labbé et al. (CoNeTTE, arXiv 2309.00454) ban repeated content words in beam search and report that fluency errors fall
from a few per cent to about 0.1 %.
"""

import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from generation.engine import Array, Arrays
from vocabulary.audioset import speech_tags, tag_ids
from vocabulary.words import classes_of

HUMAN_TAGS = tuple(range(tag_ids()["Animal"]))  # the first classes in AudioSet's order
MUSIC_TAGS = (tag_ids()["Music"],)
MUSIC = frozenset(("music", "band", "orchestra"))  # not "tune" or "song", which people and birds can have too
PEOPLE = frozenset(
    """man men woman women male males female females adult adults people boy boys girl girls guy lady""".split()  # noqa: SIM905
)
# English function words, numerals, and words that often occur more than once in a caption.
FUNCTION_WORDS = frozenset(
    """a about above across after again against along also although among an and another any are around as at away back be
    because been before behind being below between both but by can could did do does down during each either every few for
    from further get gets go goes had has have he her here him his how however i if in inside into is it its itself just
    like many may more most much near no nor not now of off on once one ones only onto or other others out outside over
    own past same several she so some such than that the their them then there these they this those three through time
    times to together too toward towards twice two under until up upon very was we were what when where which while who
    with within without would you""".split()  # noqa: SIM905 - a list of 150 strings is no easier to read
)


class WordTable:
    """The word that each token of a tokenizer starts or continues.

    Args:
        tokenizer: sub-word tokenizer; "▁" or "Ġ" marks the start of a word, or "##" its continuation.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        word_piece = any(token.startswith("##") for token in vocabulary)
        special = {token_id for token_id, added in tokenizer.get_added_tokens_decoder().items() if added.special}
        self.starts: list[bool] = [False] * (max(vocabulary.values()) + 1)
        self.texts: list[str] = [""] * len(self.starts)
        for token, token_id in vocabulary.items():
            starts = not token.startswith("##") if word_piece else token[:1] in ("▁", "Ġ")
            self.starts[token_id] = starts or token_id in special
            self.texts[token_id] = "" if token_id in special else token.removeprefix("##").lstrip("▁Ġ").lower()

    def split(self, token_ids: list[int]) -> list[list[int]]:
        """Group token ids into words."""
        words: list[list[int]] = []
        for token_id in token_ids:
            if self.starts[token_id] or not words:
                words.append([])
            words[-1].append(token_id)
        return words

    def is_content(self, word: list[int]) -> bool:
        """Whether a word may not be repeated."""
        text = "".join(self.texts[token_id] for token_id in word)
        return text.isalpha() and text not in FUNCTION_WORDS


class UnsupportedWordBan:
    """Forbids tokens that the tag scores of a clip do not support.

    Args:
        banned: (P, V) bool, tokens that are forbidden after each of P prefixes.
        arrays: operations on the arrays of the search.
    """

    def __init__(self, banned: NDArray[np.bool_], arrays: Arrays) -> None:
        self.arrays = arrays
        self.penalty = arrays.array(np.where(banned, np.float32(-np.inf), np.float32(0.0)))

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        """Set scores (R, V) of forbidden next tokens to minus infinity; R is a multiple of P, with adjacent rows of a prefix."""
        return scores + self.arrays.repeat(self.penalty, len(scores) // len(self.penalty))

    def select(self, prefixes: Array) -> "UnsupportedWordBan":
        """Return the ban for a subset of the prefixes, given by their indices (P',)."""
        selected = copy.copy(self)
        selected.penalty = self.penalty[prefixes]
        return selected


class NamedClasses:
    """AudioSet classes of the word that each token begins.

    Args:
        words: word table of the decoder's tokenizer.
        num_tokens: number of next tokens V, at least that of the tokenizer; None for that of the tokenizer.

    Attributes:
        main: (V,) int64, main class of each token; C (the number of classes) if it names none.
        all: (V, K) int64, all classes of each token, padded with C.
    """

    MOST = 6

    def __init__(self, words: WordTable, num_tokens: int | None = None) -> None:
        num_classes = len(tag_ids())
        self.main = np.full(num_tokens or len(words.texts), num_classes, dtype=np.int64)
        self.all = np.full((len(self.main), self.MOST), num_classes, dtype=np.int64)
        for token_id, starts in enumerate(words.starts):
            if starts and words.texts[token_id] and (classes := classes_of(words.texts[token_id])[: self.MOST]):
                self.main[token_id] = classes[0]
                self.all[token_id, : len(classes)] = classes


class TagBonus:
    """Bonus for words of tags that a hypothesis has not named yet.

    Args:
        bonus: (P, C) float32 bonus of a word of each class for each of P prefixes, in nats.
        named: classes of the tokens.
        arrays: operations on the arrays of the search.
    """

    def __init__(self, bonus: NDArray[np.float32], named: NamedClasses, arrays: Arrays) -> None:
        self.arrays = arrays
        self.bonus = arrays.array(np.pad(bonus, ((0, 0), (0, 1))))  # no bonus for tokens without a class
        self.main, self.all = arrays.array(named.main), arrays.array(named.all)

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        """Add the bonus to scores (R, V) after hypotheses (R, L); R is a multiple of P, with adjacent rows of a prefix."""
        bonus = self.arrays.repeat(self.bonus, len(scores) // len(self.bonus))  # (R, C + 1)
        bonus = self.arrays.zeroed(bonus, self.all[input_ids].reshape(len(scores), -1))
        return scores + bonus[:, self.main]

    def select(self, prefixes: Array) -> "TagBonus":
        """Return the bonus for a subset of the prefixes, given by their indices (P',)."""
        selected = copy.copy(self)
        selected.bonus = self.bonus[prefixes]
        return selected


class SupportedWords:
    """Words for people, speech and music, which are allowed only with sufficient tag scores.

    Training captions mention people and background music often, and decoders trained on them do so without evidence. Words for
    people need a score of any human sound, words for speech one of any kind of speech, words for music one of music. Other
    sounds are checked in whole captions (`generation.rerank.lowest_support`), since the classes of a single word are
    ambiguous ("an old door creaks").

    Args:
        words: word table of the decoder's tokenizer.
        named: classes of its tokens.
    """

    def __init__(self, words: WordTable, named: NamedClasses) -> None:
        begins = [token_id for token_id, starts in enumerate(words.starts) if starts]
        people = [token_id for token_id in begins if words.texts[token_id] in PEOPLE]
        speech = [token_id for token_id in begins if int(named.main[token_id]) in speech_tags()]
        self.num_tokens = len(named.main)
        self.groups = (
            (people, HUMAN_TAGS),
            (sorted(set(speech) - set(people)), tuple(speech_tags())),
            ([token_id for token_id in begins if words.texts[token_id] in MUSIC], MUSIC_TAGS),
        )

    def unsupported(self, scores: NDArray[np.float32], min_score: float) -> NDArray[np.bool_]:
        """Mask (B, V) of the tokens whose tags all have scores (B, C) below `min_score`."""
        enough = scores >= min_score  # (B, C)
        banned = np.zeros((len(scores), self.num_tokens), dtype=np.bool_)
        for token_ids, tags in self.groups:
            banned[:, token_ids] |= ~enough[:, list(tags)].any(axis=1, keepdims=True)
        return banned


@dataclass(frozen=True)
class SearchRules:
    """Rules of a search for each of P prefixes.

    Attributes:
        banned: (P, V) bool, forbidden tokens; None allows all.
        bonus: (P, C) float, bonus of each class's words (`TagBonus`), in nats; None for none.
    """

    banned: NDArray[np.bool_] | None = None
    bonus: NDArray[np.float32] | None = None

    def of(self, rows: slice) -> "SearchRules":
        """Rules of some of the prefixes."""
        return SearchRules(
            None if self.banned is None else self.banned[rows], None if self.bonus is None else self.bonus[rows]
        )


class ContentWordBan:
    """Forbids each token that would complete a content word the caption already has.

    Args:
        words: word table of the decoder's tokenizer.
        arrays: operations on the arrays of the search.
    """

    def __init__(self, words: WordTable, arrays: Arrays) -> None:
        self.words, self.arrays = words, arrays
        self._content: dict[tuple[int, ...], bool] = {}  # the same words recur in each step of a search

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        """Set the scores (R, V) of forbidden next tokens of each hypothesis (R, L) to minus infinity."""
        banned = [(row, token) for row, ids in enumerate(input_ids.tolist()) for token in self._banned(ids)]
        if not banned:
            return scores
        rows, tokens = zip(*banned, strict=True)
        return self.arrays.put(scores, rows, tokens, -np.inf)

    def select(self, prefixes: Array) -> "ContentWordBan":
        """Return itself: it is the same for all prefixes."""
        return self

    def _is_content(self, word: list[int]) -> bool:
        key = tuple(word)
        if key not in self._content:
            self._content[key] = self.words.is_content(word)
        return self._content[key]

    def _banned(self, token_ids: list[int]) -> list[int]:
        words = self.words.split(token_ids)
        banned = []
        for word in words:
            if not self._is_content(word):
                continue
            if len(word) == 1 or len(self.words.texts[word[0]]) >= 3:
                banned.append(
                    word[0]
                )  # a long first piece is forbidden as a whole: forbidding its end would leave part of a word
            elif word[:-1] == words[-1]:
                banned.append(word[-1])
        return banned

"""Captions told in the simple present: "a dog barks as birds chirp", not "a dog is barking with birds chirping".

Whoever wrote AudioCaps' validation captions tells most of them so (63 of a hundred have no verb in -ing and no "is"), but of
its training captions only 28 of a hundred are. A manner that is to be like the former is learnt from these, and from
others told anew where each part of the caption is plain enough. Which words are subjects, and which verbs there are, is read
off the captions.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from data.caption_texts import TextClip, sources_of
from data.captions import normalize_caption

ATTESTED = 3  # how often a verb's third person, or a subject before "is" or "are", is seen before it is believed
SUBJECT_SHARE = 0.02  # of all times that a subject is seen it stands before "is" or "are" so often at least

_BE = frozenset({"is", "are", "was", "were", "be", "been", "being"})
_NO_PARTICIPLE = re.compile(
    r"[^aeiouy]*ing"  # ring, sing, king
    r"|during|(?:some|any|no|every)thing|buildings?|lightning|ceiling|evening|morning|clothing|crossing|wedding"
)
_NO_SUBJECT = re.compile(r"an?|the|one|another|some|several|multiple|many|two|three|of|in|by|to|on|from|at")
_JOINS = re.compile(
    r"(?P<noun>,? (?:and )?(?:then )?(?:is |are )?(?:immediately |closely |shortly )?followed"
    r"(?: immediately| closely| shortly)? by|,? (?:along )?with)"
    r"|,? (?:while|as|before)|(?P<same>,? and then|,? then|,? and|,)"
)
_PAIRS = re.compile(r"\b(?:an? |the )?(\w+) and (?:an? |the |another )?(\w+) (?=(?:are |is )?(?:\w+ly )?\w+ing\b)")
_NOT_PLAIN = re.compile(r"[^a-z', -]|\bbeing\b|\b(?:sound|noise)s? of\b|ing (?:sound|noise)s?\b")


def is_adverb(word: str) -> bool:
    """Whether a word in lower case is an adverb in -ly."""
    return word.endswith("ly") and word not in ("fly", "family")


def is_participle(word: str) -> bool:
    """Whether a word in lower case is a verb's form in -ing."""
    return word.endswith("ing") and not _NO_PARTICIPLE.fullmatch(word)


def is_simple(words: Iterable[str]) -> bool:
    """Whether words in lower case have no verb in -ing and no form of "be"."""
    return not any(word in _BE or is_participle(word) for word in words)


def third_person(verb: str) -> str:
    """The third person singular of a verb's base form: buzz, buzzes; cry, cries; bark, barks."""
    if re.search(r"(?:s|x|z|ch|sh|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


class Retelling:
    """Tells captions in the simple present.

    Args:
        captions: which words are subjects, of one or of many, and which verbs there are is learnt from them.
    """

    def __init__(self, captions: Iterable[str]) -> None:
        self._words: Counter[str] = Counter()
        is_or_are: dict[str, Counter[str]] = {"is": Counter(), "are": Counter()}
        for caption in captions:
            words = normalize_caption(caption).split()
            self._words.update(words)
            for word, be in pairwise(words):
                if be in is_or_are:
                    is_or_are[be][word] += 1
        self._plural = {
            word: is_or_are["are"][word] > is_or_are["is"][word]
            for word, seen in (is_or_are["is"] + is_or_are["are"]).items()
            if seen >= max(ATTESTED, SUBJECT_SHARE * self._words[word])
            and not (_NO_SUBJECT.fullmatch(word) or is_adverb(word) or is_participle(word))
        }
        verbs = {self._base(word) for word in self._words if is_participle(word)} - {""}
        self._finite = {third_person(verb) for verb in verbs}
        self._forms = {False: self._finite | {"is"}, True: verbs | {"are"}}

    def __call__(self, caption: str) -> str | None:
        """A caption in the simple present, in lower case; None where a part of it is not plain enough."""
        text = " ".join(caption.lower().strip(" .").split()).replace(" ,", ",")
        if _NOT_PLAIN.search(text):
            return None
        pairs = [m.span() for m in _PAIRS.finditer(text) if m[1] in self._plural and m[2] in self._plural]
        told, plural, start, noun = "", None, 0, False
        joins = [m for m in _JOINS.finditer(text) if text[m.end() :].startswith(" ")]
        joins = [m for m in joins if not any(first < m.start() < last for first, last in pairs)]
        for join in [*joins, None]:
            end = join.start() if join else len(text)
            clause, plural = self._clause(text[start:end].split(), plural, noun)
            if clause is None:
                return None
            told += clause
            if join:
                start, noun = join.end(), bool(join["noun"])
                plural = plural if join["same"] else None  # "before barking" has no subject to be told with
                told += join[0] if not noun else " and then" if "followed" in join[0] else " as"
                told += " "
        return told

    def is_clause(self, caption: str) -> bool:
        """Whether a caption has a known subject with a verb in the present: "dogs often bark", not "a bark" or "dogs barking"."""
        words = [word for word in normalize_caption(caption).split() if not is_adverb(word)]
        return any(
            subject in self._plural and verb in self._forms[self._plural[subject]] for subject, verb in pairwise(words)
        )

    def _base(self, participle: str) -> str:
        """The verb of a participle, by whose third person is seen most; empty for none."""
        stem = participle[:-3]
        options = [stem, stem + "e"] + ([stem[:-1]] if stem[-2:-1] == stem[-1:] else [])
        best = max(options, key=lambda option: self._words[third_person(option)])
        return best if self._words[third_person(best)] >= ATTESTED else ""

    def _clause(self, words: Sequence[str], plural: bool | None, noun: bool) -> tuple[str | None, bool | None]:
        """A part in the simple present, or None, and whether its subject is many, or None where that is not known.

        Args:
            words: of the part.
            plural: of the part before.
            noun: whether the part stands where only a noun may: "with birds chirp" is no caption.
        """
        for at, word in enumerate(words):
            before = at
            while before and (is_adverb(words[before - 1]) or words[before - 1] in ("is", "are")):
                before -= 1
            if is_participle(word) and (before == 0 or before < at or words[before - 1] in self._plural):
                break
        else:
            finite = not noun and is_simple(words) and any(word in self._finite for word in words)
            return (" ".join(words) if finite else None), None
        be = {"is", "are"} & set(words[before:at])
        adverbs, rest = [word for word in words[before:at] if is_adverb(word)], words[at + 1 :]
        many = plural if before == 0 else self._plural.get(words[before - 1])  # "and growling": as the last subject
        if be or "and" in words[:before]:
            many = "are" in be or "and" in words[:before]
        verb = self._base(words[at])
        plain = is_simple([*words[:before], *rest]) and not (rest and rest[0] in self._finite)  # "crumpling occurs"
        if not verb or many is None or not plain:
            return None, None
        return " ".join([*words[:before], *adverbs, verb if many else third_person(verb), *rest]), many


def tell_simply(texts: Sequence[TextClip], retelling: Retelling, style: str) -> list[TextClip]:
    """Captions in the simple present where they are or can be told so; the others in a manner of their own.

    Args:
        texts: people's captions of one manner.
        retelling: how to tell them.
        style: manner of those that cannot be told so.
    """
    told = []
    for text in texts:
        if not is_simple(normalize_caption(text.captions[0]).split()):
            caption = retelling(text.captions[0]) or ""
            text = replace(text, captions=(caption,)) if sources_of(caption) else replace(text, style=style)
        told.append(text)
    return told

"""Classification of captions as clauses ("a dog barks") or phrases ("a dog barking", "a bark").

Only a clause can follow "while". Subject nouns, singular or plural, and verbs are learned from captions: a noun is a subject if
it precedes "is" or "are", and a word in -ing is a participle if the third person of its verb also occurs.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from data.captions import normalize_caption

ATTESTED = 3  # minimum occurrences of a verb's third person, or of a subject before "is" or "are"
SUBJECT_SHARE = 0.02  # minimum fraction of a subject's occurrences that precede "is" or "are"

_NO_PARTICIPLE = re.compile(
    r"[^aeiouy]*ing"  # ring, sing, king
    r"|during|(?:some|any|no|every)thing|buildings?|lightning|ceiling|evening|morning|clothing|crossing|wedding"
)
_DROPPED_E = re.compile(r"(?:[cvu]|[^z]z|[^rwaeioul]l|[^aeiouls]s|[^aeiou][aeiou]s|[dlrao]g|[^eo]at)$")
_ENDS_IN_E = frozenset(
    [
        "become", "breathe", "cascade", "change", "collide", "combine", "create", "decrease", "erase", "escape",
        "examine", "exhale", "explode", "feature", "ignite", "include", "increase", "inhale", "operate", "precede",
        "prepare", "provide", "recede", "release", "resume", "square",
    ]
)  # fmt: skip
_NO_SUBJECT = re.compile(r"an?|the|one|another|some|several|multiple|many|two|three|of|in|by|to|on|from|at")


def is_adverb(word: str) -> bool:
    """Return whether a lower-case word is an adverb in -ly."""
    return word.endswith("ly") and word not in ("fly", "family")


def is_participle(word: str) -> bool:
    """Return whether a lower-case word is a participle in -ing."""
    return word.endswith("ing") and not _NO_PARTICIPLE.fullmatch(word)


def base_form(participle: str) -> str:
    """Return the base form of a participle by English spelling rules: barking, bark; humming, hum; idling, idle; typing, type.

    A consonant is doubled after a short stressed vowel; a single consonant there means that an "e" was dropped. For longer
    verbs the stress is unknown: the base form ends in a consonant unless a common ending or _ENDS_IN_E implies an "e".
    """
    stem = participle[:-3]
    if re.search(r"([bdgkmnprtv])\1$", stem) and stem != "purr":
        return stem[:-1]
    short = re.fullmatch(r"(?:qu|[^aeiou])*[aeiouy][^aeiouwxy]", stem)
    return stem + "e" if short or _DROPPED_E.search(stem) or stem + "e" in _ENDS_IN_E else stem


def third_person(verb: str) -> str:
    """Return the third person singular of a verb: buzz, buzzes; cry, cries; bark, barks."""
    if re.search(r"(?:s|x|z|ch|sh|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


class ClauseDetector:
    """Classifier of captions as clauses or phrases.

    Args:
        captions: captions from which subjects and verbs are learned.
    """

    def __init__(self, captions: Iterable[str]) -> None:
        self._words: Counter[str] = Counter()
        before_be: dict[str, Counter[str]] = {"is": Counter(), "are": Counter()}
        for caption in captions:
            words = normalize_caption(caption).split()
            self._words.update(words)
            for word, be in pairwise(words):
                if be in before_be:
                    before_be[be][word] += 1
        self._is_plural = {
            word: before_be["are"][word] > before_be["is"][word]
            for word, count in (before_be["is"] + before_be["are"]).items()
            if count >= max(ATTESTED, SUBJECT_SHARE * self._words[word])
            and not (_NO_SUBJECT.fullmatch(word) or is_adverb(word) or is_participle(word))
        }
        verbs = {self._base_form(word) for word in self._words if is_participle(word)} - {""}
        self._present = {False: {third_person(verb) for verb in verbs} | {"is"}, True: verbs | {"are"}}

    def __call__(self, caption: str) -> bool:
        """Return whether a known subject precedes a verb in the present tense ("dogs often bark", not "dogs barking")."""
        words = [word for word in normalize_caption(caption).split() if not is_adverb(word)]
        return any(
            subject in self._is_plural and verb in self._present[self._is_plural[subject]]
            for subject, verb in pairwise(words)
        )

    def _base_form(self, participle: str) -> str:
        """Return the base form of a participle whose third person is most frequent; empty if none occurs ATTESTED times."""
        stem = participle[:-3]
        options = [stem, stem + "e"] + ([stem[:-1]] if stem[-2:-1] == stem[-1:] else [])
        best = max(options, key=lambda option: self._words[third_person(option)])
        return best if self._words[third_person(best)] >= ATTESTED else ""

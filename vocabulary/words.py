"""AudioSet classes named by the words of a caption or label (`sound_words.yaml`)."""

import re
from functools import cache, lru_cache
from pathlib import Path

import yaml

from vocabulary.audioset import named_tags

KEPT = 8192  # cached results per function; bounded, since live captioning runs for hours
NEAR_CHARACTERS = 10  # maximum distance between the starts of words that name one source
BETWEEN_SOURCES = re.compile(r"\b(?:and|as|while|then|with|over|before|after|during|followed by)\b|,")


@cache
def _rows() -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Words and classes of each row of `sound_words.yaml`."""
    text = Path(__file__).with_name("sound_words.yaml").read_text(encoding="utf-8")
    rows: list[tuple[str, tuple[int, ...]]] = []
    for family in yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)).values():
        for words, classes in family.items():
            rows.append((words, named_tags(classes)))
    return tuple(rows)


@cache
def _pattern(number: int) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{expand(_rows()[number][0])})\b")


def expand(words: str) -> str:
    """Convert a row of `sound_words.yaml` to a regular expression."""
    return words.replace(" .. ", r"\b.{0,25}?\b").replace("*", r"\w*")


def beginnings(words: str) -> frozenset[str]:
    """Prefixes of all texts that a row of `sound_words.yaml` can match; an empty string if there is no fixed prefix.

    Args:
        words: row, or part of a row.
    """
    found: set[str] = set()
    for part in _alternatives(words):
        letters = re.split(r"\W", part, maxsplit=1)[0]
        rest = part[len(letters) :]
        if letters:
            found.add(letters[:-1] if rest.startswith("?") else letters)
        elif part.startswith("("):
            end = _closing(part)
            inner, behind = part[1:end], part[end + 1 :]
            if inner.startswith("?"):  # look-ahead and look-behind are not matched
                found |= beginnings(behind)
            else:
                found |= beginnings(inner)
                found |= beginnings(behind[1:]) if behind.startswith("?") else set()
        else:
            found.add("")
    return frozenset(found)


def _alternatives(words: str) -> list[str]:
    """Parts separated by "|" outside brackets."""
    depth, parts = 0, [""]
    for character in words:
        depth += (character in "([") - (character in ")]")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _closing(words: str) -> int:
    """Index of the bracket that closes the first one."""
    depth = 0
    for place, character in enumerate(words):
        depth += (character in "([") - (character in ")]")
        if depth == 0:
            return place
    raise ValueError(f"a bracket of {words} is not closed.")


@cache
def _rows_by_beginning() -> dict[str, list[int]]:
    """Row indices by prefix of their matches, so that a word is compared with about ten rows instead of all."""
    found: dict[str, list[int]] = {}
    for number, (words, _) in enumerate(_rows()):
        for letters in beginnings(words):
            found.setdefault(letters, []).append(number)
    return found


@lru_cache(maxsize=KEPT)
def _rows_of_word(word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Indices of single-word rows that match a word, and of phrases that can start with it."""
    by_beginning = _rows_by_beginning()
    numbers = {number for end in range(len(word) + 1) for number in by_beginning.get(word[:end], ())}
    phrases = {number for number in numbers if " " in _rows()[number][0]}
    matching = (number for number in sorted(numbers - phrases) if _pattern(number).fullmatch(word))
    return tuple(matching), tuple(sorted(phrases))


def fold_words(words: str) -> str:
    """Convert to lower case with single spaces between words; underscores count as spaces."""
    return " ".join(words.lower().replace("_", " ").split())


@lru_cache(maxsize=KEPT)
def _matches(words: str) -> tuple[tuple[int, int], ...]:
    """(start, row) of all matching rows, ordered by position."""
    text = fold_words(words)
    found: dict[int, int] = {}
    phrases: set[int] = set()
    for word in re.finditer(r"\w+", text):
        rows, beginning = _rows_of_word(word.group())
        phrases.update(beginning)
        for row in rows:
            found.setdefault(row, word.start())
    for row in phrases:
        if match := _pattern(row).search(text):
            found[row] = match.start()
    return tuple(sorted((start, row) for row, start in found.items()))


@lru_cache(maxsize=KEPT)
def classes_of(words: str) -> tuple[int, ...]:
    """AudioSet classes named by words: the main classes of all matching rows in order, then their other classes.

    Args:
        words: caption, part of a caption, or label.
    """
    classes = [_rows()[row][1] for _, row in _matches(words)]
    return tuple(dict.fromkeys([*(main[0] for main in classes), *(other for row in classes for other in row[1:])]))


def main_classes(words: str) -> frozenset[int]:
    """Main classes of all matching rows, without their related classes."""
    return frozenset(_rows()[row][1][0] for _, row in _matches(words))


@lru_cache(maxsize=KEPT)
def sources_in(words: str, at_conjunctions: bool = True) -> tuple[tuple[int, ...], ...]:
    """Classes of each source that words name.

    Rows that match at the same or the next word belong to one source: "a small dog barks" has one source (Dog, Bark ...).

    Args:
        words: caption, or part of a caption.
        at_conjunctions: whether conjunctions and commas separate sources, as in "a dog and a cat".
    """
    groups: list[set[int]] = []
    text, last = fold_words(words), -100
    for start, row in _matches(words):
        classes = set(_rows()[row][1])
        is_near = bool(groups) and start - last <= NEAR_CHARACTERS
        if is_near and not (at_conjunctions and BETWEEN_SOURCES.search(text, last, start)):
            groups[-1] |= classes
        else:
            groups.append(classes)
        last = start
    return tuple(tuple(sorted(group)) for group in groups)

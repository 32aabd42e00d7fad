"""Words for AudioSet's classes: which ones a caption or a label names (`sound_words.yaml`)."""

import re
from functools import cache, lru_cache
from pathlib import Path

import yaml

from vocabulary.audioset import named_tags

KEPT = 8192  # answers of each function that are kept: captions of live sound go on for hours
NEAR_CHARACTERS = 10  # between the beginnings of two words that name one thing


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
    """The regular expression of one row of `sound_words.yaml`."""
    return words.replace(" .. ", r"\b.{0,25}?\b").replace("*", r"\w*")


def beginnings(words: str) -> frozenset[str]:
    """Letters with which all text begins that one row of `sound_words.yaml` matches; an empty string where any may.

    Args:
        words: the row, or a part of it.
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
            if inner.startswith("?"):  # what stands before or behind is looked at without being matched
                found |= beginnings(behind)
            else:
                found |= beginnings(inner)
                found |= beginnings(behind[1:]) if behind.startswith("?") else set()
        else:
            found.add("")
    return frozenset(found)


def _alternatives(words: str) -> list[str]:
    """What stands between "|" outside of brackets."""
    depth, parts = 0, [""]
    for character in words:
        depth += (character in "([") - (character in ")]")
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _closing(words: str) -> int:
    """Where the bracket closes that opens first."""
    depth = 0
    for place, character in enumerate(words):
        depth += (character in "([") - (character in ")]")
        if depth == 0:
            return place
    raise ValueError(f"a bracket of {words} is not closed.")


@cache
def _rows_by_beginning() -> dict[str, list[int]]:
    """Numbers of the rows whose matches begin so: a word is compared with ten rows then, and not with all."""
    found: dict[str, list[int]] = {}
    for number, (words, _) in enumerate(_rows()):
        for letters in beginnings(words):
            found.setdefault(letters, []).append(number)
    return found


@lru_cache(maxsize=KEPT)
def _rows_of_word(word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Numbers of the rows about single words that a word matches, and of the phrases that may begin with it."""
    by_beginning = _rows_by_beginning()
    numbers = {number for end in range(len(word) + 1) for number in by_beginning.get(word[:end], ())}
    phrases = {number for number in numbers if " " in _rows()[number][0]}
    matching = (number for number in sorted(numbers - phrases) if _pattern(number).fullmatch(word))
    return tuple(matching), tuple(sorted(phrases))


def fold_words(words: str) -> str:
    """Words in lower case with one space between them; an underscore parts words too."""
    return " ".join(words.lower().replace("_", " ").split())


@lru_cache(maxsize=KEPT)
def _matches(words: str) -> tuple[tuple[int, int], ...]:
    """(start, row) of each row that matches, by where it does."""
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
    """AudioSet classes that words name, in the order of the words; the main class of each row before its others.

    Args:
        words: a caption, a part of one, or a label.
    """
    classes = [_rows()[row][1] for _, row in _matches(words)]
    return tuple(dict.fromkeys([*(main[0] for main in classes), *(other for row in classes for other in row[1:])]))


def main_classes(words: str) -> frozenset[int]:
    """The main class of every row that matches: what the words say, without what usually goes with it."""
    return frozenset(_rows()[row][1][0] for _, row in _matches(words))


@lru_cache(maxsize=KEPT)
def sources_in(words: str) -> tuple[tuple[int, ...], ...]:
    """The classes of each thing that words name: rows that match at the same or the next word are one thing.

    "A small dog barks" is one (Dog, Bark ...), "a dog and a cat" are two.
    """
    groups: list[set[int]] = []
    last = -100
    for start, row in _matches(words):
        if groups and start - last <= NEAR_CHARACTERS:
            groups[-1].update(_rows()[row][1])
        else:
            groups.append(set(_rows()[row][1]))
        last = start
    return tuple(tuple(sorted(group)) for group in groups)

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
    for family in yaml.safe_load(text).values():
        for words, classes in family.items():
            rows.append((words, named_tags(classes)))
    return tuple(rows)


@cache
def _pattern(number: int) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{expand(_rows()[number][0])})\b")


def expand(words: str) -> str:
    """The regular expression of one row of `sound_words.yaml`."""
    return words.replace(" .. ", r"\b.{0,25}?\b").replace("*", r"\w*")


@lru_cache(maxsize=KEPT)
def _rows_of_word(word: str) -> tuple[int, ...]:
    """Numbers of the rows about single words that a word matches; far fewer words than captions are looked at."""
    return tuple(n for n, (words, _) in enumerate(_rows()) if " " not in words and _pattern(n).fullmatch(word))


@cache
def _phrase_rows() -> tuple[int, ...]:
    return tuple(n for n, (words, _) in enumerate(_rows()) if " " in words)


def fold_words(words: str) -> str:
    """Words in lower case with one space between them; an underscore parts words too."""
    return " ".join(words.lower().replace("_", " ").split())


@lru_cache(maxsize=KEPT)
def _matches(words: str) -> tuple[tuple[int, int], ...]:
    """(start, row) of each row that matches, by where it does."""
    text = fold_words(words)
    found: dict[int, int] = {}
    for word in re.finditer(r"\w+", text):
        for row in _rows_of_word(word.group()):
            found.setdefault(row, word.start())
    for row in _phrase_rows():
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

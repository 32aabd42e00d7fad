"""Words of captions to AudioSet's classes."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.rerank import lowest_support
from vocabulary import words
from vocabulary.audioset import WIDE, tag_ids, tag_names
from vocabulary.words import classes_of, main_classes, sources_in


def names(text: str) -> list[str]:
    return [tag_names()[number] for number in classes_of(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("people talk", "Speech"),
        ("someone speaks", "Speech"),
        ("she says", "Speech"),
        ("a man is speaking", "Male speech, man speaking"),
        ("speech of a woman", "Female speech, woman speaking"),
        ("a rooster crows", "Crowing, cock-a-doodle-doo"),
        ("bells toll in a church", "Church bell"),
        ("waves crash on the shore", "Waves, surf"),
        ("a car honks its horn", "Vehicle horn, car horn, honking"),
        ("an electric drill", "Drill"),
        ("keys jangle", "Keys jangling"),
        ("car_horn", "Vehicle horn, car horn, honking"),
    ],
)
def test_words_name_their_class(text: str, expected: str) -> None:
    assert expected in names(text)


@pytest.mark.parametrize(
    ("text", "not_meant"),
    [
        ("crickets singing at night", "Singing"),
        ("a clap of thunder", "Clapping"),
        ("typing on a keyboard", "Keys jangling"),
        ("a singing bowl is struck", "Singing"),
        ("a man walks", "Male speech, man speaking"),
        ("a scar", "Car"),
    ],
)
def test_like_words_do_not(text: str, not_meant: str) -> None:
    assert not_meant not in names(text)


def test_the_main_class_of_each_row_comes_before_what_goes_with_it() -> None:
    assert names("a dog barks")[:2] == ["Dog", "Bark"]
    assert tag_ids()["Animal"] not in main_classes("a dog barks") and tag_ids()["Dog"] in main_classes("a dog barks")


def test_sources_are_separated_by_the_distance_of_their_words() -> None:
    assert len(sources_in("a small dog barks")) == 1
    assert len(sources_in("a dog barks while the church bells ring")) >= 2
    assert sources_in("something happens") == ()


@pytest.mark.parametrize(
    "text", ["a dog and a cat", "rain, wind", "people speak and wind blows", "a bell with birds", "a dog as it rains"]
)
def test_conjunctions_separate_sources(text: str) -> None:
    assert len(sources_in(text)) == 2
    assert len(sources_in(text, at_conjunctions=False)) == 1


def test_a_sound_beside_a_conjunction_needs_its_own_score() -> None:
    scores = [0.0] * len(tag_ids())
    scores[tag_ids()["Speech"]] = 0.9
    assert lowest_support("people speak and wind blows", scores) == 0.0


def test_every_row_is_one_pattern_and_known_classes() -> None:
    table = yaml.safe_load((Path(words.__file__).parent / "sound_words.yaml").read_text(encoding="utf-8"))
    rows = [(row, classes) for family in table.values() for row, classes in family.items()]
    assert len(rows) > 300 and len({row for row, _ in rows}) == len(rows)
    for row, classes in rows:
        assert all(name.strip() in tag_ids() for name in classes.split(";")), row
    used = {name.strip() for _, classes in rows for name in classes.split(";")}
    assert len(used) > 350
    assert set(WIDE) <= set(tag_names())


def by_every_row(text: str) -> tuple[tuple[int, int], ...]:
    """What `_matches` gives, from comparing all rows with all words."""
    found = {}
    for number, (row, _) in enumerate(words._rows()):
        pattern = re.compile(rf"\b(?:{words.expand(row)})\b")
        if " " in row:
            matches = [match for match in [pattern.search(text)] if match]
        else:
            matches = [word for word in re.finditer(r"\w+", text) if pattern.fullmatch(word.group())]
        if matches:
            found[number] = matches[0].start()
    return tuple(sorted((start, row) for row, start in found.items()))


ROW_WORDS = sorted({word for row, _ in words._rows() for word in re.findall(r"[a-z]+", row)})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(ROW_WORDS), max_size=12))
def test_rows_are_found_by_the_beginnings_of_their_matches(chosen: list[str]) -> None:
    text = " ".join(chosen)
    assert words._matches(text) == by_every_row(text)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("dog*|cats?", {"dog", "cat"}),
        ("bab(y|ies)|(tele)?phones?", {"bab", "tele", "phone"}),
        ("(?<!siren )(wail*|moan*)", {"wail", "moan"}),
        ("(steel|slide) guitar", {"steel", "slide"}),
        ("clap of thunder", {"clap"}),
        ("[ab]c", {""}),
    ],
)
def test_beginnings_of_rows(row: str, expected: set[str]) -> None:
    assert words.beginnings(row) == expected


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert all(0 <= number < 527 for number in classes_of(text))
    assert set(main_classes(text)) <= set(classes_of(text))

"""Words of captions to AudioSet's classes."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

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


def test_things_are_told_apart_by_the_distance_of_their_words() -> None:
    assert len(sources_in("a small dog barks")) == 1
    assert len(sources_in("a dog barks while the church bells ring")) >= 2
    assert sources_in("something happens") == ()


def test_every_row_is_one_pattern_and_known_classes() -> None:
    table = yaml.safe_load((Path(words.__file__).parent / "sound_words.yaml").read_text(encoding="utf-8"))
    rows = [(row, classes) for family in table.values() for row, classes in family.items()]
    assert len(rows) > 300 and len({row for row, _ in rows}) == len(rows)
    for row, classes in rows:
        assert all(name.strip() in tag_ids() for name in classes.split(";")), row
    used = {name.strip() for _, classes in rows for name in classes.split(";")}
    assert len(used) > 350
    assert set(WIDE) <= set(tag_names())


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert all(0 <= number < 527 for number in classes_of(text))
    assert set(main_classes(text)) <= set(classes_of(text))

"""AudioSet's tags and what labels stand for."""

from collections import Counter

import pytest

from data.labelled.caption_templates import phrases
from data.labelled.tags import tags_of, tags_of_any
from vocabulary.audioset import tag_ids, tag_names


def test_the_names_are_audiosets() -> None:
    assert len(tag_names()) == len(set(tag_names())) == 527
    assert (tag_names()[0], tag_names()[74], tag_names()[526]) == ("Speech", "Dog", "Field recording")
    assert tag_ids()["Rain"] == tag_names().index("Rain")


def test_every_sound_of_the_phrase_table_has_tags_that_no_other_sound_has() -> None:
    counts = Counter(tag for sound in phrases() for tag in tags_of([sound]))
    assert all(tags_of([sound]) for sound in phrases())
    assert set(counts.values()) == {1}


def test_labels_may_be_audiosets_own_and_unknown_ones_stand_for_nothing() -> None:
    assert tags_of(["Whistling", "dog", "a thing nobody knows"]) == tuple(
        sorted(tag_ids()[name] for name in ("Whistling", "Dog", "Bark"))
    )
    assert tags_of([]) == ()


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("car horn", ["Vehicle horn, car horn, honking"]),
        ("Dog_Bark", ["Bark", "Dog"]),
        ("leopard saw", ["Roar", "Growling"]),
        ("metalhit", ["Clang"]),
        ("Glass", ["Glass"]),
        ("car engine starting", ["Car"]),
        ("monkeys screaming", ["Screaming"]),
        ("pipe organ", ["Organ"]),
        ("an accordion somewhere", ["Accordion"]),
        ("a thing nobody knows", []),
    ],
)
def test_a_label_of_any_collection_has_its_tags(label: str, names: list[str]) -> None:
    found = [tag_names()[number] for number in tags_of_any(label)]
    assert (set(names) <= set(found)) if names else not found
    assert not {"Clang", "Sawing", "Keys jangling"} & (set(found) - set(names))  # no word within a word

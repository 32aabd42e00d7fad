"""Captions of labels: the right sound, in words that the tables know."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import data.labelled.label_captions
from data.captions import normalize_caption
from data.labelled.caption_templates import named_categories, phrases
from data.labelled.label_captions import caption_label, has_captions
from vocabulary.audioset import named_tags
from vocabulary.words import classes_of

ENTRIES = yaml.safe_load(
    Path(data.labelled.label_captions.__file__).with_name("label_captions.yaml").read_text("utf-8")
)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["labels"][:30])
def test_each_entry_is_a_known_sound_or_has_captions_that_name_one(entry: dict[str, list[str] | str]) -> None:
    assert ("like" in entry) != ("captions" in entry)
    assert ("captions" in entry) == ("tags" in entry)
    if "like" in entry:
        assert entry["like"] in phrases()
    tags = set(named_tags(entry.get("tags", "Dog")))
    for caption in entry.get("captions", []):
        assert caption == normalize_caption(caption) and classes_of(caption), caption
        assert set(classes_of(caption)) & tags, f"{caption} names none of {entry['tags']}"


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("jackhammer", "jackhammer"), ("street music", "music"), ("bell roll", "bell"), ("pigeon", "pigeon"),
        ("metal hit short", "metal"), ("glass rattle", "glass"), ("leopard roar", "animal"), ("Gun_Shot", "gun"),
    ],
)  # fmt: skip
def test_a_label_is_captioned_by_its_own_entry(label: str, word: str) -> None:
    generator = np.random.default_rng(0)
    assert all(word in caption_label(label, generator) for _ in range(10))


@pytest.mark.parametrize(
    ("label", "sound"), [("dog bark", "dog"), ("car horn", "car_horn"), ("sea_waves", "sea_waves")]
)
def test_a_label_of_a_known_sound_takes_its_words(label: str, sound: str) -> None:
    generator = np.random.default_rng(0)
    assert all(named_categories(caption_label(label, generator)) == {sound} for _ in range(10))


def test_an_unknown_label_has_no_captions() -> None:
    assert not has_captions("sorkin theremin")
    with pytest.raises(ValueError, match="no captions for 'sorkin theremin'"):
        caption_label("sorkin theremin", np.random.default_rng(0))

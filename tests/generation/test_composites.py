"""Joined short captions: for pairs of strong tags alone, in the order in which they sound."""

import numpy as np

from generation.composites import join_short_captions
from vocabulary.audioset import tag_ids

CAPTIONS = ["a siren wails and a man speaks", "a dog barks", "a dog is barking", "a siren wails"]


def scores(dog: tuple[float, float, float], siren: tuple[float, float, float]) -> np.ndarray:
    parts = np.full((4, len(tag_ids())), 0.01, dtype=np.float32)
    parts[1:, tag_ids()["Bark"]], parts[1:, tag_ids()["Siren"]] = dog, siren
    parts[0] = parts[1:].mean(axis=0)
    return parts


def test_two_strong_tags_are_joined_in_their_order() -> None:
    assert join_short_captions(CAPTIONS, scores((0.9, 0.1, 0.0), (0.0, 0.2, 0.8))) == [
        "a dog barks and then a siren wails"
    ]
    assert join_short_captions(CAPTIONS, scores((0.0, 0.1, 0.9), (0.9, 0.1, 0.0))) == [
        "a siren wails and then a dog barks"
    ]


def test_sounds_at_once_have_no_order() -> None:
    [joined] = join_short_captions(CAPTIONS, scores((0.9, 0.9, 0.9), (0.8, 0.8, 0.8)))
    assert joined == "a dog barks and a siren wails"


def test_one_strong_tag_or_no_short_caption_gives_nothing() -> None:
    assert join_short_captions(CAPTIONS, scores((0.9, 0.9, 0.9), (0.1, 0.1, 0.1))) == []
    assert join_short_captions(CAPTIONS[:3], scores((0.9, 0.9, 0.9), (0.8, 0.8, 0.8))) == []
    assert join_short_captions([], scores((0.9, 0.9, 0.9), (0.8, 0.8, 0.8))) == []

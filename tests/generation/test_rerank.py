"""Captions ranked by what the tagger hears."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import DecodingConfig, TagDecodingConfig
from generation.rerank import (
    SCORE_FLOOR,
    Candidate,
    asks_tagger,
    fit_to_tags,
    lowest_support,
    named_sounds,
    rank,
    ranks_by_tags,
)
from vocabulary.audioset import tag_ids


def scores(**heard: float) -> np.ndarray:
    values = np.full(527, 1e-4, dtype=np.float32)
    for name, value in heard.items():
        values[tag_ids()[name]] = value
    return values


def by_tags(**weights: float) -> DecodingConfig:
    return DecodingConfig(tags=TagDecodingConfig(**weights))


def candidates(*found: tuple[str, float, int]) -> list[Candidate]:
    return [Candidate(*values) for values in found]


def test_coverage_is_the_share_of_strong_scores_that_are_named() -> None:
    tags = scores(Dog=0.6, Siren=0.2, Animal=0.9, Rain=0.05)
    assert fit_to_tags("a dog barks", tags, strong=0.15).coverage == pytest.approx(0.75)
    assert fit_to_tags("a dog barks and a siren wails", tags, strong=0.15).coverage == pytest.approx(1.0)
    assert fit_to_tags("rain falls", tags).coverage == 0.0  # the usual threshold leaves the dog alone
    assert fit_to_tags("anything", scores(), strong=0.15).coverage == 1.0


def test_support_is_low_for_what_is_not_heard() -> None:
    tags = scores(Dog=0.6)
    assert fit_to_tags("a dog barks", tags).support == pytest.approx(math.log(0.6))
    invented = fit_to_tags("a dog barks while a helicopter hovers", tags).support
    assert invented == pytest.approx((math.log(0.6) + math.log(SCORE_FLOOR)) / 2)
    assert fit_to_tags("it goes on", tags).support == pytest.approx(math.log(SCORE_FLOOR))


def test_the_lowest_support_is_that_of_the_sound_heard_least() -> None:
    tags = scores(Dog=0.6, Rain=0.2).tolist()
    assert lowest_support("a dog barks", tags) == pytest.approx(0.6)
    assert lowest_support("a dog barks as heavy rain falls", tags) == pytest.approx(0.2)
    assert lowest_support("a dog barks while a helicopter hovers", tags) == pytest.approx(1e-4)
    assert lowest_support("it goes on", tags) == 1.0


def test_a_word_for_people_is_no_sound() -> None:
    assert named_sounds("a boy and a man") == ()
    assert named_sounds("a boy speaks") == named_sounds("a person speaks") == ((tag_ids()["Speech"],),)
    assert tag_ids()["Run"] in named_sounds("a man is running")[0]  # what he does is one


def test_the_best_comes_first_and_probability_alone_decides_without_weights() -> None:
    captions = candidates(("a man is speaking", -2.0, 4), ("a dog barks", -3.2, 4))
    tags = scores(Dog=0.9)
    assert rank(captions, tags, by_tags(coverage_weight=1.0)) == [1, 0]
    assert rank(captions, tags, by_tags()) == [0, 1]
    assert rank(captions, None, by_tags(coverage_weight=1.0)) == [0, 1]


def test_alternatives_differ_from_what_came_before() -> None:
    captions = candidates(("a dog is barking", -2.5, 5), ("the dog is barking", -2.75, 5), ("a siren wails", -4.5, 5))
    tags = scores(Dog=0.6, Siren=0.5)
    assert rank(captions, tags, by_tags(coverage_weight=0.1)) == [0, 2, 1]
    assert rank(captions, None, by_tags(coverage_weight=0.1)) == [0, 1, 2]


def test_what_names_a_sound_below_the_lowest_score_ranks_behind_the_best_supported_first() -> None:
    captions = candidates(
        ("a siren wails", -1.0, 4), ("a helicopter hovers", -0.5, 4), ("a dog barks", -9.0, 4), ("it goes on", -8.0, 4)
    )
    tags = scores(Dog=0.3, Siren=0.2, Helicopter=0.1)
    assert rank(captions, tags, by_tags(coverage_weight=0.01)) == [1, 0, 3, 2]
    assert rank(captions, tags, by_tags(min_score=0.3)) == [3, 2, 0, 1]
    assert rank(captions, tags, by_tags(min_score=0.2)) == [0, 3, 2, 1]
    assert rank(captions[:2], tags, by_tags(min_score=0.9)) == [0, 1]  # nothing else: they come out all the same


def test_expected_similarity_counts_by_its_weight() -> None:
    captions = candidates(("a dog barks", -2.0, 4), ("the dog is barking", -2.4, 4))
    tags = scores(Dog=0.9)
    decoding = by_tags(consensus_weight=0.1)
    assert rank(captions, tags, decoding) == rank(captions, tags, decoding, [3.0, 3.5]) == [0, 1]
    assert rank(captions, tags, decoding, [3.0, 4.5]) == [1, 0]
    assert rank(captions, tags, by_tags(coverage_weight=1.0), [3.0, 4.5]) == [0, 1]


@pytest.mark.parametrize("name", ["coverage_weight", "min_score", "consensus_weight"])
def test_what_ranks_asks_the_tagger(name: str) -> None:
    assert ranks_by_tags(by_tags(**{name: 0.1})) and asks_tagger(by_tags(**{name: 0.1}))
    assert asks_tagger(by_tags(word_bonus=1.0)) and not ranks_by_tags(by_tags(word_bonus=1.0))
    assert not asks_tagger(by_tags())


TEXTS = ("a dog barks", "rain falls", "a siren wails", "a dog barks as rain falls", "a man speaks", "it goes on")


@given(
    st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.floats(0, 1),
    st.data(),
)
def test_no_caption_names_a_sound_below_the_lowest_score_before_one_that_names_none(
    texts: list[str], heard: list[float], min_score: float, data: st.DataObject
) -> None:
    tags = scores(**dict(zip(("Dog", "Rain", "Siren", "Speech"), heard, strict=True)))
    values = data.draw(st.lists(st.floats(-9, 0), min_size=len(texts), max_size=len(texts)))
    found = [Candidate(text, value, 4) for text, value in zip(texts, values, strict=True)]
    order = rank(found, tags, by_tags(min_score=min_score, coverage_weight=1.0))
    assert sorted(order) == list(range(len(texts)))
    support = [lowest_support(found[number].text, tags.tolist()) for number in order]
    allowed = [value >= min_score for value in support]
    assert allowed == sorted(allowed, reverse=True)
    behind = support[sum(allowed) :]
    assert behind == sorted(behind, reverse=True)

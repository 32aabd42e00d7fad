"""Captions ranked by what the tagger hears."""

import math
from dataclasses import replace

import pytest
import torch

from configs.schema import DecodingConfig
from models.ranking import MIN_SCORE, Candidate, captions_of_unnamed, consensus, doubtful_order, fit_to_tags, rank
from vocabulary.audioset import tag_ids


def scores(**heard: float) -> torch.Tensor:
    values = torch.full((527,), 1e-4)
    for name, value in heard.items():
        values[tag_ids()[name]] = value
    return values


def test_coverage_is_the_share_of_strong_scores_that_are_named() -> None:
    tags = scores(Dog=0.6, Siren=0.2, Animal=0.9, Rain=0.05)
    assert fit_to_tags("a dog barks", tags, strong=0.15).coverage == pytest.approx(0.75)
    assert fit_to_tags("a dog barks and a siren wails", tags, strong=0.15).coverage == pytest.approx(1.0)
    assert fit_to_tags("anything", scores(), strong=0.15).coverage == 1.0


def test_support_is_low_for_what_is_not_heard() -> None:
    tags = scores(Dog=0.6)
    assert fit_to_tags("a dog barks", tags, 0.3).support == pytest.approx(math.log(0.6))
    invented = fit_to_tags("a dog barks while a helicopter hovers", tags, 0.3).support
    assert invented == pytest.approx((math.log(0.6) + math.log(MIN_SCORE)) / 2)
    assert fit_to_tags("it goes on", tags, 0.3).support == pytest.approx(math.log(MIN_SCORE))


def test_what_no_caption_names_is_told_in_sentences_of_ours() -> None:
    tags = scores(**{"Air conditioning": 0.9, "Engine": 0.6, "Gong": 0.5, "Animal": 0.95})
    found = ["an engine idles", "a car engine runs"]
    told = captions_of_unnamed(found, tags, 0.3)
    assert "an air conditioner hums" in told and all("air condition" in caption for caption in told)
    assert "a gong is struck" in captions_of_unnamed([*found, "the hum of an air conditioner"], tags, 0.3)
    assert captions_of_unnamed([*found, "an air conditioner hums as a gong rings"], tags, 0.3) == ()
    assert captions_of_unnamed(found, tags, 0.91) == ()


def candidates(*found: tuple[str, float, int]) -> list[Candidate]:
    return [Candidate(*values) for values in found]


def test_the_best_comes_first_and_probability_alone_decides_without_weights() -> None:
    captions = candidates(("a man is speaking", -2.0, 4), ("a dog barks", -3.2, 4))
    tags = scores(Dog=0.9)
    decoding = DecodingConfig(coverage_weight=1.0, support_weight=0.5)
    assert rank(captions, tags, decoding) == [1, 0]
    assert rank(captions, tags, replace(decoding, coverage_weight=0, support_weight=0)) == [0, 1]
    assert rank(captions, None, decoding) == [0, 1]


def test_a_handicap_counts_against_a_candidate() -> None:
    decoding = DecodingConfig(coverage_weight=1.0, support_weight=0.1)
    told, named = Candidate("a man is speaking", -2.0, 4), Candidate("a dog barks", -3.2, 4)
    tags = scores(Dog=0.9, Speech=0.2)
    assert rank([told, named], tags, decoding) == [1, 0]
    assert rank([told, replace(named, handicap=0.5)], tags, decoding) == [1, 0]
    assert rank([told, replace(named, handicap=2.0)], tags, decoding) == [0, 1]


def test_a_found_caption_far_less_probable_than_another_is_odd_and_one_of_ours_is_not() -> None:
    tags = scores(Music=0.7, Hammer=0.6)
    decoding = DecodingConfig(coverage_weight=2.0, support_weight=0.1)
    odd, usual = Candidate("a hammer strikes a song", -8.5, 5), Candidate("music plays", -4.0, 4)
    assert rank([odd, usual], tags, decoding) == [0, 1]
    assert rank([odd, usual], tags, replace(decoding, odd_weight=10.0)) == [1, 0]  # 1.7 against 1.0 nats a token
    assert rank([replace(odd, ours=True), usual], tags, replace(decoding, odd_weight=10.0)) == [0, 1]
    near = replace(odd, log_probability=-7.0)
    assert rank([near, usual], tags, replace(decoding, odd_weight=10.0)) == [0, 1]  # 1.4 against 1.0


def test_each_word_may_count() -> None:
    tags = scores(Dog=0.6)
    captions = candidates(("a dog barks", -2.0, 4), ("a dog barks in the distance", -3.85, 7))  # 0.5 and 0.55 a token
    decoding = DecodingConfig(coverage_weight=1.0)
    assert rank(captions, tags, decoding) == [0, 1]
    assert rank(captions, tags, decoding, word_weight=0.02) == [1, 0]


def test_alternatives_differ_from_what_came_before() -> None:
    captions = candidates(("a dog is barking", -2.5, 5), ("the dog is barking", -2.75, 5), ("a siren wails", -4.5, 5))
    tags = scores(Dog=0.6, Siren=0.5)
    decoding = DecodingConfig(coverage_weight=0.1, support_weight=0.1)
    assert rank(captions, tags, decoding) == [0, 2, 1]
    assert rank(captions, None, decoding) == [0, 1, 2]


def test_consensus_is_what_the_likely_candidates_say_too() -> None:
    agreed = consensus(candidates(("a dog barks", -3.0, 4), ("a dog barks", -3.0, 4), ("a siren wails", -3.0, 4)))
    assert agreed[0] == agreed[1] == pytest.approx((1 + 1 + 2 / 10) / 3)  # five words and pairs each; "a" is shared
    assert agreed[2] == pytest.approx((1 + 2 * 2 / 10) / 3)
    swayed = consensus(candidates(("a dog barks", -9.0, 4), ("a siren wails", -3.0, 4)))
    assert swayed[1] > swayed[0]
    assert consensus(candidates(("alone", -1.0, 2))) == [pytest.approx(1.0)]


def thirds(**heard: tuple[float, float, float]) -> torch.Tensor:
    values = torch.full((3, 527), 1e-4)
    for name, parts in heard.items():
        values[:, tag_ids()[name]] = torch.tensor(parts)
    return values


@pytest.mark.parametrize(
    ("caption", "doubt"),
    [
        ("a dog barks and then a siren wails", 0.0),
        ("a siren wails after a dog barks", 0.0),
        ("a siren wails and then a dog barks", 1.0),
        ("a dog barks and then rain falls", 1.0),  # both all through
        ("a dog barks as a siren wails", 0.0),  # tells no order
        ("a dog barks and then barks again", 0.0),  # one thing that goes on
        ("a siren wails and then it ends", 0.0),
        ("a dog barks and then a siren wails and then rain falls", 0.5),
        ("silence", 0.0),
    ],
)
def test_an_order_is_doubtful_that_the_thirds_do_not_bear_out(caption: str, doubt: float) -> None:
    heard = thirds(Dog=(0.9, 0.8, 0.7), Siren=(0.01, 0.3, 0.9), Rain=(0.7, 0.7, 0.7))
    assert doubtful_order(caption, heard) == doubt


def test_a_doubtful_order_counts_against_a_candidate() -> None:
    captions = candidates(("a dog barks and then rain falls", -2.0, 4), ("a dog barks as rain falls", -2.4, 4))
    tags, heard = scores(Dog=0.9, Rain=0.7), thirds(Dog=(0.9, 0.8, 0.7), Rain=(0.7, 0.7, 0.7))
    decoding = DecodingConfig(coverage_weight=1.0)
    assert rank(captions, tags, decoding, thirds=heard) == [0, 1]
    assert rank(captions, tags, replace(decoding, order_weight=0.2), thirds=heard) == [1, 0]
    assert rank(captions, tags, replace(decoding, order_weight=0.2)) == [0, 1]  # no thirds, no judgement

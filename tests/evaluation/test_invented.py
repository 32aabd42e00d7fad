"""Sounds that captions name and references do not."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.inputs import Corpus, pair, read_predictions, read_references
from evaluation.invented import invented, unsupported_clauses, wrong_speakers
from evaluation.measures import chosen
from evaluation.scores import ScoreSettings, score_systems
from vocabulary.audioset import wide_tags
from vocabulary.words import classes_of

REFERENCES = ("A dog barks and a man speaks", "Someone talks near a dog", "Food sizzles while a dog barks")


@pytest.mark.parametrize(
    ("caption", "clauses"),
    [
        ("A dog barks, and a man speaks.", []),
        ("a dog barks while rain falls", ["rain falls"]),
        ("a siren wails followed by a church bell ringing", ["a siren wails", "a church bell ringing"]),
        ("food sizzling in a frying pan", []),  # the pan makes no sound of its own
        ("a woman speaks", []),  # speech, as the references have it
        ("something happens", []),
        ("an animal in a large hall", []),  # wide classes alone
        ("", []),
    ],
)
def test_clauses_that_no_reference_supports(caption: str, clauses: list[str]) -> None:
    classes = {number for reference in REFERENCES for number in classes_of(reference)}
    assert unsupported_clauses(caption, classes) == clauses
    assert invented([caption], [REFERENCES]).tolist() == [float(bool(clauses))]


def test_wide_classes_support_a_clause_only_where_they_are_given() -> None:
    classes = set(classes_of("a cat meows"))
    assert unsupported_clauses("a dog barks", classes) == []
    assert unsupported_clauses("a dog barks", classes - wide_tags()) == ["a dog barks"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_invents_nothing(reference: str) -> None:
    assert invented([reference], [REFERENCES]).tolist() == [0.0]


def test_the_measure_needs_no_java(no_java: None) -> None:
    corpus = Corpus(("a", "b"), ("a dog barks", "rain falls"), (("a dog",), ("a siren",)))
    [found] = score_systems([corpus], ScoreSettings(measures=chosen(["invented"]), num_resamples=100))
    score = found["invented"]
    assert score.value == 0.5 and score.low == 0.0 and score.high == 1.0
    assert score.per_clip is not None and np.array_equal(score.per_clip, [0.0, 1.0])
    assert "invented" in chosen(["offline"]) and "invented" in chosen(["all"])


def test_conette_invents_in_eleven_of_94_captions(shared: Path) -> None:
    predictions = read_predictions(shared / "peers" / "conette_captioned.csv")
    corpus = pair(predictions, read_references(shared / "captioned_more" / "clips.csv"), partial=True)
    assert len(corpus) == 94 and invented(corpus.candidates, corpus.references).sum() == 11


@pytest.mark.parametrize(
    ("caption", "references", "wrong"),
    [
        ("a woman speaks", ["A man speaks.", "Someone talks"], 1.0),
        ("A woman speaks and then a young man speaks", ["A man is talking"], 1.0),
        ("a man is talking", ["A man and a woman talk", "A male voice"], 0.0),
        ("a man is talking", ["People speak"], 0.0),  # nobody knows better
        ("people speak", ["A man speaks"], 0.0),
        ("a dog barks", ["A child speaks as a dog barks"], 0.0),
    ],
)
def test_speakers_whom_the_references_contradict(caption: str, references: list[str], wrong: float) -> None:
    assert wrong_speakers([caption], [references]).tolist() == [wrong]

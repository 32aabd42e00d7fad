"""Speakers as evidence for retrieved captions."""

import numpy as np
import pytest

from generation.retrieval import SPEAKERS_TENSOR, CaptionStore
from generation.speakers import SpeakerEvidence
from vocabulary.audioset import tag_ids
from vocabulary.speakers import SPEAKERS, speakers_in

MAN, WOMAN, CHILD = 1, 2, 4


def logits(man: float, woman: float, child: float) -> np.ndarray:
    found = np.zeros(len(tag_ids()))
    found[[tag_ids()[name] for name in SPEAKERS]] = man, woman, child
    return found


@pytest.mark.parametrize(
    ("caption", "speakers"),
    [
        ("a man is talking", MAN),
        ("an adult female speaks", WOMAN),
        ("a woman speaks and then a young man speaks", MAN + WOMAN),
        ("a child speaks while a dog barks", CHILD),
        ("people talk in the distance", 0),
        ("rain falls", 0),
    ],
)
def test_speakers_that_captions_name(caption: str, speakers: int) -> None:
    assert speakers_in(caption) == speakers


def test_evidence_is_the_ratio_of_posterior_and_prior() -> None:
    evidence = SpeakerEvidence(np.array([MAN] * 5 + [WOMAN] * 2, dtype=np.uint8))  # priors 6, 3 and 1 of 10
    own = evidence(logits(-4.0, -4.0 - np.log(4), -4.0 - np.log(4)))
    posteriors = np.array([6, 3 / 4, 1 / 4]) / 7
    assert own[[MAN, WOMAN, CHILD]] == pytest.approx(
        [0.0, np.log(posteriors[1] / 0.3), np.log(posteriors[2] / 0.1)]
    )  # a man is more probable than usual, which is no evidence that somebody speaks
    assert own[0] == 0.0 and own[MAN + WOMAN] == pytest.approx(own[WOMAN])


@pytest.mark.parametrize("level", [-12.0, -3.0, 4.0])
def test_only_differences_of_the_logits_count(level: float) -> None:
    evidence = SpeakerEvidence(np.array([MAN, WOMAN, CHILD, 0], dtype=np.uint8))
    assert evidence(logits(level, level, level)) == pytest.approx(np.zeros(8))
    assert evidence(logits(level, level + 2, level)) == pytest.approx(evidence(logits(0.0, 2.0, 0.0)))


def test_captions_of_another_speaker_are_less_probable() -> None:
    speech = tag_ids()["Speech"]
    captions = [
        "a man is talking",
        "a woman is talking",
        "people are talking",
        "a woman speaks and then a young man speaks",
    ]
    store = CaptionStore.build(captions, [(speech,)] * 4, [0] * 4)
    scores = np.full(len(tag_ids()), 0.001, dtype=np.float32)
    scores[speech], scores[tag_ids()[SPEAKERS[0]]] = 0.9, 0.02
    found = store.retrieve(scores, 0)
    weights = dict(zip(found.captions, found.weights.tolist(), strict=True))
    assert weights["a man is talking"] == pytest.approx(weights["people are talking"])
    assert weights["a woman is talking"] < 0.2 * weights["a man is talking"]
    assert weights[captions[3]] == pytest.approx(weights["a woman is talking"])


def test_stores_without_speakers_find_them() -> None:
    store = CaptionStore.build(["a man talks", "rain", "a child speaks"], [(0,), (1,), (2,)], [0, 0, 0])
    older = {name: tensor for name, tensor in store.tensors.items() if name != SPEAKERS_TENSOR}
    assert CaptionStore(older).tensors[SPEAKERS_TENSOR].tolist() == [MAN, 0, CHILD]

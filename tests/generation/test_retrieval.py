"""The caption store: retrieval by label sets, and expected similarity equal to CIDEr-D's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import CheckpointError
from generation.retrieval import CaptionStore
from training.self_critical import CiderReward
from vocabulary.audioset import tag_ids

DOG, BARK, RAIN, SPEECH = (tag_ids()[name] for name in ("Dog", "Bark", "Rain", "Speech"))
CAPTIONS = [
    "a dog barks",
    "a dog is barking loudly",
    "rain falls on a roof",
    "a man speaks while it rains",
    "un chien aboie",
]
CLASSES = [(DOG, BARK), (DOG, BARK), (RAIN,), (SPEECH, RAIN), (DOG,)]
STYLES = [0, 0, 0, 0, 1]


def scores(**present: float) -> np.ndarray:
    found = np.full(len(tag_ids()), 0.001, dtype=np.float32)
    for name, value in present.items():
        found[tag_ids()[name]] = value
    return found


@pytest.fixture(scope="module")
def store() -> CaptionStore:
    return CaptionStore.build(CAPTIONS, CLASSES, STYLES)


def test_captions_come_back_as_they_were(store: CaptionStore) -> None:
    assert [store.caption(row) for row in range(len(store))] == CAPTIONS


def test_the_likeliest_label_sets_come_first(store: CaptionStore) -> None:
    found = store.retrieve(scores(Rain=0.9, Speech=0.05), 0)
    assert found.captions[0] == "rain falls on a roof"
    assert set(found.captions) == set(CAPTIONS[:4])  # of the style alone
    assert found.weights.sum() == pytest.approx(1.0)
    assert list(found.weights) == sorted(found.weights, reverse=True)
    assert store.retrieve(scores(Rain=0.9, Speech=0.9), 0).captions[0] == "a man speaks while it rains"


def test_two_labels_weigh_as_their_odds() -> None:
    store = CaptionStore.build(["a dog", "some rain"], [(DOG,), (RAIN,)], [0, 0])
    found = store.retrieve(scores(Dog=0.8, Rain=0.2), 0)
    # logits differ by ln 16, and half of it counts: odds of 4 to 1
    assert dict(zip(found.captions, found.weights.tolist(), strict=True)) == pytest.approx(
        {"a dog": 0.8, "some rain": 0.2}
    )


def test_a_store_knows_its_styles(store: CaptionStore) -> None:
    assert store.has_style(0) and store.has_style(1) and not store.has_style(2)


def test_captions_without_a_label_stay_out() -> None:
    store = CaptionStore.build(["a dog", "hm", ""], [(DOG,), (), (RAIN,)], [0, 0, 0])
    assert len(store) == 1
    with pytest.raises(ValueError, match="no caption with a label"):
        CaptionStore.build(["hm"], [()], [0])


words = st.lists(
    st.sampled_from(["a", "dog", "barks", "loudly", "rain", "falls", "man", "speaks", "while"]),
    min_size=1,
    max_size=9,
    unique=True,
)


@given(candidate=words)
@settings(max_examples=30, deadline=None)
def test_expected_similarity_is_cider_d(candidate: list[str]) -> None:
    """Equal to CIDEr-D with the store's document frequencies where no n-gram repeats and lengths are alike up to its penalty."""
    store = CaptionStore.build(CAPTIONS, CLASSES, STYLES)
    reward = CiderReward([[caption.split()] for caption in CAPTIONS])
    found = store.retrieve(scores(Dog=0.6, Rain=0.5), 0)
    [value] = store.expected_similarity([" ".join(candidate)], found)
    # CiderReward leaves the weights of n-grams that are in one caption at that of none, as the store does
    wanted = sum(
        float(weight) * reward(candidate, [caption.split()])
        for weight, caption in zip(found.weights, found.captions, strict=True)
    )
    assert value == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_captions_without_words_are_like_none(store: CaptionStore) -> None:
    found = store.retrieve(scores(Rain=0.9), 0)
    assert store.expected_similarity([""], found) == [0.0]
    assert store.expected_similarity(["", "some rain"], found)[0] == 0.0


def test_saved_and_read_is_the_same(store: CaptionStore) -> None:
    again = CaptionStore({name: tensor.copy() for name, tensor in store.tensors.items()})
    tag_scores = scores(Dog=0.7)
    assert again.retrieve(tag_scores, 0).captions == store.retrieve(tag_scores, 0).captions


@pytest.mark.parametrize("name", ["text_ends", "classes", "styles"])
def test_tensors_that_do_not_fit_are_refused(store: CaptionStore, name: str) -> None:
    with pytest.raises(CheckpointError, match="do not fit"):
        CaptionStore({**store.tensors, name: store.tensors[name][:-1]})
    with pytest.raises(CheckpointError, match="expected text"):
        CaptionStore({key: value for key, value in store.tensors.items() if key != name})
    with pytest.raises(CheckpointError, match="do not fit"):
        CaptionStore({**store.tensors, "text_ends": store.tensors["text_ends"][::-1]})

"""Label sets of captions, learned from a table, and the store of captions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.schema import CaptionTable, TextsConfig
from data.clotho import Clip, FileClip
from data.labelled.mixtures import Mixture
from data.tables import DatasetError
from generation.retrieval import CaptionStore
from training.text_only import text_labels
from training.text_only.text_labels import (
    TextLabeller,
    build_caption_store,
    labelled_captions,
    read_captions_with_labels,
    read_label_sets,
    read_labelled_captions,
)
from vocabulary.audioset import tag_ids

DOG, RAIN, SPEECH, PIGEON = (tag_ids()[name] for name in ("Dog", "Rain", "Speech", "Pigeon, dove"))
WORDS = {
    "a dog barks": (DOG,),
    "rain on a roof": (RAIN,),
    "a zorbl spins": (PIGEON,),
    "dogs beside a zorbl": (DOG, PIGEON),
}
STYLES = ("first", "second")


def labelled_examples(copies: int = 40) -> tuple[list[str], list[tuple[int, ...]]]:
    """Captions, each with another last word, and their labels; "zorbl" is a word that no pattern knows."""
    rows = [(f"{text} n{number}", classes) for number in range(copies) for text, classes in WORDS.items()]
    return [text for text, _ in rows], [classes for _, classes in rows]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty epochs of a small table have enough steps only with small batches."""
    monkeypatch.setattr(text_labels, "BATCH_SIZE", 8)


@pytest.fixture
def labeller() -> TextLabeller:
    return TextLabeller(*labelled_examples(), seed=0)


def test_labels_are_learned_from_words(labeller: TextLabeller) -> None:
    found = labeller.label_sets(
        ["a loud zorbl spins", "a dog barks", "rain on a tin roof", "dogs beside a zorbl", "nothing that is known"]
    )
    assert found == [(PIGEON,), (DOG,), (RAIN,), tuple(sorted((DOG, PIGEON))), ()]
    probabilities = labeller.predict(["a loud zorbl"])
    assert probabilities.shape == (1, 527) and probabilities.dtype == np.float32
    assert probabilities.argmax() == PIGEON and ((probabilities >= 0) & (probabilities <= 1)).all()
    assert labeller.predict([]).shape == (0, 527) and labeller.label_sets([]) == []


def test_the_seed_decides() -> None:
    captions, label_sets = labelled_examples()
    first, again, other = (TextLabeller(captions, label_sets, seed).predict(list(WORDS)) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_captions_and_label_sets_come_in_pairs() -> None:
    for captions, label_sets in (([], []), (["a dog"], [])):
        with pytest.raises(ValueError, match="expected equal numbers"):
            TextLabeller(captions, label_sets, 0)


def write(path: Path, **columns: list[str]) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_label_sets_are_read_and_unknown_names_left_out(tmp_path: Path) -> None:
    table = write(tmp_path / "labels.csv", clip=["a", "b"], audioset_labels=["Speech; Dog;Unheard-of", "Pigeon, dove"])
    assert read_label_sets(table) == ("clip", {"a": tuple(sorted((DOG, SPEECH))), "b": (PIGEON,)})


def test_captions_are_paired_with_the_label_sets_of_their_clips(tmp_path: Path) -> None:
    table = write(
        tmp_path / "texts.csv", clip=["a", "b"], caption_1=["A dog.", "Rain"], caption_2=["Dogs!", "It rains"]
    )
    labels = write(tmp_path / "labels.csv", clip=["b", "a", "c"], audioset_labels=["Rain", "Unheard-of", "Dog"])
    assert read_captions_with_labels(table, labels) == (
        ["a dog", "dogs", "rain", "it rains"],
        [(), (), (RAIN,), (RAIN,)],
    )
    assert read_labelled_captions(table, labels) == (["rain", "it rains"], [(RAIN,), (RAIN,)])


def test_what_a_table_lacks_is_named(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.csv", clip=["a"], caption=["A dog barks"])
    labels = write(tmp_path / "labels.csv", clip=["b"], audioset_labels=["Dog"])
    with pytest.raises(DatasetError, match="no table of label sets at .*none.csv"):
        read_label_sets(tmp_path / "none.csv")
    for columns in ({"clip": ["a"], "labels": ["Dog"]}, {"audioset_labels": ["Dog"]}):
        with pytest.raises(DatasetError, match=f"columns {', '.join(columns)}: expected an id .* audioset_labels"):
            read_label_sets(write(tmp_path / "wrong.csv", **columns))
    with pytest.raises(DatasetError, match="has the columns clip, audioset_labels: expected caption, or caption_1"):
        read_labelled_captions(labels, labels)
    numbers = write(tmp_path / "numbers.csv", number=["1"], audioset_labels=["Dog"])
    with pytest.raises(DatasetError, match="has the columns clip, caption: expected number, by which"):
        read_labelled_captions(texts, numbers)
    with pytest.raises(DatasetError, match=r"labels.csv has label sets for none of the clips of .*texts.csv"):
        read_labelled_captions(texts, labels)


def file_clip(name: str, label: str, caption: str, style: str) -> FileClip:
    return FileClip(Path(name), (caption, "another caption"), (label,), style=style)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A dog in both styles, the second style's twice; rain in the second alone; and what is no clip of one label."""
    dog, rain = str(tmp_path / "dog.wav"), str(tmp_path / "rain.wav")
    for name in (dog, rain):
        Path(name).touch()
    dogs = [file_clip(dog, "dog", caption, "second") for caption in ("A dog.", "A dog again.")]
    rains = file_clip(rain, "rain", "It rains.", "second")
    mixture = Mixture("m", dogs[0], rains, "overlay", 0.0, 0, ("A dog in the rain",))
    unlabelled = FileClip(Path(dog), ("A recording",), style="first")
    of_no_style = file_clip(rain, "rain", "Rain of no style", "third")
    return [*dogs, rains, mixture, unlabelled, of_no_style, file_clip(dog, "dog", "A dog barks!", "first")]


def test_each_labelled_clip_is_taken_once_a_style_and_the_first_style_has_all(clips: list[Clip]) -> None:
    found = labelled_captions(clips, STYLES)
    assert {(text, style) for text, _, style in found} == {
        ("a dog barks", 0),
        ("a dog", 1),
        ("it rains", 0),
        ("it rains", 1),
    }
    assert len(found) == 4  # no mixture, and no clip of no label or no style
    assert all((DOG in tags) == ("dog" in text) and (RAIN in tags) == ("rain" in text) for text, tags, _ in found)


@pytest.fixture
def texts(tmp_path: Path) -> TextsConfig:
    captions, label_sets = labelled_examples()
    names = {number: name for name, number in tag_ids().items()}
    ids = [f"clip{number}" for number in range(len(captions))]
    first = write(tmp_path / "first.csv", clip=[*ids, "unlabelled"], caption=[*captions, "One more zorbl spins"])
    second = write(tmp_path / "second.csv", caption_1=["Rain falls on a roof"], caption_2=["Nothing that is known"])
    sets = ["; ".join(names[number] for number in classes) for classes in label_sets]
    labels = write(tmp_path / "labels.csv", clip=ids, audioset_labels=sets)
    tables = tuple(CaptionTable(str(path), style) for path, style in zip((first, second), STYLES, strict=True))
    return TextsConfig(tables=tables, label_table=str(labels))


def test_a_store_has_the_captions_of_all_tables_and_of_labelled_clips(texts: TextsConfig, clips: list[Clip]) -> None:
    def style_of(store: CaptionStore, text: str) -> list[int]:
        return [int(style) for row, style in enumerate(store.tensors["styles"]) if store.caption(row) == text]

    store = build_caption_store(texts, STYLES, clips, seed=0)
    assert store is not None
    assert style_of(store, "one more zorbl spins") == [0]
    assert style_of(store, "rain falls on a roof") == []  # of the second table
    assert style_of(store, "it rains") == [1, 0] and style_of(store, "a dog barks") == [0]
    assert style_of(store, "nothing that is known") == []  # without a label it is no reference
    scores = np.full(527, 0.01, dtype=np.float32)
    scores[PIGEON] = 0.9
    assert "zorbl" in store.retrieve(scores, 0).captions[0]
    again = build_caption_store(texts, STYLES, clips, seed=0)
    assert again is not None and all(
        np.array_equal(tensor, store.tensors[name]) for name, tensor in again.tensors.items()
    )


def test_without_a_label_table_there_is_no_store(texts: TextsConfig) -> None:
    assert build_caption_store(TextsConfig(tables=texts.tables), STYLES, [], 0) is None
    with pytest.raises(DatasetError, match="data.texts.tables, which is empty"):
        build_caption_store(TextsConfig(label_table=texts.label_table), STYLES, [], 0)

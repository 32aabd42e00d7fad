"""Folders of labelled clips: training clips, and those held out."""

from pathlib import Path

import pytest

from data.labelled.collections import read_labelled
from data.tables import DatasetError


def write(root: Path, header: str, rows: list[str]) -> Path:
    root.mkdir(exist_ok=True)
    (root / "clips.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def test_folds_after_the_third_are_held_out(tmp_path: Path) -> None:
    root = write(tmp_path, "file_name,fold,category", [f"{fold}.wav,{fold},dog" for fold in range(1, 6)])
    training, held_out = read_labelled(root)
    assert [clip.name for clip in training] == ["1.wav", "2.wav", "3.wav"]
    assert [clip.name for clip in held_out] == ["4.wav", "5.wav"]
    assert training[0].path == tmp_path / "clips" / "1.wav" and training[0].labels == ("dog",)


def test_without_folds_the_choice_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = [f"{number}.wav,drill" for number in range(30)]
    first = read_labelled(write(tmp_path / "a", "file_name,label", rows), held_out=10)[1]
    second = read_labelled(write(tmp_path / "b", "file_name,label", rows[::-1]), held_out=10)[1]
    assert len(first) == 10 and {clip.name for clip in first} == {clip.name for clip in second}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="neither clips.csv"):
        read_labelled(tmp_path)
    with pytest.raises(DatasetError, match="category or label"):
        read_labelled(write(tmp_path, "file_name,what", ["a.wav,dog"]))


def test_classes_may_stand_in_place_of_a_label(tmp_path: Path) -> None:
    training, _ = read_labelled(
        write(tmp_path, "file_name,label,tags", ["a.wav,wood,Wood block; Percussion", "b.wav,dog,Bark"])
    )
    assert [clip.labels for clip in training] == [("Wood block", "Percussion"), ("Bark",)]
    with pytest.raises(DatasetError, match="the tag woof, which is not a class of AudioSet"):
        read_labelled(write(tmp_path, "file_name,tags", ["a.wav,Dog;woof"]))


def test_the_real_collections_are_read(shared: Path) -> None:
    training, held_out = read_labelled(shared / "labelled", held_out=100)
    assert (len(training), len(held_out)) == (1683, 100)
    training, held_out = read_labelled(shared / "sounds")
    assert (len(training), len(held_out)) == (1200, 400)

"""Predictions and references from tables and JSON lines, and everything odd about them named."""

import json
from pathlib import Path

import pytest

from data.tables import DatasetError
from evaluation.inputs import pair, read_predictions, read_references

REFERENCES = {"a.wav": ("a dog barks", "a dog"), "b.wav": ("rain falls", "rain")}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_recordings_that_inference_could_not_caption_are_no_predictions(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.jsonl", '{"file": "a.wav", "caption": "rain"}\n{"file": "b.wav", "error": "damaged"}\n')
    table = write(tmp_path / "a.csv", "file_name,caption_predicted,error\na.wav,rain,\nb.wav,,damaged\n")
    assert read_predictions(lines) == read_predictions(table) == {"a.wav": "rain"}


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    table = write(tmp_path / "p.csv", 'file_name,caption_predicted\na.wav,"a dog, barking"\nb.wav,rain\n')
    lines = [{"file_name": "a.wav", "caption_predicted": "a dog, barking"}, {"file": "b.wav", "caption": "rain"}]
    other = write(tmp_path / "p.jsonl", "\n".join(map(json.dumps, lines)))
    assert read_predictions(table) == read_predictions(other) == {"a.wav": "a dog, barking", "b.wav": "rain"}


def test_references_in_each_form(tmp_path: Path) -> None:
    table = write(tmp_path / "r.csv", "file_name,split,caption_1,caption_2\na.wav,val,x,y\nb.wav,test,z,\n")
    assert read_references(table) == {"a.wav": ("x", "y"), "b.wav": ("z",)}
    assert read_references(table, "validation") == {"a.wav": ("x", "y")}
    lines = [
        {"file_name": "a.wav", "captions": ["x", "y"]},
        {"file": "b.wav", "references": ["z", " "], "captions": [{"text": "a prediction"}]},
        {"file_name": "c.wav", "caption_2": "second", "caption_1": "first"},
    ]
    found = read_references(write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines))))
    assert found == {"a.wav": ("x", "y"), "b.wav": ("z",), "c.wav": ("first", "second")}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "file_name,caption_predicted\na.wav,x\na.wav,y\n", "more than one prediction for 1 .'a.wav'."),
        ("p.csv", "file_name,caption_predicted\n", "0 clips"),
        ("p.csv", "name,text\na.wav,x\n", "needs file_name and caption_predicted"),
        ("p.csv", "file_name,caption_predicted\n,x\n", "no file name in line 2"),
        ("p.jsonl", '{"file_name": "a.wav"}', "no caption_predicted in line 1"),
        ("p.jsonl", "{torn", "not JSON lines .line 1"),
        ("p.jsonl", "[1]", "no object in line 1"),
        ("p.jsonl", "", "0 clips"),
    ],
)
def test_predictions_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_predictions(write(tmp_path / name, text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("r.csv", "file_name,caption_1\na.wav,x\na.wav,y\n", "more than one row for 1 .'a.wav'."),
        ("r.csv", "file_name,caption_1\n", "0 clips"),
        ("r.csv", "file_name,text\na.wav,x\n", "needs file_name and caption_1"),
        ("r.jsonl", '{"file_name": "a.wav", "captions": "x"}', "no list of captions in line 1"),
        ("r.jsonl", '{"file_name": "a.wav", "captions": [""]}', "0 clips"),
        ("r.jsonl", '{"file": "a", "captions": ["x"]}\n{"file": "a", "captions": ["y"]}', "more than one row"),
    ],
)
def test_references_that_cannot_be_used(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_references(write(tmp_path / name, text))


def test_missing_files_are_reported(tmp_path: Path) -> None:
    for read in (read_predictions, read_references):
        for name in ("none.csv", "none.jsonl"):
            with pytest.raises(DatasetError, match=name):
                read(tmp_path / name)


def test_pairs_come_in_the_references_order() -> None:
    corpus = pair({"b.wav": "rain", "a.wav": "a dog"}, REFERENCES)
    assert corpus.names == ("a.wav", "b.wav") and corpus.candidates == ("a dog", "rain")
    assert corpus.references == tuple(REFERENCES.values()) and len(corpus) == 2


def test_folders_do_not_matter_where_no_name_agrees() -> None:
    corpus = pair({"night/a.wav": "a dog", "night/b.wav": "rain"}, REFERENCES)
    assert corpus.names == ("a.wav", "b.wav")
    with pytest.raises(DatasetError, match="no file name in common"):  # which of the two is a.wav, nobody can say
        pair({"night/a.wav": "a dog", "day/a.wav": "rain"}, REFERENCES, partial=True)


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"a.wav": "x"}, "found references without predictions: 1 .'b.wav'."),
        ({"a.wav": "x", "b.wav": "y", "c.wav": "z"}, "found predictions without references: 1 .'c.wav'."),
    ],
)
def test_what_lacks_its_other_side_is_named(
    predictions: dict[str, str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DatasetError, match=f"{message}.*--partial"):
        pair(predictions, REFERENCES)
    corpus = pair(predictions, REFERENCES, partial=True)
    assert set(corpus.names) == set(predictions) & set(REFERENCES)
    assert "the common clips are scored" in caplog.text


def test_nothing_in_common_is_reported() -> None:
    with pytest.raises(DatasetError, match="no file name in common .0 clips."):
        pair({"c.wav": "x"}, REFERENCES, partial=True)


def test_oddities_are_named(caplog: pytest.LogCaptureFixture) -> None:
    pair({"a.wav": " ", "b.wav": "rain"}, {"a.wav": ["one"], "b.wav": ["two", "three"]})
    assert "captions without words among the predictions" in caplog.text and "'a.wav'" in caplog.text
    assert "single reference" in caplog.text
    caplog.clear()
    pair({"a.wav": "x"}, {"a.wav": ["one", "two"]})
    assert "only one clip" in caplog.text and "single reference" not in caplog.text

"""Tables as other programs write them: encodings, missing values, stray columns, escaped quotation marks."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest

from data.tables import DatasetError, has_words
from evaluation.inputs import pair, read_predictions, read_references

HEAD = "file_name,caption_predicted\n"


def told(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> tuple[dict[str, str], str]:
    """The predictions in a table with this content, and the warnings."""
    path.write_bytes(content)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        return read_predictions(path), caplog.text


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_encodings_of_windows(tmp_path: Path, encoding: str, line_end: str, caplog: pytest.LogCaptureFixture) -> None:
    caption = "a café" if encoding == "latin-1" else "it’s “loud” … and – a café"
    content = f"{HEAD}a.wav,rain\nb.wav,{caption}\n".replace("\n", line_end).encode(encoding)
    found, warnings = told(tmp_path / "p.csv", content, caplog)
    assert found == {"a.wav": "rain", "b.wav": caption}
    assert "not UTF-8: 1 ('b.wav')" in warnings
    table = pd.read_csv(tmp_path / "p.csv", encoding=encoding)
    assert list(table.caption_predicted) == list(found.values())


def test_bytes_that_no_encoding_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, warnings = told(tmp_path / "p.csv", HEAD.encode() + b"a.wav,a \x81\x8d dog\n", caplog)
    assert found["a.wav"].endswith("dog") and "not UTF-8: 1" in warnings


def test_half_a_character_of_utf16_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, warnings = told(tmp_path / "p.csv", f"{HEAD}a.wav,rain\nb.wav,dog".encode("utf-16")[:-1], caplog)
    assert list(found) == ["a.wav", "b.wav"] and "damaged characters: 1 ('b.wav')" in warnings


MISSING = ["nan", "NaN", "None", "NULL", "null", "N/A", "#N/A", "<NA>", "NaT", "", "5", "0.25", "1,5", "-", "..."]


@pytest.mark.parametrize("value", MISSING)
def test_a_missing_value_or_a_number_is_no_caption(
    tmp_path: Path, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What pandas reads as missing is not learnt as a word; numbers come from shifted columns."""
    assert not has_words(value)
    table = pd.DataFrame(
        {"file_name": ["a.wav", "b.wav"], "caption_1": [value, "rain"], "caption_2": [value, "it rains"]}
    )
    table.to_csv(tmp_path / "r.csv", index=False)
    with caplog.at_level(logging.WARNING):
        references = read_references(tmp_path / "r.csv")
    assert references == {"b.wav": ("rain", "it rains")} and "('a.wav')" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        pair({"b.wav": value}, references)
    assert "without words among the predictions" in caplog.text


@pytest.mark.parametrize(
    "caption", ["a nan bread sizzles", "none of the dogs bark", "2 dogs", "hund", "犬", "عواء", "a"]
)
def test_words_are_words(caption: str) -> None:
    assert has_words(caption)


@pytest.mark.parametrize("value", ["NaN", "null"])
def test_missing_values_in_json(tmp_path: Path, value: str) -> None:
    (tmp_path / "p.jsonl").write_text(f'{{"file": "a.wav", "caption": {value}}}\n')
    assert read_predictions(tmp_path / "p.jsonl") == {"a.wav": ""}


@pytest.mark.parametrize(
    "line", [{"file": "a.wav", "caption": True}, {"file": False, "caption": "x", "captions": ["x"]}]
)
def test_truth_values_in_json_are_refused(tmp_path: Path, line: dict[str, object]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(line))
    with pytest.raises(DatasetError, match=r"p\.jsonl has '(True|False)' in line 1: expected a string"):
        read_predictions(tmp_path / "p.jsonl")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_stray_columns_of_a_spreadsheet(tmp_path: Path, separator: str) -> None:
    lines = [
        ["file_name", "caption_predicted", "", "", ""],
        ["a.wav", "rain", "", "", ""],
        ["b.wav", "dog", "", "x", ""],
    ]
    (tmp_path / "p.csv").write_text("\n".join(map(separator.join, lines)))
    assert read_predictions(tmp_path / "p.csv") == {"a.wav": "rain", "b.wav": "dog"}


def test_quotation_marks_with_a_backslash_name_their_line(tmp_path: Path) -> None:
    """Read as CSV, the caption would have lost a mark and got two backslashes."""
    table = pd.DataFrame({"file_name": ["a.wav", "b.wav"], "caption_predicted": ["rain", 'a "loud" dog, and rain']})
    table.to_csv(tmp_path / "p.csv", index=False, doublequote=False, escapechar="\\")
    with pytest.raises(DatasetError, match=r"p\.csv has quotation marks with a backslash in line 3: write them twice"):
        read_predictions(tmp_path / "p.csv")
    table.to_csv(tmp_path / "p.csv", index=False)
    assert read_predictions(tmp_path / "p.csv")["b.wav"] == 'a "loud" dog, and rain'
    (tmp_path / "p.csv").write_text(HEAD + 'a.wav,"in C:\\"\nb.wav,the C:\\"drive"\n')
    assert read_predictions(tmp_path / "p.csv")["a.wav"] == "in C:\\"

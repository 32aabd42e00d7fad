"""Text, JSON lines and CSV: what is written can be read back."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.formats.base import clock
from captioning.formats.registry import records_text
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


def record(text: str, start: float = 0.0, end: float = 10.0, file: str = "a.wav", score: float = -1.5) -> CaptionRecord:
    return CaptionRecord(file, start, end, (ScoredCaption(text, score), ScoredCaption("another", score - 1)))


@given(texts, texts)
def test_jsonl_round_trip(text: str, file: str) -> None:
    line = json.loads(records_text([record(text, file=file)], "jsonl"))
    assert line == {
        "file": file,
        "start_s": 0.0,
        "end_s": 10.0,
        "caption": text,
        "captions": [{"text": text, "log_probability": -1.5}, {"text": "another", "log_probability": -2.5}],
    }


@given(texts, texts)
def test_csv_round_trip(text: str, file: str) -> None:
    rows = list(csv.DictReader(io.StringIO(records_text([record(text, file=file)], "csv"), newline="")))
    assert [(row["file_name"], row["caption_predicted"]) for row in rows] == [(file, text)]


@given(st.floats(0, 360_000))
def test_the_clock_reads_back(seconds: float) -> None:
    hours, minutes, rest = clock(seconds, ".").split(":")
    assert int(hours) * 3600 + int(minutes) * 60 + float(rest) == pytest.approx(seconds, abs=0.0006)
    assert int(minutes) < 60 and float(rest) < 60


def test_neighbours_that_say_the_same_are_one() -> None:
    records = [
        record("rain", 0, 10, score=-3),
        record("rain", 10, 20, score=-1),
        record("wind", 20, 30),
        record("rain", 30, 40),
    ]
    merged = merge_neighbours([*records, record("rain", 40, 50, file="b.wav")])
    assert [(r.file, r.caption, r.start_s, r.end_s) for r in merged] == [
        ("a.wav", "rain", 0, 20),
        ("a.wav", "wind", 20, 30),
        ("a.wav", "rain", 30, 40),
        ("b.wav", "rain", 40, 50),
    ]
    assert merged[0].captions[0].log_probability == -1


def test_text_shows_alternatives_times_and_references() -> None:
    captions = (ScoredCaption("x", -1.0), ScoredCaption("y", -2.0))
    text = records_text([CaptionRecord("a.wav", 0, 1, captions, ("z",))], "text", with_times=True)
    assert text.splitlines()[0] == "a.wav: [00:00:00.000 - 00:00:01.000] x"
    assert "2. y  (log-probability -2.00)" in text and "reference: z" in text


def calibrated(text: str, probability: float | None) -> CaptionRecord:
    return CaptionRecord("a.wav", 0, 1, (ScoredCaption(text, -1.5, probability), ScoredCaption("other", -2.0, 0.125)))


def test_calibrated_probabilities_are_written_where_they_are_known() -> None:
    text = records_text([calibrated("rain", 0.714)], "text")
    assert "1. rain  (probability 71 %)" in text and "log-probability" not in text
    line = json.loads(records_text([calibrated("rain", 0.714)], "jsonl"))
    assert line["captions"][0] == {"text": "rain", "log_probability": -1.5, "probability": 0.714}


def test_a_table_has_a_column_of_probabilities_when_every_heard_clip_has_one() -> None:
    silent = CaptionRecord("b.wav", 0, 1, SILENCE)

    def column(*records: CaptionRecord) -> list[str | None]:
        return [row.get("probability") for row in csv.DictReader(io.StringIO(records_text(records, "csv")))]

    assert column(calibrated("rain", 0.714), silent, calibrated("wind", 0.0)) == ["0.7140", "", "0.0000"]
    assert column(calibrated("rain", 0.714), record("wind")) == [None, None]
    assert column(silent) == [None]


def test_a_gap_between_neighbours_is_closed_up_to_its_length() -> None:
    records = [record("rain", 0, 10), record("rain", 13, 20), record("rain", 24, 30)]
    assert [(r.start_s, r.end_s) for r in merge_neighbours(records)] == [(0, 10), (13, 20), (24, 30)]
    assert [(r.start_s, r.end_s) for r in merge_neighbours(records, 3)] == [(0, 20), (24, 30)]
    between = [record("rain", 0, 10), record("wind", 10, 11), record("rain", 11, 20)]
    assert len(merge_neighbours(between, 3)) == 3

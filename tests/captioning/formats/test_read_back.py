"""Every format is read back by a library that is not ours: crowsetta, pysubs2, pandas and pyarrow."""

import io
import json
from datetime import datetime
from pathlib import Path

import crowsetta
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.formats.base import Layout, Row, TableColumns, start_time
from captioning.formats.registry import FORMATS, records_text
from data.caption_formats import SILENCE, CaptionRecord, FailedRecording, ScoredCaption

words = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\\\\"), min_size=1, max_size=9)
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
RECORDER = "night/SITE_20240131_235955.wav"
ROWS: list[Row] = [
    CaptionRecord(RECORDER, 0.0, 10.0, (ScoredCaption("rain & wind <b> {x}", -1.5, 0.75), ScoredCaption("wind", -2.0))),
    CaptionRecord(RECORDER, 10.0, 20.5, SILENCE),
    CaptionRecord(RECORDER, 20.5, 3725.5, (ScoredCaption("a dog\nbarks", -0.25, 0.5),)),
]
FAILED = FailedRecording("night/b.wav", "night/b.wav is damaged, or no audio file: expected sound.")


def write(tmp_path: Path, name: str, rows: list[Row] = ROWS) -> Path:
    path = tmp_path / f"table{FORMATS[name].suffix}"
    with path.open("wb") as stream:
        FORMATS[name](Layout(True, TableColumns.of(rows))).write(stream, rows)
    return path


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_are_read_by_pysubs2(tmp_path: Path, form: str) -> None:
    subtitles = pysubs2.load(str(write(tmp_path, form)), keep_html_tags=True)
    assert [(cue.start, cue.end) for cue in subtitles] == [(0, 10000), (10000, 20500), (20500, 3725500)]
    escaped = "rain &amp; wind &lt;b&gt; {x}" if form == "vtt" else "rain & wind <b> {x}"  # pysubs2 keeps entities
    assert [cue.text for cue in subtitles] == [escaped, "silence", "a dog barks"]


def test_subtitles_to_the_letter() -> None:
    rows = [ROWS[1], ROWS[2]]
    assert records_text(rows, "srt") == (
        "1\n00:00:10,000 --> 00:00:20,500\nsilence\n\n2\n00:00:20,500 --> 01:02:05,500\na dog barks\n\n"
    )
    assert records_text(rows, "vtt") == (
        "WEBVTT\n\n00:00:10.000 --> 00:00:20.500\nsilence\n\n00:00:20.500 --> 01:02:05.500\na dog barks\n\n"
    )


@given(texts, st.floats(0, 300_000), st.floats(0.1, 1000))
def test_any_caption_comes_back_from_subtitles(text: str, start_s: float, length_s: float) -> None:
    record = CaptionRecord("a.wav", start_s, start_s + length_s, (ScoredCaption(text, -1.0),))
    [cue] = pysubs2.SSAFile.from_string(records_text([record], "srt"), keep_html_tags=True)
    assert cue.text == text and abs(cue.start - 1000 * start_s) <= 0.51


@pytest.mark.parametrize("form", ["srt", "vtt", "audacity", "raven"])
def test_rows_that_do_not_name_their_recording_belong_to_one(form: str) -> None:
    other = CaptionRecord("b.wav", 0, 1, SILENCE)
    with pytest.raises(ValueError, match="is a format for one recording"):
        records_text([*ROWS, other], form)


def test_audacity_labels_are_read_by_crowsetta(tmp_path: Path) -> None:
    path = write(tmp_path, "audacity")
    assert path.read_text().splitlines()[1] == "10.000000\t20.500000\tsilence"  # three columns, seconds, no head
    labels = crowsetta.formats.seq.AudSeq.from_file(path)
    assert labels.start_times.tolist() == [0.0, 10.0, 20.5] and labels.end_times.tolist() == [10.0, 20.5, 3725.5]
    assert list(labels.labels) == ["rain & wind <b> {x}", "silence", "a dog barks"]


def test_raven_tables_are_read_by_crowsetta(tmp_path: Path) -> None:
    path = write(tmp_path, "raven")
    needed = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    assert path.read_text().splitlines()[0].split("\t")[:7] == needed  # as in BirdNET-Analyzer's tables
    boxes = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Annotation").to_bbox()
    assert [(box.onset, box.offset, box.label) for box in boxes] == [
        (0.0, 10.0, "rain & wind <b> {x}"),
        (10.0, 20.5, "silence"),
        (20.5, 3725.5, "a dog barks"),
    ]
    assert {(box.low_freq, box.high_freq) for box in boxes} == {(0.0, 16000.0)}
    table = pd.read_csv(path, sep="\t")
    assert list(table["Selection"]) == [1, 2, 3] and set(table["Begin Path"]) == {RECORDER}
    assert set(table["Begin File"]) == {Path(RECORDER).name}
    assert table["File Offset (s)"].tolist() == table["Begin Time (s)"].tolist()  # the table is of one recording
    assert table["Probability"].tolist()[::2] == [0.75, 0.5] and pd.isna(table["Probability"][1])
    assert table["Start Time"][1] == "2024-02-01T00:00:05.000"


def test_csv_is_read_by_pandas(tmp_path: Path) -> None:
    table = pd.read_csv(write(tmp_path, "csv", [*ROWS, FAILED]), parse_dates=["start_time"])
    assert list(table["caption_predicted"])[:3] == ["rain & wind <b> {x}", "silence", "a dog\nbarks"]
    assert table["start_time"][2] == datetime(2024, 2, 1, 0, 0, 15, 500000)
    assert table["error"][3] == FAILED.error and pd.isna(table["caption_predicted"][3]) and pd.isna(table["error"][0])


def test_json_lines_are_read_by_pandas(tmp_path: Path) -> None:
    table = pd.read_json(write(tmp_path, "jsonl", [*ROWS, FAILED]), lines=True)
    assert list(table["end_s"])[:3] == [10.0, 20.5, 3725.5] and table["error"][3] == FAILED.error
    assert table["captions"][0][0] == {"text": "rain & wind <b> {x}", "log_probability": -1.5, "probability": 0.75}


def test_parquet_is_read_by_pyarrow_and_pandas(tmp_path: Path) -> None:
    path = write(tmp_path, "parquet", [*ROWS, FAILED])
    table = pa.parquet.read_table(path)
    rows = table.to_pylist()
    assert rows[0]["caption"] == "rain & wind <b> {x}" and rows[0]["probability"] == 0.75
    assert rows[0]["captions"][1] == {
        "text": "wind", "log_probability": -2.0, "probability": None, "similarity": None
    }  # fmt: skip
    assert rows[1]["start_time"] == datetime(2024, 2, 1, 0, 0, 5) and rows[0]["error"] is None
    assert rows[3] == {name: None for name in table.column_names} | {"file": FAILED.file, "error": FAILED.error}
    assert pd.read_parquet(path)["end_s"].tolist()[:3] == [10.0, 20.5, 3725.5]
    empty = pa.parquet.read_table(write(tmp_path, "parquet", []))
    assert empty.schema == table.schema and empty.num_rows == 0


def test_a_failed_recording_is_only_where_there_is_a_place_for_it(tmp_path: Path) -> None:
    for name, form in FORMATS.items():
        with_failure = write(tmp_path, name, [ROWS[0], FAILED]).read_bytes()
        shown = FAILED.error.encode() in with_failure
        assert shown == form.shows_failures
        if not form.shows_failures:
            assert with_failure == write(tmp_path, name, [ROWS[0]]).read_bytes()


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("card/20240131_053000.WAV", datetime(2024, 1, 31, 5, 30)),
        ("20240131_053000T.WAV", datetime(2024, 1, 31, 5, 30)),
        ("24E144085F256E89_20240131_053000.WAV", datetime(2024, 1, 31, 5, 30)),
        ("SITE_20240131_053000.wav", datetime(2024, 1, 31, 5, 30)),
        ("SITE-A_20240131_053000_000.wav", datetime(2024, 1, 31, 5, 30)),
        ("20241331_053000.wav", None),
        ("00000101_000000.wav", None),
        ("120240131_0530001.wav", None),
        ("rain.wav", None),
    ],
)
def test_recorders_names_tell_the_time(file: str, expected: datetime | None) -> None:
    assert start_time(CaptionRecord(file, 0.0, 1.0, SILENCE)) == expected


def test_text_is_json_compatible_whatever_the_name() -> None:
    line = json.loads(records_text([CaptionRecord("caf\\xe9.wav", 0, 1, SILENCE)], "jsonl"))
    assert line["file"] == "caf\\xe9.wav"
    assert list(pd.read_csv(io.StringIO(records_text(ROWS, "csv")))) == [
        "file_name", "start_s", "end_s", "start_time", "caption_predicted", "log_probability", "probability"
    ]  # fmt: skip

"""A cluster's output folder: parts of so many recordings each."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet
import pytest

from captioning import outputs
from captioning.formats.base import Row
from captioning.outputs import OutputPlan, write_tables
from captioning.shown import Selection
from data.caption_formats import SILENCE, CaptionRecord, FailedRecording


def rows(number: int) -> Iterator[Sequence[Row]]:
    for place in range(number):
        if place == 2:
            yield [FailedRecording("2.wav", "no sound")]
        else:
            yield [CaptionRecord(f"{place}.wav", 0, 1, SILENCE), CaptionRecord(f"{place}.wav", 1, 2, SILENCE)]


def test_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "RECORDINGS_A_SHARD", 2)
    plan = OutputPlan(tmp_path, ("jsonl", "parquet"), False, True, 0, Selection(0.0, None), sharded=True)
    assert plan.manifest == tmp_path / "manifest.jsonl"
    write_tables(plan, lambda: rows(7), 7, 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"captions-0000{part}.{suffix}" for part in range(4) for suffix in ("jsonl", "parquet")
    ]
    files = [
        [json.loads(line)["file"] for line in path.read_text().splitlines()]
        for path in sorted(tmp_path.glob("*.jsonl"))
    ]
    assert files == [
        ["0.wav"] * 2 + ["1.wav"] * 2,
        ["2.wav"] + ["3.wav"] * 2,
        ["4.wav"] * 2 + ["5.wav"] * 2,
        ["6.wav"] * 2,
    ]
    table = pyarrow.parquet.read_table(sorted(tmp_path.glob("*.parquet")))
    assert table.num_rows == 13 and table.column("error").to_pylist().count("no sound") == 1
    write_tables(plan, lambda: rows(3), 3, 16000)
    assert len(list(tmp_path.iterdir())) == 4

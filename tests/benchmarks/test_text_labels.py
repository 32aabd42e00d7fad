"""The benchmark of label sets predicted from captions, on made data."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.text_labels import COLUMNS, cell, compare, interval, label_matrix, main, measure, pattern_probabilities
from training.text_only import text_labels
from vocabulary.audioset import tag_ids

DOG, RAIN, SPEECH = (tag_ids()[name] for name in ("Dog", "Rain", "Speech"))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty epochs of a small table have enough steps only with small batches."""
    monkeypatch.setattr(text_labels, "BATCH_SIZE", 8)


def made(copies: int = 60) -> tuple[list[str], list[tuple[int, ...]]]:
    """Captions of three kinds; those of a zorbl are labelled with speech, for which they have no word."""
    kinds = {"a dog barks": (DOG,), "a zorbl spins": (SPEECH,), "rain while someone speaks": (RAIN, SPEECH)}
    rows = [(text, classes) for _ in range(copies) for text, classes in kinds.items()]
    return [text for text, _ in rows], [classes for _, classes in rows]


def test_micro_averages_and_cross_entropy() -> None:
    labelled = label_matrix([(DOG, RAIN), (SPEECH,), ()])
    predicted = label_matrix([(DOG,), (SPEECH, DOG), (RAIN,)])
    found = measure(predicted, np.where(labelled, 0.5, 0.0), labelled, seed=0)
    assert found["precision"][0] == pytest.approx(2 / 4) and found["recall"][0] == pytest.approx(2 / 3)
    assert found["cross_entropy"][0] == pytest.approx(3 * math.log(2) / 3, abs=1e-2)
    for value, low, high in found.values():
        assert low <= value <= high


def test_intervals_narrow_with_captions_and_there_is_none_of_nothing() -> None:
    def width(count: int) -> float:
        hits = np.tile([0.0, 1.0], count // 2)
        value, low, high = interval(hits, np.ones(count), 0)
        assert value == 0.5 and interval(hits, np.ones(count), 0) == (value, low, high)
        return high - low

    assert width(1000) == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(1000), rel=0.1)
    assert width(40) > 3 * width(1000)
    assert cell(interval(np.zeros(3), np.zeros(3), 0), 100, 1) == "n/a"
    assert cell((0.5, 0.25, 0.75), 100, 1) == "50.0 (25.0 to 75.0)"


def test_a_patterns_probability_is_the_share_that_has_the_label() -> None:
    named = label_matrix([(DOG,)] * 999 + [()] * 1000)
    labelled = label_matrix([(DOG,)] * 750 + [()] * 1149 + [(DOG,)] * 100)
    shares = pattern_probabilities(named, labelled, label_matrix([(DOG,), ()]))
    assert shares[:, DOG] == pytest.approx([0.75, 0.1], abs=2e-3)
    assert 0 < shares[0, RAIN] < 1e-3


def test_a_word_that_no_pattern_knows_is_learnt() -> None:
    rows = compare(*made(), held_out=30, seed=0)
    assert [row[:2] for row in rows] == [
        [labels, by]
        for labels in ("all", "Speech", "Speech, without a word for it")
        for by in ("text classifier", "patterns")
    ]
    assert rows[0][2:5] == ["30", "100.0 (100.0 to 100.0)", "100.0 (100.0 to 100.0)"]
    learnt, patterns = rows[4], rows[5]  # of dogs and zorbls
    assert learnt[2] == patterns[2] and 0 < int(learnt[2]) < 30
    assert learnt[3:5] == ["100.0 (100.0 to 100.0)"] * 2 and patterns[3:5] == ["n/a", "0.0 (0.0 to 0.0)"]
    assert rows == compare(*made(), held_out=30, seed=0) != compare(*made(), held_out=30, seed=1)


def test_the_table_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    captions, label_sets = made()
    names = {number: name for name, number in tag_ids().items()}
    ids = list(range(len(captions)))
    pd.DataFrame({"clip": ids, "caption": captions}).to_csv(tmp_path / "captions.csv", index=False)
    sets = [";".join(names[number] for number in classes) for classes in label_sets]
    pd.DataFrame({"clip": ids, "audioset_labels": sets}).to_csv(tmp_path / "labels.csv", index=False)
    output = tmp_path / "results" / "text_labels.md"
    arguments = ["--captions", str(tmp_path / "captions.csv"), "--label_table", str(tmp_path / "labels.csv")]
    assert main([*arguments, "--held_out", "30", "--output", str(output)]) == 0
    text = output.read_text()
    assert text == capsys.readouterr().out
    assert text.startswith("Trained on 150 captions, evaluated on 30 others (seed 0)")
    assert all(column in text for column in COLUMNS) and text.count("\n| ") == 1 + 6
    assert main(arguments) == 2 and "--held_out 2500, expected 1 to 179" in caplog.text
    assert main([*arguments[:2], "--label_table", str(tmp_path / "none.csv")]) == 2 and "none.csv" in caplog.text

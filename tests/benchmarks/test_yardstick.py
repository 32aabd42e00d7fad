"""One command that judges systems on everything."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import yardstick
from benchmarks.judging import (
    difference,
    in_half,
    judge_captioned,
    judge_labelled,
    judge_pairs,
    judge_sounds,
    mean_rate,
    rate,
    ratio,
    some_of,
)
from data.clotho import FileClip
from evaluation.overlap import mean_result
from evaluation.scores import Score, as_score, draw_resamples

REFERENCES = {
    "a.wav": ("a dog barks", "a dog is barking"),
    "b.wav": ("rain falls on a roof", "it rains"),
    "c.wav": ("a siren wails", "an ambulance siren wails in the distance"),
    "d.wav": ("a clock ticks", "a clock is ticking"),
}
CLIPS = [FileClip(Path(name), captions) for name, captions in REFERENCES.items()]
GOOD = {name: captions[0] for name, captions in REFERENCES.items()}
POOR = GOOD | {"b.wav": "a cow moos while rain falls", "c.wav": "a bell rings"}


QUICK = ("cider_d", "rouge_l", "invented")  # no METEOR and no sentence model


def score(*values: float, seed: int = 0) -> Score:
    return as_score(mean_result(np.array(values), draw_resamples(len(values), 200, seed)))


def test_a_system_differs_from_itself_by_nothing() -> None:
    clips = [FileClip(Path(f"{number}{clip.name}"), clip.captions) for number in range(5) for clip in CLIPS]
    said = {clip.name: POOR[clip.name[1:]] for clip in clips}
    pairs = judge_pairs(clips, {"first": said, "peer": dict(said)}, "peer", QUICK)
    assert list(pairs) == ["first"] and pairs["first"].num_clips == 20
    assert list(pairs["first"].differences) == list(QUICK)
    for key, found in pairs["first"].differences.items():
        assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0), key
    same = pairs["first"].cider_d_ratio
    assert (same.value, same.low, same.high) == (1.0, 1.0, 1.0)


def test_pairs_are_judged_on_the_clips_that_both_have() -> None:
    peer = {name: POOR[name] for name in ("a.wav", "b.wav", "c.wav")}
    pairs = judge_pairs(CLIPS, {"good": GOOD, "none": {}, "peer": peer}, "peer", QUICK)
    assert list(pairs) == ["good"] and pairs["good"].num_clips == 3
    assert pairs["good"].differences["invented"].difference == pytest.approx(-2 / 3)
    assert pairs["good"].differences["cider_d"].difference > 0


def test_each_system_is_judged_on_the_clips_that_it_has() -> None:
    part = {name: GOOD[name] for name in ("a.wav", "b.wav")}
    found = judge_captioned(CLIPS, {"part": part, "poor": POOR, "none": {}}, QUICK)
    assert list(found) == ["part", "poor"]
    assert found["part"]["invented"].value == 0.0 and found["poor"]["invented"].value == 0.5
    per_clip = found["part"]["invented"].per_clip
    assert per_clip is not None and len(per_clip) == 2


def test_the_halves_are_disjoint_and_fixed() -> None:
    names = [f"{number}.wav" for number in range(400)]
    choose, confirm = ({name for name in names if in_half(name, half)} for half in ("choose", "confirm"))
    assert choose | confirm == set(names) and not choose & confirm and 150 < len(choose) < 250
    assert all(in_half(name, "all") for name in names)
    with pytest.raises(ValueError, match="expected one of choose, confirm, all"):
        in_half("a.wav", "third")
    few = some_of(names, str, "choose", 10)
    assert len(few) == 10 and set(few) <= choose and few == [name for name in names if name in few]
    assert set(some_of(names[::-1], str, "choose", 10)) == set(few)


def test_ratios_and_differences() -> None:
    high, low = score(2.0, 4.0, 6.0), score(1.0, 2.0, 3.0)
    half = ratio(low, high)
    assert (half.value, half.low, half.high) == (pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5))
    assert ratio(high, score(0.0, 0.0, 0.0)).value is None and ratio(Score(None), high).value is None
    assert ratio(high, score(0.0, 0.0, 1.0)).low is None  # some resample's is 0
    assert difference(high, high).low == difference(high, high).high == 0.0
    assert difference(high, low).value == pytest.approx(2.0)
    assert difference(high, Score(None)).value is None


def test_rates_and_their_mean() -> None:
    many, few = rate([True, False] * 100), rate([True, True, True, False], seed=1)
    assert many.value == 0.5 and many.low is not None and many.high is not None and 0.4 < many.low < many.high < 0.6
    assert mean_rate([many, few]).value == pytest.approx(0.625)
    one = mean_rate([many, rate([True])])
    assert one.value == 0.75 and one.low is not None and one.high is not None and 0.7 < one.low < one.high < 0.8
    assert rate([]).value is None and mean_rate([many, rate([])]).value is None and mean_rate([]).value is None


def test_sounds_that_are_named_and_invented() -> None:
    labels = [("dog",), ("dog",), ("siren",), ("dog", "siren"), ("dog", "rain")]
    captions = ["A dog barks.", "a dog barks in the rain", "something", "a dog barks while a siren wails", "a dog"]
    found = judge_sounds(labels, captions)
    assert found.single.value == pytest.approx(2 / 3) and found.single_only.value == pytest.approx(1 / 3)
    assert found.invented.value == pytest.approx(1 / 3) and found.both.value == 0.5


def test_labels_that_are_named() -> None:
    labels = [("dog",), ("dog",), ("dog",), ("no such label, zzz",)]
    captions = ["a dog barks", "a dog barks and a cat meows", "a cat meows", "a dog"]
    found = judge_labelled(labels, captions)
    assert found.num_clips == 3
    assert found.named.value == pytest.approx(2 / 3) and found.only.value == pytest.approx(1 / 3)


def test_the_choice_score() -> None:
    assert yardstick.choice_score(np.array([1.0, 0.5]), np.array([0.5, 0.0]), [10, 30]) == pytest.approx(0.625)
    found = yardstick.choose([{"cider_d": score(1.0, 2.0), "invented": score(0.0, 1.0)}])
    assert found.value == pytest.approx(1.0) and found.low is not None
    assert yardstick.choose([]).value is None
    assert yardstick.choose([{"cider_d": Score(None), "invented": score(0.0, 1.0)}]).value is None


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two captioned data sets of AudioCaps with a table of captions of the first, and labelled clips of two collections."""
    generator = np.random.default_rng(0)
    for root, names in (("one", "abc"), ("two", "def"), ("labelled", ("x/1", "x/2", "y/3"))):
        header = "file_name,label" if root == "labelled" else "file_name,split,corpus,caption_1,caption_2"
        rows = [header]
        for name in names:
            path = tmp_path / root / "clips" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, generator.normal(size=8000) * 0.1, 16000)
            cells = ["dog"] if root == "labelled" else ["validation", "audiocaps", f"a dog barks {name}", "rain falls"]
            rows.append(",".join([f"{name}.wav", *cells]))
        (tmp_path / root / "clips.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "peer.csv").write_text("file_name,caption_predicted\na.wav,a dog barks\nb.wav,a cow moos\nz.wav,x\n")
    return tmp_path


def run(data: Path, *more: object) -> int:
    given = ["--captioned", data / "one", data / "two", "--captions", f"peer={data / 'peer.csv'}", *more]
    return yardstick.main([str(item) for item in given])


def test_the_whole_report(data: Path, tiny_checkpoint: Path, labelled_sounds: Path) -> None:
    output = data / "out" / "report.md"
    more = ["--labelled", data / "labelled", "--left_out", "y", "--sounds", labelled_sounds.parent / "ESC-50"]
    more += [
        "--measures",
        "rouge_l",
        "--mixtures",
        2,
        "--ckpt_path",
        tiny_checkpoint,
        "--peer",
        "peer",
        "--num_beams",
        1,
        "--output",
        output,
    ]
    assert run(data, *more) == 0
    text = output.read_text()
    for heading in ("Captioned clips", "Compared with peer, paired", "Sounds", "Labelled clips", "Choice score"):
        assert f"## {heading}\n" in text
    lines = text.splitlines()
    assert f"| peer | 2 of 6 | {lines[-2].split(' | ')[2]} |  |" == lines[-2] and "6 of 6" in lines[-1]
    clips = [line.split(" | ")[0].removeprefix("| ") for line in lines if str(tiny_checkpoint) in line]
    groups = ["3 audiocaps of one", "3 audiocaps of two", "6 audiocaps, pooled"]
    assert clips[:4] == [*groups, "2 audiocaps of one"]  # the last one beside the peer
    assert sum("| left out | 1 |" in line for line in lines) == 1
    captions = json.loads(output.with_suffix(".json").read_text())
    assert set(captions["captioned"]["audiocaps of one"]["a.wav"]) == {"peer", str(tiny_checkpoint)}
    assert set(captions["labelled"]) == {"x", "y"} and len(captions["sounds"]) == 4


def test_errors_are_reported(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(data, "--peer", "other") == 2 and "expected a name given with --captions" in caplog.text
    assert (
        run(data, "--labelled", data / "labelled", "--left_out", "z") == 2
        and "collections of --labelled: x, y" in caplog.text
    )
    assert run(data, "--limit", 0) == 2 and "found --limit 0 (expected 1 or more)" in caplog.text
    assert yardstick.main(["--captioned", str(data / "one")]) == 2 and "nothing to evaluate" in caplog.text
    assert yardstick.main(["--captioned", str(data / "one"), str(data / "one"), "--captions", "a=b"]) == 2
    assert "expected each name once" in caplog.text
    assert yardstick.main(["--captioned", str(data / "two"), "--captions", f"peer={data / 'peer.csv'}"]) == 2
    assert "captions for none of the 3 captioned clips" in caplog.text
    assert (
        yardstick.main(["--captioned", str(data / "one"), "--captions", "peer.csv"]) == 2
        and "NAME=TABLE" in caplog.text
    )

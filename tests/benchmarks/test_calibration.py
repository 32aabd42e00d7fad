"""The benchmark of calibration: what it fits, what it holds out, and what it measures."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import calibration as benchmark
from benchmarks.calibration import Judged, bins_of, brier_score, calibration_error, fit_calibration, held_out, spread
from data.clotho import FileClip
from models.calibration import Calibration
from models.captioner import AudioCaptioner
from models.checkpoint import read_metadata
from models.ranking import Fit

TRUE = Calibration(1.0, 3.0, support=0.4, coverage=2.0)


def simulated(count: int, calibration: Calibration = TRUE, tags: bool = True) -> list[Judged]:
    """Captions that are right as often as a calibration says; each fourth clip is a mixture of two recordings."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(count):
        per_token = float(generator.uniform(-1.2, -0.2))
        fit = Fit(float(generator.uniform()), float(generator.uniform(-4, 0))) if tags else None
        right = bool(generator.uniform() < calibration.probability(per_token, fit))
        recordings = {str(number), str(int(generator.integers(count)))} if number % 4 == 0 else {str(number)}
        found.append(Judged(frozenset(recordings), per_token, fit, right))
    return found


def test_the_fit_finds_the_weights_that_made_the_outcomes() -> None:
    found = fit_calibration(simulated(20000), 0.25)
    assert found.strong_tag == 0.25
    for name in ("intercept", "per_token", "support", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=0.3), name


def test_without_a_tagger_the_log_probability_stands_alone() -> None:
    found = fit_calibration(simulated(20000, Calibration(1.0, 3.0), tags=False), 0.3)
    assert not found.uses_tags and found.per_token == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize("right", [True, False])
def test_captions_that_are_all_right_or_all_wrong_give_finite_weights(right: bool) -> None:
    captions = [Judged(frozenset([str(n)]), -0.1 * n, Fit(1.0, -0.2 * n), right) for n in range(10)]
    found = fit_calibration(captions, 0.3)
    assert found.probability(-0.5, Fit(1.0, -1.0)) == pytest.approx(11 / 12 if right else 1 / 12, abs=1e-3)
    assert found.coverage == 0.0  # it was the same in all


def test_a_perfect_division_gives_finite_weights() -> None:
    captions = [Judged(frozenset([str(n)]), -0.1 * n, None, n < 5) for n in range(10)]
    found = fit_calibration(captions, 0.3)
    assert 0 < found.per_token < 1e3
    assert found.probability(0.0) > 0.8 and found.probability(-0.9) < 0.2


def test_no_recording_is_in_both_halves() -> None:
    captions = simulated(400)
    first, second = benchmark.halves(captions, seed=0)
    heard = [set().union(*(captions[n].recordings for n in half)) for half in (first, second)]
    assert not heard[0] & heard[1] and not set(first) & set(second)
    left = [caption for n, caption in enumerate(captions) if n not in {*first, *second}]
    assert left and all(len(caption.recordings) == 2 for caption in left)
    judged, predicted = held_out(captions, 0.3, seed=0)
    assert len(judged) == len(predicted) == len(first) + len(second)
    outcomes = benchmark.outcomes_of(judged)
    assert brier_score(predicted, outcomes) < brier_score(np.full(len(outcomes), outcomes.mean()), outcomes)


def test_too_few_clips_are_told() -> None:
    with pytest.raises(ValueError, match="too few to be halved"):
        held_out([Judged(frozenset("ab"), -1.0, None, True)], 0.3, seed=0)


def test_measures() -> None:
    predicted = np.array([0.05, 0.05, 0.75, 0.75, 1.0])
    outcomes = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    low, middle, high = bins_of(predicted, outcomes)
    assert (low.count, low.low, low.predicted, low.right[0]) == (2, 0.0, pytest.approx(0.05), 0.5)
    assert (middle.low, middle.count, high.low, high.count) == (0.7, 2, 0.9, 1)
    assert 0 <= low.right[1] < 0.5 < low.right[2] <= 1
    assert calibration_error(predicted, outcomes) == pytest.approx((2 * 0.45 + 2 * 0.25 + 0.0) / 5)
    assert brier_score(predicted, outcomes) == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.25**2) / 5)


def test_a_limit_is_spread_over_the_table() -> None:
    clips = [FileClip(Path(f"{n}.wav"), ("x",)) for n in range(10)]
    assert [clip.name for clip in spread(clips, 4)] == ["0.wav", "3.wav", "6.wav", "9.wav"]
    assert spread(clips, 0) == spread(clips, 10) == spread(clips, 99) == clips


@pytest.fixture
def labelled(tone_dataset: Path, tmp_path: Path) -> Path:
    """The tones with labels."""
    root = shutil.copytree(tone_dataset, tmp_path / "labelled")
    rows = [
        f"validation,validation{n}.wav,single,{label},{n}" for n, label in enumerate(["dog", "rain", "dog", "rain"])
    ]
    (root / "labels.csv").write_text("\n".join(["split,file_name,kind,labels,source_id", *rows]) + "\n")
    return root


def test_it_writes_what_a_captioner_reads(
    tiny_checkpoint: Path, labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    checkpoint = shutil.copytree(tiny_checkpoint, run / "best")
    before = read_metadata(checkpoint)
    arguments = ["--dataset_root", str(labelled), "--ckpt_path", str(run)]
    assert benchmark.main(arguments) == 0
    assert read_metadata(checkpoint) == before and "calibration: intercept" in capsys.readouterr().out
    assert benchmark.main([*arguments, "--write"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("4 captions, 4 of them held out in turn\n\n| predicted, %")
    after = read_metadata(checkpoint)
    assert after.pop("calibration").keys() == Calibration(0, 0).to_dict().keys() and after == before
    assert (checkpoint / "reliability.png").read_bytes().startswith(b"\x89PNG")
    captioner = AudioCaptioner.from_pretrained(run)
    assert captioner.calibration is not None and captioner.calibration.strong_tag == 0.3
    [[caption]] = captioner.caption([np.full(16000, 0.1, np.float32)])
    assert caption.probability is not None and 0 < caption.probability < 1


def test_mistakes_are_one_sentence(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--dataset_root", str(tone_dataset), "--ckpt_path"]
    assert benchmark.main([*arguments, str(tmp_path / "none"), "--write"]) == 2
    assert "--write needs a checkpoint's folder" in caplog.text
    assert benchmark.main([*arguments, str(tiny_checkpoint)]) == 2
    assert "no labelled validation clip" in caplog.text

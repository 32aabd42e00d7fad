"""The benchmark of calibration: what it fits, what it holds out, and what it measures."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks import calibration as benchmark
from benchmarks.calibration import BOTH, CAPTIONED, LABELLED, Judged, fit_calibration, held_out, spread
from benchmarks.reliability import bins_of, brier_score, calibration_error, share_of
from data.clotho import FileClip
from generation.calibration import Calibration
from generation.rerank import Fit
from generation.retrieval import CaptionStore
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from vocabulary.audioset import named_tags

TRUE = Calibration(1.0, 3.0, support=0.4, coverage=2.0)


def simulated(
    count: int, calibration: Calibration = TRUE, tags: bool = True, kind: str = LABELLED, seed: int = 0
) -> list[Judged]:
    """Captions that are right as often as a calibration says; each fourth labelled clip is a mixture of two recordings."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        per_token = float(generator.uniform(-1.2, -0.2))
        fit = Fit(float(generator.uniform()), float(generator.uniform(-4, 0))) if tags else None
        similarity = float(generator.uniform(0, 2)) if calibration.uses_similarity else None
        right = bool(generator.uniform() < calibration.probability(per_token, fit, similarity))
        mixed = number % 4 == 0 and kind == LABELLED
        recordings = {str(number), str(int(generator.integers(count)))} if mixed else {str(number)}
        recordings = {f"{kind} {name}" for name in recordings}
        found.append(Judged(frozenset(recordings), per_token, fit, right, kind, similarity))
    return found


def test_the_fit_finds_the_weights_that_made_the_outcomes() -> None:
    found = fit_calibration(simulated(20000), 0.25)
    assert found.strong_tag == 0.25
    for name in ("intercept", "per_token", "support", "coverage"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=0.3), name


def test_without_a_tagger_the_log_probability_is_used() -> None:
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


def test_both_kinds_have_the_same_total_weight() -> None:
    captions = [*simulated(300), *simulated(20, kind=CAPTIONED)]
    weights = benchmark.weights_of(captions)
    assert weights.sum() == pytest.approx(320) and weights[:300].sum() == pytest.approx(weights[300:].sum())
    assert (benchmark.weights_of(captions[:300]) == 1).all()


def test_the_fit_lies_between_the_kinds_however_many_clips_each_has() -> None:
    """Of clips alike, 90 % are right in the larger kind and 30 % in the smaller one."""
    many = [Judged(frozenset([f"a{n}"]), -1.0, None, n % 10 > 0) for n in range(2000)]
    few = [Judged(frozenset([f"b{n}"]), -1.0, None, n % 10 < 3, CAPTIONED) for n in range(100)]
    assert fit_calibration(many, 0.3).probability(-1.0) == pytest.approx(0.9, abs=0.01)
    assert fit_calibration(few, 0.3).probability(-1.0) == pytest.approx(0.3, abs=0.01)
    assert fit_calibration([*many, *few], 0.3).probability(-1.0) == pytest.approx(0.6, abs=0.01)


def test_the_halves_have_half_of_each_kind() -> None:
    labelled, captioned = simulated(200), simulated(30, kind=CAPTIONED)
    captions = [*labelled, *captioned]
    first, second = ([captions[n] for n in half] for half in benchmark.halves(captions, seed=0))
    for half in (first, second):
        assert sum(caption.kind == CAPTIONED for caption in half) == 15
        assert sum(caption.kind == LABELLED for caption in half) > 60
    assert benchmark.halves(labelled, seed=0) == [
        [n for n in half if n < 200] for half in benchmark.halves(captions, seed=0)
    ]


def test_a_recording_of_both_kinds_is_in_one_half() -> None:
    labelled = simulated(40)
    captions = [*labelled, *(replace(caption, kind=CAPTIONED) for caption in labelled)]
    first, second = benchmark.halves(captions, seed=0)
    assert {n + 40 for n in first if n < 40} == {n for n in first if n >= 40}
    assert {n + 40 for n in second if n < 40} == {n for n in second if n >= 40}


def test_each_kind_is_judged_on_its_own_and_with_the_other() -> None:
    captions = [*simulated(400), *simulated(40, Calibration(-1.0, 1.0), kind=CAPTIONED)]
    judged, after = held_out(captions, 0.3, seed=0)
    groups = benchmark.by_kind(judged, {"model": after})
    assert list(groups) == [LABELLED, CAPTIONED, BOTH]
    assert [len(group.outcomes) for group in groups.values()] == [len(judged) - 40, 40, len(judged)]
    scores = [brier_score(group.by_model["model"], group.outcomes, group.weights) for group in groups.values()]
    assert scores[2] == pytest.approx((scores[0] + scores[1]) / 2)
    assert list(benchmark.by_kind(judged[:5], {"model": after[:5]})) == [LABELLED]


def test_similarity_is_a_feature_where_it_is_asked_for() -> None:
    captions = simulated(20000, replace(TRUE, similarity=1.5))
    assert fit_calibration(captions, 0.3, similarity=True).similarity == pytest.approx(1.5, abs=0.2)
    assert not fit_calibration(captions, 0.3).uses_similarity
    judged, without = held_out(captions, 0.3, seed=0)
    same, with_it = held_out(captions, 0.3, seed=0, similarity=True)
    outcomes = benchmark.outcomes_of(judged)
    assert same == judged and brier_score(with_it, outcomes) < brier_score(without, outcomes)


@pytest.mark.parametrize(
    ("caption", "right"),
    [
        ("A dog barks.", True),
        ("a dog barks and rain falls", True),  # each is named by one of the references
        ("a dog barks while a siren wails", False),
        ("a siren wails", False),
        ("something happens", False),
    ],
)
def test_a_caption_is_right_when_references_name_all_of_its_sounds(caption: str, right: bool) -> None:
    clip = FileClip(Path("a.wav"), ("A dog is barking", "Rain on a roof, and a barking dog"))
    assert benchmark.agrees_with_references(caption, clip) is right


def test_too_few_clips_are_reported() -> None:
    with pytest.raises(ValueError, match="too few to split"):
        held_out([Judged(frozenset("ab"), -1.0, None, True)], 0.3, seed=0)
    with pytest.raises(ValueError, match="1 captioned clips are too few"):
        held_out([*simulated(40), *simulated(1, kind=CAPTIONED)], 0.3, seed=0)


def test_measures() -> None:
    predicted = np.array([0.05, 0.05, 0.75, 0.75, 1.0])
    outcomes = np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    low, middle, high = bins_of(predicted, outcomes)
    assert (low.count, low.low, low.predicted, low.right[0]) == (2, 0.0, pytest.approx(0.05), 0.5)
    assert (middle.low, middle.count, high.low, high.count) == (0.7, 2, 0.9, 1)
    assert 0 <= low.right[1] < 0.5 < low.right[2] <= 1
    assert calibration_error(predicted, outcomes) == pytest.approx((2 * 0.45 + 2 * 0.25 + 0.0) / 5)
    assert brier_score(predicted, outcomes) == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.25**2) / 5)


def test_measures_with_weights() -> None:
    predicted, outcomes = np.array([0.25, 0.25, 0.75]), np.array([0.0, 1.0, 1.0])
    weights = np.array([3.0, 1.0, 4.0])
    low, high = bins_of(predicted, outcomes, weights)
    assert (low.count, low.weight, low.right[0], high.weight) == (2, 0.5, 0.25, 0.5)
    assert calibration_error(predicted, outcomes, weights) == pytest.approx(0.125)
    assert brier_score(predicted, outcomes, weights) == pytest.approx((3 * 0.25**2 + 0.75**2 + 4 * 0.25**2) / 8)


def test_intervals_are_wilson_s() -> None:
    outcomes = np.array([1.0] * 8 + [0.0] * 2)
    expected = binomtest(8, 10).proportion_ci(method="wilson")
    found = share_of(outcomes)
    assert found == (0.8, pytest.approx(expected.low), pytest.approx(expected.high))
    assert share_of(outcomes, np.full(10, 7.0)) == pytest.approx(found)
    _, low, high = share_of(outcomes, np.array([5.0] + [1.0] * 9))
    assert high - low > found[2] - found[1]  # a weighty one makes the others count for less


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
    assert text.startswith("4 captions, 4 of them in the cross-validation\n\n| clips | predicted, %")
    after = read_metadata(checkpoint)
    assert after.pop("calibration").keys() == Calibration(0, 0).to_dict().keys() and after == before
    assert (checkpoint / "reliability.png").read_bytes().startswith(b"\x89PNG")
    captioner = AudioCaptioner.from_pretrained(run)
    assert captioner.calibration is not None and captioner.calibration.strong_tag == 0.3
    [[caption]] = captioner.caption([np.full(16000, 0.1, np.float32)])
    assert caption.probability is not None and 0 < caption.probability < 1


def test_captioned_recordings_are_judged_and_drawn_too(
    tiny_checkpoint: Path,
    labelled: Path,
    tone_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    tags = replace(captioner.config.decoding.tags, consensus_weight=0.5)
    captioner.config = replace(captioner.config, decoding=replace(captioner.config.decoding, tags=tags))
    classes = [named_tags("Dog"), named_tags("Rain")]
    captioner.search.store = CaptionStore.build(["a dog barks twice", "rain falls on a tin roof"], classes, [0, 0])
    captioner.save_pretrained(tmp_path / "best", {"step": 1})
    arguments = ["--dataset_root", str(labelled), "--captioned", str(tone_dataset)]
    arguments += ["--ckpt_path", str(tmp_path / "best"), "--write", "--limit", "3"]
    assert benchmark.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.startswith("6 captions, 6 of them in the cross-validation")
    for kind in (LABELLED, CAPTIONED, BOTH):
        for model in (benchmark.TOKEN, benchmark.CALIBRATED, benchmark.WITH_SIMILARITY):
            assert f"| {kind} | {model} |" in text
    assert (tmp_path / "best" / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert "similarity" not in read_metadata(tmp_path / "best")["calibration"]

    def fitted(captions: list[Judged], strong_tag: float, similarity: bool = False) -> Calibration:
        assert all(caption.similarity is not None for caption in captions)
        return Calibration(0.0, 1.0, similarity=float(similarity))

    monkeypatch.setattr(benchmark, "fit_calibration", fitted)  # untrained, it says the same of all clips
    assert benchmark.main([*arguments, "--similarity"]) == 0
    assert "similarity" in read_metadata(tmp_path / "best")["calibration"]
    [[caption]] = AudioCaptioner.from_pretrained(tmp_path / "best").caption([np.full(16000, 0.1, np.float32)])
    assert caption.similarity is not None and caption.probability is not None


def test_errors_are_one_sentence(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--dataset_root", str(tone_dataset), "--ckpt_path"]
    assert benchmark.main([*arguments, str(tmp_path / "none"), "--write"]) == 2
    assert "--write needs a checkpoint folder" in caplog.text
    assert benchmark.main([*arguments, str(tiny_checkpoint)]) == 2
    assert "no labelled validation clip" in caplog.text


def test_similarity_needs_retrieved_captions(
    tiny_checkpoint: Path, labelled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--dataset_root", str(labelled), "--ckpt_path", str(tiny_checkpoint), "--similarity"]
    assert benchmark.main(arguments) == 2
    assert "--similarity needs a checkpoint that retrieves captions" in caplog.text

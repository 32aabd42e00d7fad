"""Scores of systems together: intervals, what is missing, formulas of others, paired comparison."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation import language_models
from evaluation import scores as module
from evaluation.errors import MetricError, UnavailableError
from evaluation.inputs import Corpus
from evaluation.measures import GROUPS, MEASURES, chosen, needed
from evaluation.overlap import mean_result
from evaluation.resources import Resources
from evaluation.scores import ScoreSettings, as_score, compare, draw_resamples, score_systems

QUICK = ("bleu_1", "rouge_l", "cider_d", "vocabulary", "words")


def corpus(*candidates: str) -> Corpus:
    references = (("a dog barks", "a dog"), ("rain falls on a roof", "it rains"), ("a clock ticks", "ticking"))
    return Corpus(("a", "b", "c"), candidates, references)


GOOD = corpus("a dog barks", "rain falls", "a clock ticks")
POOR = corpus("a dog barks", "wind", "a bird")


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Resources:
    """A user who has fetched nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("AAC_METRICS_CACHE_PATH", raising=False)
    (tmp_path / "empty").mkdir()
    return Resources(tmp_path / "empty")


def test_resamples_have_as_many_clips() -> None:
    counts = draw_resamples(7, 50, seed=1)
    assert counts.shape == (50, 7) and set(counts.sum(axis=1)) == {7.0}
    assert (draw_resamples(7, 50, seed=1) == counts).all() and (draw_resamples(7, 50, seed=2) != counts).any()
    assert draw_resamples(1, 50, seed=1).shape == (0, 1)


def test_an_interval_covers_as_it_says() -> None:
    """Of 200 samples of 80 from a known distribution, about 95 % of the intervals hold its mean."""
    generator = np.random.default_rng(0)
    hits = 0
    for number in range(200):
        values = generator.gamma(2.0, 0.5, size=80)  # mean 1, skewed as scores are
        score = as_score(mean_result(values, draw_resamples(80, 400, seed=number)))
        assert score.low is not None and score.high is not None
        hits += score.low <= 1.0 <= score.high
    assert 180 <= hits <= 198


def test_two_systems_and_their_comparison() -> None:
    good, poor = score_systems([GOOD, POOR], ScoreSettings(measures=QUICK, num_resamples=200))
    assert list(good) == list(QUICK)
    assert good["vocabulary"].value == 7 and good["vocabulary"].low is None
    assert good["words"].value == pytest.approx(8 / 3) and good["words"].per_clip is not None
    assert good["words"].per_clip.tolist() == [3, 2, 3]
    for key in ("bleu_1", "rouge_l", "cider_d"):
        value, low, high = good[key].value, good[key].low, good[key].high
        assert value is not None and low is not None and high is not None and low <= value <= high
    result = compare(good, poor)["rouge_l"]
    assert (result.won, result.tied) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert result.difference > 0 and result.low is not None and result.low >= 0
    assert compare(good, good)["rouge_l"].difference == 0 and compare(good, good)["rouge_l"].tied == 1
    assert compare(good, poor)["words"].won is None  # neither longer nor shorter is better


def test_pairs_are_resampled_together() -> None:
    """The interval of a difference is narrower than two lone ones would let it be."""
    generator = np.random.default_rng(0)
    base = generator.normal(size=300)
    counts = draw_resamples(300, 500, seed=0)
    first = as_score(mean_result(base + 0.1, counts))
    second = as_score(mean_result(base + generator.normal(scale=0.05, size=300), counts))
    result = compare({"meteor": first}, {"meteor": second})["meteor"]
    assert result.low is not None and result.high is not None and first.low is not None and first.high is not None
    assert result.low > 0.05 and result.high - result.low < (first.high - first.low) / 4


def test_what_is_not_here_is_named_with_its_remedy(nothing_here: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise UnavailableError("the model is not found: python evaluate.py --download fetches it")

    monkeypatch.setattr(module, "fluency_errors", missing)
    monkeypatch.setattr(module, "sentence_similarity", lambda *_: ("all-MiniLM-L6-v2", np.full(3, 0.5)))
    keys = ("cider_d", "spice", "spider", "fer", "spider_fl", "sbert_sim", "fense")
    [found] = score_systems([GOOD], ScoreSettings(measures=keys, resources=nothing_here, num_resamples=20))
    assert found["cider_d"].value is not None
    assert found["sbert_sim"].value == 0.5 and found["sbert_sim"].model == "all-MiniLM-L6-v2"
    for key in ("spice", "spider", "fer", "spider_fl", "fense"):
        score = found[key]
        assert score.value is None and score.per_clip is None and score.reason and not score.failed
        assert "--download" in score.reason
    assert "paraphrase-TinyBERT-L6-v2" in str(found["fense"].reason)  # another model's value is not called FENSE
    assert "no SPICE: " in str(found["spider"].reason)


def test_without_the_extra_packages_their_scores_are_not_there(
    nothing_here: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_models, "find_spec", lambda name: None)
    [found] = score_systems([GOOD], ScoreSettings(measures=("fer", "sbert_sim", "words"), resources=nothing_here))
    for key in ("fer", "sbert_sim"):
        assert found[key].reason == "aac-metrics is not installed: bash env.sh --eval"
    assert found["words"].value is not None


def test_one_clip_has_no_cider_and_no_intervals(nothing_here: Resources) -> None:
    one = Corpus(("a",), ("a dog barks",), (("a dog",),))
    [found] = score_systems([one], ScoreSettings(measures=("bleu_1", "cider_d", "spider"), resources=nothing_here))
    assert found["bleu_1"].value is not None and found["bleu_1"].low is None
    assert "undefined for one clip" in str(found["cider_d"].reason)
    assert "no CIDEr-D: undefined for one clip" in str(found["spider"].reason)


def test_a_program_that_breaks_takes_no_other_score_along(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def late(*_: object) -> None:
        raise MetricError("SPICE did not end within 1 s")

    for name in ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar"):
        (tmp_path / name).touch()
    monkeypatch.setattr(module, "spice", late)
    settings = ScoreSettings(measures=("rouge_l", "spice"), resources=Resources(tmp_path), num_resamples=5)
    [found] = score_systems([GOOD], settings)
    assert found["spice"].failed and found["spice"].reason == "SPICE did not end within 1 s"
    assert found["rouge_l"].value is not None and "did not end" in caplog.text


def test_formulas_give_the_published_values(published: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPIDEr, SPIDEr-FL and FENSE of the published CIDEr-D, SPICE, fluency errors and similarities."""
    count = len(published)
    big = Corpus(tuple(published.file_name), ("a",) * count, (("a",),) * count)
    scorer = module._Scorer([big], ScoreSettings(measures=("spider", "spider_fl", "fense"), num_resamples=10))
    for key in ("cider_d", "spice", "fer", "sbert_sim"):
        scorer._set_means(key, [published[key].to_numpy()], "paraphrase-TinyBERT-L6-v2" if key == "sbert_sim" else None)
    scorer._derived()
    for key in ("spider", "spider_fl", "fense"):
        np.testing.assert_allclose(scorer.found[0][key].per_clip, published[key], atol=1e-12)
        assert scorer.found[0][key].value == pytest.approx(published[key].mean())


def test_names_of_measures() -> None:
    assert chosen(["all"]) == tuple(MEASURES) and chosen(["words", "bleu"]) == (*GROUPS["bleu"], "words")
    assert "spice" not in chosen(["offline"]) and "meteor" in chosen(["offline"])
    assert needed(["spider_fl"]) == {"spider_fl", "spider", "cider_d", "spice", "fer"}
    with pytest.raises(ValueError, match="unknown metric 'bleurt'"):
        chosen(["bleurt"])

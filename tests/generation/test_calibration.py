"""Calibration: a probability between 0 and 1, and what a checkpoint holds of it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import CheckpointError
from generation.calibration import Calibration
from generation.rerank import Fit

weights = st.floats(-1e3, 1e3)


@given(weights, weights, weights, weights, st.floats(-50, 0), st.floats(-7, 0), st.floats(0, 1))
def test_a_probability_is_the_sigmoid_of_the_weighted_sum(
    intercept: float, slope: float, support: float, coverage: float, per_token: float, heard: float, covered: float
) -> None:
    found = Calibration(intercept, slope, support, coverage).probability(per_token, Fit(covered, heard))
    log_odds = intercept + slope * per_token + support * heard + coverage * covered
    assert found == pytest.approx(1 / (1 + math.exp(-max(-700.0, log_odds))), abs=1e-12)


def test_tags_are_asked_only_where_they_count() -> None:
    assert Calibration(0.0, 1.0).probability(-1.0) == pytest.approx(0.2689, abs=1e-4)
    assert not Calibration(0.0, 1.0).uses_tags and Calibration(0.0, 1.0, support=0.1).uses_tags
    with pytest.raises(ValueError, match="fit of the caption"):
        Calibration(0.0, 1.0, coverage=1.0).probability(-1.0)


@given(weights, weights, weights, weights, st.floats(0, 1))
def test_it_survives_json(intercept: float, slope: float, support: float, coverage: float, strong: float) -> None:
    calibration = Calibration(intercept, slope, support, coverage, strong)
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize("key", ["intercept", "per_token", "support", "coverage", "strong_tag", "other"])
def test_a_missing_or_unknown_key_is_reported(key: str) -> None:
    values = Calibration(0.0, 1.0).to_dict()
    values = values | {key: 0.0} if key not in values else {name: values[name] for name in values if name != key}
    with pytest.raises(CheckpointError, match="expected intercept, per_token, support, coverage, strong_tag"):
        Calibration.from_dict(values)


@pytest.mark.parametrize("value", ["1", None, math.nan, math.inf, True])
def test_a_value_that_is_no_number_is_reported(value: object) -> None:
    with pytest.raises(CheckpointError, match="for per_token, expected a finite number"):
        Calibration.from_dict(Calibration(0.0, 1.0).to_dict() | {"per_token": value})

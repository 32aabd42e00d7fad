"""Learning rates and the moving average."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import TrainingConfig
from training.optimisation import MovingAverage, schedule_factor, usable_precision


@given(st.integers(1, 500), st.integers(0, 100), st.integers(0, 600))
def test_the_rate_stays_between_zero_and_its_peak(num_steps: int, warmup: int, step: int) -> None:
    config = TrainingConfig(num_steps=num_steps, warmup_steps=warmup)
    assert 0 <= schedule_factor(step, config) <= 1


def test_warm_up_rises_cosine_falls_and_constant_stays() -> None:
    config = TrainingConfig(num_steps=100, warmup_steps=10)
    factors = [schedule_factor(step, config) for step in range(100)]
    assert factors[:10] == sorted(factors[:10]) and factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True) and factors[-1] < 0.01
    assert schedule_factor(99, TrainingConfig(num_steps=100, warmup_steps=10, schedule="constant")) == 1.0


def test_a_part_that_starts_later_warms_up_then() -> None:
    config = TrainingConfig(num_steps=100, warmup_steps=10)
    assert schedule_factor(49, config, first_step=50) == 0.0
    assert schedule_factor(50, config, first_step=50) == 0.1


def test_the_average_follows_and_swaps_back() -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    average = MovingAverage([("w", weight)], 0.9)
    with torch.no_grad():
        weight.fill_(1.0)
    average.update()
    expected = 1 - 2 / 11  # the first update decays by (1 + 1) / (10 + 1)
    assert torch.allclose(average.values["w"], torch.full((3,), expected))
    average.exchange()
    assert torch.allclose(weight, torch.full((3,), expected))
    average.exchange()
    assert torch.equal(weight, torch.ones(3))
    copy = MovingAverage([("w", weight)], 0.9)
    copy.load(**average.state())  # type: ignore[arg-type]
    assert torch.equal(copy.values["w"], average.values["w"]) and copy.num_updates == 1


def test_a_cpu_that_must_emulate_bfloat16_trains_in_float32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    assert usable_precision("bf16", on_cpu=False) == "bf16" and usable_precision("fp16", on_cpu=True) == "fp16"
    assert not caplog.text
    assert usable_precision("bf16", on_cpu=True) == "no" and "float32" in caplog.text
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert usable_precision("bf16", on_cpu=True) == "bf16"

"""The same captions and losses on an accelerator as on a CPU, without mixed devices and with few copies between them.

The accelerator is a pretended one (`tests/accelerator/pretend.py`), in a process of its own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.accelerator.on_device"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_captions_are_the_cpus(results: dict[str, Any], method: str) -> None:
    assert results["device"][method] == results["cpu"][method]
    assert all(text for clip in results["cpu"][method] for text, _ in clip)


@pytest.mark.parametrize("way", ["frozen encoder", "trained encoder"])
def test_losses_are_the_cpus(results: dict[str, Any], way: str) -> None:
    assert results["device"][way] == pytest.approx(results["cpu"][way], abs=0.002)
    assert results["cpu"][way][2] < results["cpu"][way][0]


def test_a_beam_step_sends_once_and_fetches_once(results: dict[str, Any]) -> None:
    copies = results["device"]["search"]
    assert copies["to_device"] <= 8 + 3  # the ban of the end token; the ids and probabilities that are returned
    assert 0 < copies["to_host"] <= 8 + 1
    assert copies["reads"] <= 2
    assert not any(results["cpu"]["search"].values())


def test_copies_of_captioning_are_bounded(results: dict[str, Any]) -> None:
    """Eight steps, two rules that read or send, encoder and ranking."""
    assert sum(results["device"]["beam copies"].values()) <= 80
    assert sum(results["device"]["greedy copies"].values()) <= 70


@pytest.mark.parametrize(("way", "reads"), [("frozen encoder", 2), ("trained encoder", 9)])
def test_a_training_step_copies_nothing_and_reads_little(results: dict[str, Any], way: str, reads: int) -> None:
    """Each read of a value waits for the device: the encoder checks for padding, the objective for tokens that count."""
    copies = results["device"][f"{way} copies"]
    assert copies["to_device"] == copies["to_host"] == 0 and copies["reads"] <= reads

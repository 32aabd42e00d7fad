"""Damaged tables and checkpoints are read, or refused in one sentence: 1,700 cases."""

from pathlib import Path

import pytest

from benchmarks.fuzz_files import fuzz


def test_tables(tmp_path: Path) -> None:
    counts, faults = fuzz(range(1500), 1, tmp_path, None)
    assert not faults, faults
    assert counts["table read"] > 100 and counts["table refused"] > 500


@pytest.mark.slow
def test_checkpoints(tmp_path: Path, tiny_checkpoint: Path) -> None:
    counts, faults = fuzz(range(0, 1600, 8), 1, tmp_path, tiny_checkpoint)
    assert not faults, faults
    assert sum(counts.values()) == 200 and counts["checkpoint refused"] > 100

"""Fixtures that several test files use."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may wait for a hub

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real sounds and reference numbers beside the checkout; only its keepers have it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        message = f"needs {folder}, which is not part of the project"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder

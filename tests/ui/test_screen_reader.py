"""Through AT-SPI, as screen readers do: names, roles and texts of the window are read, buttons pressed, announcements heard."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"  # for which Debian packages `gi`
PACKAGES = "xvfb xauth dbus at-spi2-core python3-gi gir1.2-atspi-2.0"
IMPORT = "import gi; gi.require_version('Atspi', '2.0'); from gi.repository import Atspi"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What screen_reader.py read and heard."""
    pytest.importorskip("PyQt6.QtQml", reason="Qt's libraries are not here", exc_type=ImportError)
    missing = [name for name in ("xvfb-run", "dbus-run-session", SYSTEM_PYTHON) if shutil.which(name) is None]
    if missing or subprocess.run([SYSTEM_PYTHON, "-c", IMPORT], capture_output=True, check=False).returncode:
        pytest.skip(f"AT-SPI is not here: apt-get install {PACKAGES}")
    folder = Path(tempfile.mkdtemp(prefix="bus-"))  # short: a socket's path has at most 107 bytes
    environment = {
        **os.environ, "XDG_RUNTIME_DIR": str(folder), "QT_QPA_PLATFORM": "xcb", "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1",
        "PYTHONPATH": "",
    }  # fmt: skip
    environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
    work = tmp_path_factory.mktemp("app")
    reader = [SYSTEM_PYTHON, str(ROOT / "tests/ui/screen_reader.py"), sys.executable, str(work)]
    command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", "dbus-run-session", "--", *reader]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_controls_have_roles_names_and_values(found: dict[str, Any]) -> None:
    parts = {tuple(part) for part in found["parts"]}
    assert parts >= {
        ("push button", "Record Audio"), ("push button", "Pause recording"), ("push button", "Run Model Prediction"),
        ("slider", "Input level and silence threshold"), ("spin button", "Number of Predictions"), ("text", "Audio Path"),
        ("tree", "Captions"), ("page tab", "History"), ("progress bar", "Captioning progress"), ("menu item", "File"),
    }  # fmt: skip
    assert found["threshold"] == -50.0


def test_painted_parts_have_roles_and_texts(found: dict[str, Any]) -> None:
    assert found["play_head"] > 3  # seconds; it was moved by the screen reader
    assert found["at_play_head"].startswith("At the play head: siren_then_waves ")
    assert found["visible"].startswith("Visible: 00:00 – 00:")
    assert found["picture"]


def test_texts_are_read_as_they_are(found: dict[str, Any]) -> None:
    assert found["path"].endswith("siren_then_waves.flac")
    assert found["time"].startswith("00:00 / 00:")
    assert any(cell.startswith("00:00 – 00:02, siren_then_waves 0 caption 1, 75 %") for cell in found["cells"])
    assert found["message"].startswith("No microphone")


def test_new_messages_captions_and_results_are_announced(found: dict[str, Any]) -> None:
    polite = [text for text, urgency in found["announced"] if urgency == 1]
    urgent = [text for text, urgency in found["announced"] if urgency == 2]
    assert urgent == [found["message"]]
    starts = (
        "siren_then_waves.flac, ",
        "Captioned siren_then_waves.flac",
        "Listening.",
        "a dog barks",
        "Listening has ended.",
    )
    places = [next(place for place, text in enumerate(polite) if text.startswith(start)) for start in starts]
    assert places == sorted(places)
    assert not any("%" in text for text in polite)  # progress is no news

"""End to end: a real window under Xvfb, real recordings through PulseAudio, the captioner that ships."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile

from data.labelled.caption_templates import named_categories

ROOT = Path(__file__).parents[2]
PROGRAMS = ("Xvfb", "pulseaudio", "paplay", "pactl")

pytestmark = pytest.mark.slow


@pytest.fixture
def desktop() -> Iterator[dict[str, str]]:
    """Environment of a display and a sound server whose microphone captures the played sound."""
    pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here", exc_type=ImportError)
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        reason = f"{', '.join(missing)} not here: apt-get install xvfb pulseaudio pulseaudio-utils libasound2-plugins"
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="sound-"))  # short: a socket's path has at most 107 bytes
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PULSE_SERVER": f"unix:{folder}/pulse/native"}
    modules = ("module-native-protocol-unix", "module-null-sink sink_name=capsink rate=48000 channels=2")
    loads = [part for module in (*modules, "module-always-sink") for part in ("-L", module)]
    daemon = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=yes", *loads]
    sound = subprocess.Popen(daemon, env=environment, stderr=subprocess.DEVNULL)
    reader, writer = os.pipe()
    display = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x900x24"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as answer:
            environment |= {"DISPLAY": f":{answer.readline().strip()}", "QT_QPA_PLATFORM": "xcb"}
        until = time.monotonic() + 20
        while subprocess.run(["pactl", "info"], env=environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < until, "the sound server does not answer"
            time.sleep(0.1)
        yield environment
    finally:
        for process in (sound, display):
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def clip_of(shared: Path, category: str, folder: Path) -> str:
    """A clip of the fold that the captioner was not trained on, as WAV."""
    table = pd.read_csv(shared / "sounds" / "clips.csv")
    name = table[(table["fold"] == 4) & (table["category"] == category)]["file_name"].iloc[0]
    samples, rate = soundfile.read(shared / "sounds" / "clips" / name)
    soundfile.write(folder / f"{category}.wav", samples, rate)
    return str(folder / f"{category}.wav")


def drive(desktop: dict[str, str], folder: Path, clip: str, fault: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.ui.drive_desktop", str(folder), clip, fault]
    done = subprocess.run(command, cwd=ROOT, env=desktop, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


@pytest.mark.parametrize("category", ["rooster", "siren"])
def test_a_sound_is_recorded_named_played_and_heard(
    desktop: dict[str, str], shared: Path, tmp_path: Path, category: str
) -> None:
    found = drive(desktop, tmp_path, clip_of(shared, category, tmp_path), "none")
    assert found["platform"] == "xcb" and "pulse" in found["devices"]
    assert category in named_categories(found["live"][0])
    assert len(found["model"]) == 3 and found["model"][0] == found["live"][0]
    assert any(category in named_categories(line) for line in found["heard"])
    assert found["latency"].startswith(("latency", "behind by"))  # which, depends on what else the machine does
    duration_s = soundfile.info(found["recording"]).duration
    assert duration_s > 5 and found["per_cent"] == 100


@pytest.mark.parametrize("fault", ["kill", "remove"])
def test_a_lost_sound_server_or_source_is_reported_and_the_recording_kept(
    desktop: dict[str, str], shared: Path, tmp_path: Path, fault: str
) -> None:
    found = drive(desktop, tmp_path, clip_of(shared, "rain", tmp_path), fault)
    assert "was lost" in found["sentence"] or "digital silence" in found["sentence"]
    assert soundfile.info(found["kept"]).duration > 0.5

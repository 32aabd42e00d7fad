"""The shipped sounds: made by the script that ships with them, small, and readable."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from PIL import Image

from data.audio import is_silent, load_audio

ASSETS = Path(__file__).parents[1] / "assets"
SOUNDS = sorted(path for path in ASSETS.iterdir() if path.suffix in (".wav", ".flac"))


def test_there_are_sounds() -> None:
    assert len(SOUNDS) >= 6


@pytest.mark.parametrize("path", SOUNDS, ids=lambda path: path.name)
def test_a_sound_is_small_and_can_be_read(path: Path) -> None:
    info = soundfile.info(path)
    assert path.stat().st_size <= 300_000
    assert (info.samplerate, info.channels, info.subtype) == (32000, 1, "PCM_16")
    assert 3 <= info.duration <= 8
    waveform = load_audio(path, 32000)
    assert not is_silent(waveform) and 0.1 < np.abs(waveform).max() < 1


def test_the_script_makes_the_sounds_that_ship() -> None:
    spec = importlib.util.spec_from_file_location("make_sounds", ASSETS / "make_sounds.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make_all()
    assert sorted(made) == [path.stem for path in SOUNDS]
    for path in SOUNDS:
        shipped, _ = soundfile.read(path)
        np.testing.assert_allclose(made[path.stem], shipped, atol=1e-3)


def test_pictures_are_small_and_whole() -> None:
    pictures = sorted(ASSETS.glob("*.png"))
    assert [path.stem for path in pictures] == [
        "app_file_light",
        "app_large_dark",
        "app_live_dark",
        "app_scaled_dark",
        "example",
        "report",
    ]
    for path in pictures:
        assert path.stat().st_size < 250_000
        with Image.open(path) as picture:
            picture.load()
            assert picture.width >= 1000 and len(set(picture.convert("L").tobytes())) > 5


@pytest.mark.parametrize("name", ["flow", "arrow_up", "arrow_down", "check_light", "check_dark"])
def test_drawings_are_well_formed(name: str) -> None:
    assert ElementTree.parse(ASSETS / f"{name}.svg").getroot().tag.endswith("svg")

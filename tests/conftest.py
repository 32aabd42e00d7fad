"""Fixtures of several test files."""

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test accesses the hub; read when transformers is imported

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from configs.schema import CaptionerConfig, Config, DecoderConfig, DecodingConfig, EncoderConfig
from data.captions import train_tokenizer
from data.labelled import mixtures as sounds
from models.captioner import AudioCaptioner

try:  # pytest-qt aborts all tests on machines without Qt, so pyproject.toml disables it and it is loaded here
    import PyQt6.QtWidgets  # noqa: F401
except ImportError:
    pass  # tests of the desktop app are skipped
else:
    pytest_plugins = ["pytestqt.plugin"]

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Small tensors are slower on many cores, and several test runs can share a machine."""
    beside_others = "PYTEST_XDIST_WORKER" in os.environ
    torch.set_num_threads(1 if beside_others else min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Random numbers of a test do not depend on earlier tests, whose order differs in parallel runs."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of recordings and reference values beside the checkout; it is not part of the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}, which is not part of the repository")
    return folder


@pytest.fixture
def make_tone() -> Callable[..., NDArray[np.float32]]:
    """Makes a tone with a little noise: `make_tone(seconds, sample_rate, hertz)`, float32 of shape (S,)."""

    def make(seconds: float = 1.0, sample_rate: int = 32000, hertz: float = 440.0) -> NDArray[np.float32]:
        time = np.arange(int(seconds * sample_rate)) / sample_rate
        noise = np.random.default_rng(0).normal(size=len(time))
        return (0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * noise).astype(np.float32)

    return make


CAPTIONS = (
    "a dog barks twice",
    "rain falls on a tin roof",
    "a siren wails in the distance",
    "waves break on the shore",
    "a clock ticks in a quiet room",
)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small untrained captioner, its encoder included."""
    torch.manual_seed(0)
    config = Config(
        captioner=CaptionerConfig(
            encoder=EncoderConfig(name="mobilenet", width=0.1, train_from_step=0, max_duration_s=4.0),
            decoder=DecoderConfig(num_layers=2, num_heads=2, width=32, dropout=0.0, max_positions=128),
        ),
        decoding=DecodingConfig(max_tokens=12),
    )
    path = tmp_path_factory.mktemp("captioner") / "step=0"
    AudioCaptioner(config, train_tokenizer(CAPTIONS * 3, 120)).save_pretrained(path, {"step": 0})
    return path


@pytest.fixture(scope="session")
def tone_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in Clotho's layout: twelve training and four validation clips of a second or two."""
    root = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    for split, count in (("development", 12), ("validation", 4)):
        (root / split).mkdir()
        rows = []
        for number in range(count):
            name = f"{split}{number}.wav"
            time = np.arange(int(16000 * (1 + number % 2))) / 16000
            tone = 0.3 * np.sin(2 * np.pi * (200 + 150 * (number % 5)) * time) + 0.01 * generator.normal(size=len(time))
            soundfile.write(root / split / name, tone, 16000)
            rows.append([name, CAPTIONS[number % 5], CAPTIONS[(number + 1) % 5]])
        table = pd.DataFrame(rows, columns=["file_name", "caption_1", "caption_2"])
        table.to_csv(root / f"clotho_captions_{split}.csv", index=False)
    return root


@pytest.fixture(scope="session")
def labelled_sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled sounds as `python -m data.labelled.mixtures` leaves them: two classes, short clips."""
    root = tmp_path_factory.mktemp("sounds")
    (root / "ESC-50" / "audio").mkdir(parents=True)
    (root / "ESC-50" / "meta").mkdir()
    rows = []
    for fold in range(1, 5):
        for category, hertz in (("dog", 500), ("siren", 1500)):
            name = f"{fold}-{category}.wav"
            time = np.arange(16000) / 16000
            sound = 0.3 * np.sin(2 * np.pi * hertz * time) * (time % 0.5 < 0.3)
            noise = np.random.default_rng(fold).normal(0, 0.001, 16000)
            soundfile.write(root / "ESC-50" / "audio" / name, sound + noise, 16000)
            rows.append({"filename": name, "fold": fold, "category": category, "src_file": f"{fold}{category}"})
    pd.DataFrame(rows).to_csv(root / "ESC-50" / "meta" / "esc50.csv", index=False)
    arguments = ["--root", str(root / "ESC-50"), "--output", str(root / "out"), "--mixtures", "2"]
    assert sounds.main(arguments) == 0
    return root / "out"

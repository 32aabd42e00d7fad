"""Commands give the same in every locale and on terminals of every encoding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT

LOCALES = [
    {"LC_ALL": "tr_TR.UTF-8"},
    {"LANG": "ar_EG.UTF-8"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
]
NAME = "ı İ café ريح.wav"


def run(locale: dict[str, str], *command: object) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8", **locale}
    if "LANG" in locale:
        del environment["LC_ALL"]
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, env=environment, capture_output=True)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode()


def run_all(locale: dict[str, str], checkpoint: Path, inputs: Path, output: Path) -> list[str]:
    """What is captioned and scored, on stdout and in files."""
    common = ("inference.py", inputs / NAME, "--ckpt_path", checkpoint, "--device", "cpu")
    shown = [run(locale, *common), run(locale, *common, "--format", "csv", "--output", output / "captions.csv")]
    predictions = inputs / "pred é.csv"
    shown.append(
        run(
            locale,
            "evaluate.py",
            "--predictions",
            predictions,
            "--references",
            inputs / "ref é.csv",
            "--compare",
            predictions,
            "--metrics",
            "rouge_l",
            "cider_d",
            "words",
            "--resamples",
            "10",
            "--output",
            output,
        )  # fmt: skip
    )
    return shown


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    soundfile.write(folder / NAME, 0.1 * np.random.default_rng(0).normal(size=16000), 16000)
    rows = {
        "ref é.csv": "file_name,caption_1\n{},a İstanbul ferry\n",
        "pred é.csv": "file_name,caption_predicted\n{},a ferry\n",
    }
    for name, text in rows.items():
        (folder / name).write_text(text.format(NAME) + "b.wav,rain falls 1.5 km away\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def expected(tiny_checkpoint: Path, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    output = tmp_path_factory.mktemp("expected")
    return output, run_all({}, tiny_checkpoint, inputs, output)


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES, ids=lambda locale: " ".join(f"{name}={locale[name]}" for name in locale))
def test_every_locale(
    tiny_checkpoint: Path, inputs: Path, expected: tuple[Path, list[str]], tmp_path: Path, locale: dict[str, str]
) -> None:
    found = run_all(locale, tiny_checkpoint, inputs, tmp_path)
    for before, after in zip(expected[1], found, strict=True):
        assert after == before or after == before.encode("ascii", "backslashreplace").decode()
    for name in ("captions.csv", "scores.json", "scores_per_clip.csv", "predictions.csv", "comparison.json"):
        assert (tmp_path / name).read_bytes() == (expected[0] / name).read_bytes()

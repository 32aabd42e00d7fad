"""Captioning where torch is not installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from models.captioner import AudioCaptioner
from models.checkpoints.onnx_files import export

ROOT = Path(__file__).parents[2]
MEASURED = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import inference
status = inference.main(sys.argv[2:])
process = Path("/proc/self/status")  # Linux
peak_kb = int(process.read_text().split("VmHWM:")[1].split()[0]) if process.exists() else 0
print(json.dumps({"status": status, "peak_mb": peak_kb / 1024, "torch": sys.modules.get("torch") is not None}))
"""
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'av', 'pyarrow')))\n{MEASURED}"


@pytest.fixture
def exported(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    export(AudioCaptioner.from_pretrained(tiny_checkpoint), tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=48000), 16000)
    return path


def run(python: str | Path, code: str, *arguments: object) -> tuple[list[str], dict, str]:
    """Output lines of inference.py, what was measured, and standard error."""
    command = [str(python), "-c", code, str(ROOT), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *lines, measured = done.stdout.splitlines()
    return lines, json.loads(measured), done.stderr


def caption_of(checkpoint: Path, recording: Path) -> str:
    captioner = AudioCaptioner.from_pretrained(checkpoint)
    from data.audio import load_audio

    return captioner.caption([load_audio(recording, captioner.sample_rate)])[0][0].text


def test_no_module_asks_for_torch(exported: Path, recording: Path, tiny_checkpoint: Path) -> None:
    lines, measured, _ = run(sys.executable, WITHOUT, recording, "--engine", "onnx", "--ckpt_path", exported)
    assert measured["status"] == 0 and not measured["torch"]
    assert lines == [f"{recording}: {caption_of(tiny_checkpoint, recording)}"]


def test_what_is_not_installed_is_named(exported: Path, recording: Path, tmp_path: Path) -> None:
    _, measured, errors = run(sys.executable, WITHOUT, recording)
    assert measured["status"] == 2 and "ERROR this needs the package torch, which is not installed" in errors
    arguments = ["--engine", "onnx", "--ckpt_path", exported]
    parquet = ["--format", "parquet", "--output", tmp_path / "captions.parquet"]
    _, measured, errors = run(sys.executable, WITHOUT, recording, *arguments, *parquet)
    assert measured["status"] == 2 and "ERROR this needs the package pyarrow, which is not installed" in errors
    with av.open(str(tmp_path / "noise.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = (0.1 * np.random.default_rng(0).normal(size=(1, 16000))).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    _, measured, errors = run(sys.executable, WITHOUT, tmp_path / "noise.m4a", *arguments)
    assert measured["status"] == 1 and "needs FFmpeg (the package av), which is not installed" in errors


@pytest.mark.slow
def test_the_lite_installation_captions(exported: Path, recording: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(ROOT / "env.sh", checkout)
    shutil.copytree(ROOT / "requirements", checkout / "requirements")
    done = subprocess.run(["bash", str(checkout / "env.sh"), "--lite"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    python = checkout / ".venv" / "bin" / "python"
    absent = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert absent.returncode == 1
    lines, measured, _ = run(python, MEASURED, recording, "--engine", "onnx", "--ckpt_path", exported)
    assert measured["status"] == 0 and measured["peak_mb"] < 300
    assert lines == [f"{recording}: {caption_of(tiny_checkpoint, recording)}"]
    installed = sum(path.stat().st_size for path in checkout.rglob("*") if path.is_file() and not path.is_symlink())
    assert installed < 200e6

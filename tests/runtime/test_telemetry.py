"""ONNX Runtime keeps and sends no usage data."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_file_is_written_to_the_home_folder(tmp_path: Path) -> None:
    """Without the variable, importing onnxruntime 1.32 writes ~/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "ORT_"))}
    command = [
        sys.executable,
        "-c",
        "import os; from runtime.folder import import_onnxruntime as load; load(); print(os.environ['ORT_DISABLE_TELEMETRY'])",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("1\n", "") and not list(tmp_path.iterdir())

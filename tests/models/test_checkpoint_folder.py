"""Checkpoint folders: whole or absent, checked byte by byte."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from configs.checkpoint_files import METADATA_FILE, MODEL_FILE
from configs.errors import CheckpointError
from models.checkpoints.folder import (
    add_metadata,
    checkpoint_folder,
    point_link,
    read_metadata,
    read_tensors,
    sweep_leftovers,
    write_checkpoint,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "step=1"
    write_checkpoint(path, {"weight": torch.arange(5.0)}, {"config.yaml": "{}\n"}, {"step": 1})
    return path


def test_round_trip(folder: Path) -> None:
    metadata = read_metadata(folder)
    assert metadata["step"] == 1
    assert set(metadata["files"]) == {MODEL_FILE, "config.yaml"}
    assert torch.equal(read_tensors(folder)["weight"], torch.arange(5.0))
    assert "torch" in metadata["versions"]


@pytest.mark.parametrize("name", [MODEL_FILE, "config.yaml"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_refused_and_the_file_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        read_metadata(folder)


def test_entries_are_added_and_all_else_stays(folder: Path) -> None:
    before = read_metadata(folder)
    add_metadata(folder, {"calibration": {"intercept": 1.0}})
    assert read_metadata(folder) == before | {"calibration": {"intercept": 1.0}}
    assert {path.name for path in folder.iterdir()} == {MODEL_FILE, METADATA_FILE, "config.yaml"}
    (folder / "config.yaml").write_text("changed")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        add_metadata(folder, {"step": 2})


def test_a_runs_folder_is_its_best_checkpoint(folder: Path) -> None:
    assert checkpoint_folder(folder) == folder and checkpoint_folder(folder.parent) == folder.parent
    point_link(folder.parent / "best", folder)
    assert checkpoint_folder(folder.parent) == folder.parent / "best"


def test_a_newer_format_is_refused(folder: Path) -> None:
    path = folder / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        read_metadata(folder)


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        read_metadata(tmp_path)


def test_writing_again_replaces_the_whole(folder: Path) -> None:
    write_checkpoint(folder, {"weight": torch.zeros(2)}, {}, {"step": 2})
    assert read_metadata(folder)["step"] == 2
    assert not (folder / "config.yaml").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["step=1"]


def test_links_move_and_leftovers_go(folder: Path) -> None:
    point_link(folder.parent / "last", folder)
    other = folder.with_name("step=2")
    write_checkpoint(other, {"weight": torch.zeros(2)}, {}, {"step": 2})
    point_link(folder.parent / "last", other)
    assert read_metadata(folder.parent / "last")["step"] == 2
    (folder.parent / "step=3.writing-77").mkdir()
    assert sweep_leftovers(folder.parent) == ["step=3.writing-77"]
    assert sweep_leftovers(folder.parent) == []


WRITER = """
import sys, torch
from pathlib import Path
from models.checkpoints.folder import write_checkpoint, point_link
step = 0
print("ready", flush=True)
while True:
    step += 1
    path = Path(sys.argv[1]) / f"step={step}"
    write_checkpoint(path, {"weight": torch.full((200_000,), float(step))}, {"config.yaml": "{}"}, {"step": step})
    point_link(path.parent / "last", path)
"""


@pytest.mark.slow
def test_kill_9_in_saves_never_leaves_a_torn_one(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    for trial in range(20):
        folder = tmp_path / str(trial)
        folder.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        delay = 0.05 + 0.2 * float(torch.rand(1, generator=generator))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        sweep_leftovers(folder)
        for path in folder.iterdir():
            step = read_metadata(path)["step"]
            assert read_tensors(path)["weight"][0] == step


def _limited_write(folder: Path, limit_bytes: int) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom models.checkpoints.folder import write_checkpoint\n"
        "try:\n    write_checkpoint(Path(sys.argv[1]), {'weight': torch.zeros(500_000)}, {}, {'step': 2},"
        " {'w': torch.zeros(500_000)})\n"
        "except OSError as error:\n    print('OSError')\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [sys.executable, "-B", "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, preexec_fn=limit
    )


@pytest.mark.parametrize("limit_bytes", [100_000, 2_001_000])
def test_a_full_disk_leaves_the_last_good_one(folder: Path, limit_bytes: int) -> None:
    done = _limited_write(folder, limit_bytes)
    assert done.stdout.strip() == "OSError", done.stderr
    assert read_metadata(folder)["step"] == 1
    assert [path.name for path in folder.parent.iterdir()] == ["step=1"]

"""Writing of files: kills, unwritable places, long names and links, damage of a tagger."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from configs.atomic_files import FileNotWrittenError, new_file, sweep_abandoned, write_file
from configs.schema import EncoderConfig
from data.feature_cache import FeatureCache
from models.encoders.build import build_encoder
from tests.conftest import ROOT
from training.tagger import load_tagger, save_tagger


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tagger_is_whole_and_checked(tmp_path: Path) -> None:
    config = EncoderConfig(name="mobilenet", weights=None, width=0.1)
    path = tmp_path / "tagger.safetensors"
    encoder = build_encoder(config)
    save_tagger(encoder, path)
    other = build_encoder(config)
    load_tagger(other, path)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    whole = path.read_bytes()
    damaged = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "one bit": whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:],
        "header": b"\xff" * 8 + whole[8:],
    }
    for content in damaged.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}.* copy the file again, or delete it and start a new run"):
            load_tagger(other, path)


def test_errors_of_others_pass_through(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), new_file(tmp_path / "a") as file:
        file.write(b"new")
        raise KeyError("a")
    assert contents(tmp_path) == {"a": b"old"}


@pytest.mark.parametrize("place", ["missing/a.txt", "folder", "a_file/a.txt"])
def test_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a_file").write_text("old")
    with pytest.raises(FileNotWrittenError, match=f"{place} cannot be written"):
        write_file(tmp_path / place, "a")
    assert contents(tmp_path) == {"a_file": b"old"}


def test_the_longest_names_and_links(tmp_path: Path) -> None:
    write_file(tmp_path / ("n" * 255), "a")
    target = tmp_path / "elsewhere" / "b"
    target.parent.mkdir()
    target.write_text("old")
    (tmp_path / "link").symlink_to(target)
    write_file(tmp_path / "link", "new")
    assert target.read_text() == "new" and (tmp_path / "link").is_symlink()


def test_what_killed_writers_leave_is_swept_later(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from configs.atomic_files import new_file\n"
        "with new_file(Path(sys.argv[1]) / 'a.npy') as file:\n"
        "    file.write(b'x' * 99); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    [left] = os.listdir(tmp_path)
    assert left.startswith(".") and left.endswith(".part")
    sweep_abandoned(tmp_path)  # another process may be writing it
    assert os.listdir(tmp_path) == [left]
    os.utime(tmp_path / left, (time.time() - 7200,) * 2)
    FeatureCache(tmp_path, "")
    assert not os.listdir(tmp_path)

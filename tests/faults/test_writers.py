"""Every writer of a file: on a full disk the old file stays, no torn one is left, and one sentence names the file."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.common import publish
from configs.atomic_files import FileNotWrittenError, new_file, sweep_abandoned, write_file
from configs.schema import EncoderConfig
from data.caption_formats import CaptionRecord, ScoredCaption
from data.feature_cache import FeatureCache
from data.tables import write_rows
from evaluation.inputs import Corpus
from evaluation.outputs import output_files
from evaluation.scores import Score
from models.checkpoints.folder import add_metadata, read_metadata, write_checkpoint
from models.encoders.build import build_encoder
from tests.conftest import ROOT
from training.tagger import load_tagger, save_tagger
from training.tracking import History as TrainingHistory
from ui.store.documents import Kind
from ui.store.exports import export
from ui.store.history import History

LIMIT_BYTES = 2000  # of a file, in place of a full disk
TEXT = "x" * (2 * LIMIT_BYTES)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may have more than LIMIT_BYTES."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)


def records(size: int) -> list[CaptionRecord]:
    return [CaptionRecord("a.wav", 0.0, 1.0, (ScoredCaption("a " * size, -1.0),))]


def write_training_history(path: Path, size: int) -> None:
    path.mkdir(exist_ok=True)
    history = TrainingHistory(path)
    for _ in range(size):
        history.add_step(1.0, 0.1)
    history.write_tables()
    history.draw()


def write_small_checkpoint(path: Path, size: int, **more: Any) -> None:
    write_checkpoint(path / "step=1", {"weight": torch.zeros(4)}, {"config.yaml": "y" * size}, {}, **more)


def write_scores(path: Path, size: int) -> None:
    corpus = Corpus(("a.wav",), ("a " * size,), (("a dog barks",),))
    for name, text in output_files(corpus, {"cider_d": Score(0.5, per_clip=np.array([0.5]))}).items():
        write_file(path / name, text)


# Each with the file whose name is to be told.
WRITERS: dict[str, tuple[str, Callable[[Path, int], Any]]] = {
    "text": ("a.txt", lambda folder, size: write_file(folder / "a.txt", "x" * size)),
    "table": ("a.csv", lambda folder, size: write_rows(folder / "a.csv", ["name"], [["x" * size]])),
    "scores": ("scores_per_clip.csv", write_scores),
    "results of benchmarks": ("a.json", lambda folder, size: publish("| a |\n", folder / "a.md", {"a": "x" * size})),
    "export": ("a.json", lambda folder, size: export({folder / "a.json": records(size)}, "json")),
    "losses": ("losses.csv", write_training_history),
    "embeddings": (
        ".npy",
        lambda folder, size: FeatureCache(folder, "key").write("clip", np.zeros((1, size), np.float32)),
    ),
    "configuration": ("step=1/config.yaml", write_small_checkpoint),
    "weights": (
        "step=1/model.safetensors",
        lambda folder, size: write_checkpoint(folder / "step=1", {"a": torch.zeros(size)}, {}, {}),
    ),
    "training state": (
        "step=1/training_state.pt",
        lambda folder, size: write_small_checkpoint(folder, 1, training_state={"a": torch.zeros(size)}),
    ),
    "caption store": (
        "step=1/captions.safetensors",
        lambda folder, size: write_small_checkpoint(folder, 1, store={"a": torch.zeros(size)}),
    ),
}


@pytest.mark.parametrize("writer", list(WRITERS))
def test_a_full_disk(tmp_path: Path, writer: str) -> None:
    named, write = WRITERS[writer]
    write(tmp_path, 10)
    before = contents(tmp_path)
    with full_disk(), pytest.raises(FileNotWrittenError) as error:
        write(tmp_path, 2 * LIMIT_BYTES)
    after = contents(tmp_path)
    assert before.keys() == after.keys()
    changed = {name for name in before if after[name] != before[name]}
    assert not any(named in name for name in changed)  # others may have been written before
    message = str(error.value)
    assert f"{named} cannot be written (" in message and "File too large" in message and "\n" not in message


def test_a_full_disk_under_the_apps_history(tmp_path: Path) -> None:
    history = History(tmp_path)
    told: list[str] = []
    history.on_error = told.append
    entry = history.add(Kind.FILE, "a.wav", records(10))
    before = contents(tmp_path)
    with full_disk():
        entry.edit(entry.rows[0], "a " * 2 * LIMIT_BYTES)
        history.keep(entry)
    assert contents(tmp_path) == before and len(told) == 1
    assert f"{entry.key}.json cannot be written (File too large)" in told[0]
    assert len(history.entries[0].records[0].caption) > LIMIT_BYTES  # the window still shows it


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_metadata_stay_whole(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", {"weight": torch.zeros(4)}, {}, {"step": 1})
    before = contents(tmp_path)
    with full_disk(), pytest.raises(FileNotWrittenError, match="metadata.json cannot be written \\(File too large"):
        add_metadata(tmp_path / "a", {"note": TEXT})
    assert contents(tmp_path) == before and read_metadata(tmp_path / "a")["step"] == 1


def test_a_tagger_is_whole_and_checked(tmp_path: Path) -> None:
    config = EncoderConfig(name="mobilenet", weights=None, width=0.1)
    path = tmp_path / "tagger.safetensors"
    encoder = build_encoder(config)
    with full_disk(), pytest.raises(FileNotWrittenError, match="tagger.safetensors cannot be written"):
        save_tagger(encoder, path)
    assert not os.listdir(tmp_path)
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

"""Every writer of a user's command on a full disk: the old file stays, no partial one is left, one sentence names the file."""

import logging
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PyQt6.QtCore import QSettings

import evaluate
from benchmarks.common import publish
from captioning.formats.registry import FORMATS
from captioning.jobs import Captioned
from captioning.manifest import Manifest, ManifestError
from captioning.outputs import OutputPlan, write_recording, write_tables
from captioning.shown import Selection
from configs.atomic_files import FileNotWrittenError, write_file
from configs.schema import EncoderConfig, TaggerConfig
from data.caption_formats import CaptionRecord, ScoredCaption
from data.feature_cache import FeatureCache
from data.labelled import mixtures
from data.tables import write_rows
from evaluation.inputs import Corpus
from evaluation.outputs import output_files
from evaluation.overlap import tokenize
from evaluation.scores import Score
from evaluation.spice import SpiceSettings, spice
from models.checkpoints.folder import add_metadata, read_metadata, write_checkpoint, write_folder
from models.checkpoints.onnx_networks import write_encoder
from models.encoders.build import build_encoder
from models.encoders.mobilenet import MobileNet
from tests.conftest import ROOT
from training.tagger import save_tagger
from training.tracking import History as TrainingHistory
from training.tuning_progress import TuningProgress
from ui.sound.recorder import Recorder
from ui.store.documents import Kind
from ui.store.exports import export, write_clip
from ui.store.history import History
from ui.store.settings import AppSettings, SettingsStore
from ui.workers.playback_worker import DecodingWorker


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LIMIT_BYTES = 2000  # of a file, in place of a full disk


@contextmanager
def full_disk(limit_bytes: int = LIMIT_BYTES) -> Iterator[None]:
    """No file of this process may have more than `limit_bytes`."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, old[1]))
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


def caption_files(folder: Path, size: int, form: str, per_recording: bool) -> None:
    """The output of `inference.py` in a format; one in text of many short lines, as a long list of recordings has."""
    plan = OutputPlan(folder / "out", (form,), per_recording, timeline=True, num_references=0, selection=Selection())
    rows = [replace(record, start_s=float(n), end_s=n + 1.0) for n, record in enumerate(records(4) * max(1, size // 8))]
    if per_recording:
        write_recording(plan, plan.files_of("/a/a.wav", "/a"), rows, 16000.0)
    else:
        write_tables(plan, lambda: [rows], 1, 16000.0)


def write_shards(folder: Path, size: int) -> None:
    folder = folder / "out"
    folder.mkdir(exist_ok=True)
    plan = OutputPlan(folder, ("jsonl",), False, False, num_references=0, selection=Selection(), sharded=True)
    write_tables(plan, lambda: [records(size)], 1, 16000.0)


def small_encoder() -> MobileNet:
    encoder = build_encoder(EncoderConfig(name="mobilenet", weights=None, width=0.1))
    assert isinstance(encoder, MobileNet)
    return encoder


def tuning_progress(folder: Path) -> TuningProgress:
    return TuningProgress(folder, small_encoder(), [], TaggerConfig(), seed=0)


def keep_step(folder: Path, size: int) -> None:
    progress = tuning_progress(folder)
    progress.state = lambda: {"step": 1, "member": 0, "weights": torch.zeros(size)}
    progress.keep()


def write_network(folder: Path, _: int) -> None:
    write_folder(folder / "a.onnx", {"encoder.onnx": lambda path: write_encoder(small_encoder(), path)}, {})


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
    **{
        f"captions, {form}": ("out", partial(caption_files, form=form, per_recording=False))
        for form, kind in FORMATS.items()
        if not kind.for_one_recording
    },
    **{
        f"captions of one recording, {form}": (
            f"out/a.wav{kind.suffix}",
            partial(caption_files, form=form, per_recording=True),
        )
        for form, kind in FORMATS.items()
    },
    "captions in parts": ("out/captions-00000.jsonl", write_shards),
    "clip of the app": (
        "a.wav",
        lambda folder, size: write_clip(folder / "a.wav", np.zeros(size, np.int16), 16000, 0, 1),
    ),
    "tagger": ("tagger.safetensors", lambda folder, _: save_tagger(small_encoder(), folder / "tagger.safetensors")),
    "steps of the tagger": ("state.pt", keep_step),
    "clips of the tagger": (
        "pool.safetensors",
        lambda folder, size: tuning_progress(folder).keep_part("pool", {"a": torch.zeros(size)}),
    ),
    "network for ONNX Runtime": ("a.onnx/encoder.onnx", write_network),
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
    assert f"The history cannot be saved in {tmp_path} (File too large)" in told[0]
    assert len(history.entries[0].records[0].caption) > LIMIT_BYTES  # the window still shows it


def test_the_files_of_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    printed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    history = TrainingHistory(tmp_path, tensorboard=True)
    history.add_step(1.0, 0.1)
    history.draw()
    assert any(
        b"learning_rate" in content for content in contents(tmp_path / "tensorboard").values()
    )  # at each validation
    with full_disk(), pytest.raises(FileNotWrittenError, match=r"/tensorboard cannot be written \(File too large\)"):
        for _ in range(100):
            history.add_step(1.0, 0.1)
        history.draw()
    assert not printed
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert len(printed) == 1  # errors of other threads


def test_metadata_stay_whole(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", {"weight": torch.zeros(4)}, {}, {"step": 1})
    before = contents(tmp_path)
    with full_disk(), pytest.raises(FileNotWrittenError, match="metadata.json cannot be written \\(File too large"):
        add_metadata(tmp_path / "a", {"note": "x" * 2 * LIMIT_BYTES})
    assert contents(tmp_path) == before and read_metadata(tmp_path / "a")["step"] == 1


def test_the_apps_settings(tmp_path: Path) -> None:
    store = SettingsStore(QSettings(str(tmp_path / "app.ini"), QSettings.Format.IniFormat))
    told: list[str] = []
    store.on_error = told.append
    store.write(AppSettings(theme="dark"))
    before = contents(tmp_path)
    with full_disk():
        store.write(AppSettings(alert_words="dog " * LIMIT_BYTES))
    assert contents(tmp_path) == before and len(told) == 1
    assert f"Settings cannot be saved in {tmp_path / 'app.ini'}" in told[0]


def test_decoded_samples_of_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker = DecodingWorker()
    told: list[str] = []
    worker.failed.connect(lambda _, message: told.append(message))
    with full_disk():
        worker.ask(str(ROOT / "assets" / "siren_then_waves.flac"))
    [folder] = tmp_path.iterdir()
    assert told == [f"siren_then_waves.flac could not be decoded to {folder} (File too large)."] and not contents(
        tmp_path
    )
    worker.remove_files()


def test_recordings_of_the_app(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    blocks = [np.full(300, 0.1 * number, np.float32) for number in range(6)]
    with full_disk():
        for block in blocks:
            recorder.feed(block, 16000)
        recording = recorder.finish()
    assert recorder.error is not None and str(recorder.path) in recorder.error and "File too large" in recorder.error
    assert recording is not None and recording.path == recorder.path and recorder.error.count("\n") == 0
    kept, rate = soundfile.read(recording.path, dtype="float32")
    assert rate == 16000 and len(kept) >= 900 and recording.duration_s == 900 / 16000
    assert np.allclose(kept[:900], np.concatenate(blocks[:3]), atol=1e-4)


def test_a_data_set_of_labelled_sounds(labelled_sounds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["--root", str(labelled_sounds.parent / "ESC-50"), "--output", str(tmp_path / "out"), "--mixtures", "2"]
    with full_disk():
        assert mixtures.main(arguments) == 2
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "-dog.wav cannot be written (File too large)" in record.getMessage() and not contents(tmp_path)
    assert mixtures.main(arguments) == 0


def test_the_manifest(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "manifest.jsonl", {})
    manifest.add([Captioned(0, 0, record) for record in records(10)], {0: "0" * 16})
    before = contents(tmp_path)
    with (
        full_disk(),
        pytest.raises(ManifestError, match=r"manifest.jsonl cannot be written any further \(File too large"),
    ):
        manifest.add([Captioned(0, 1, record) for record in records(LIMIT_BYTES)], {0: "0" * 16})
    manifest.close()
    assert contents(tmp_path) == before


def test_captions_of_evaluate(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--ckpt_path", tiny_checkpoint, "--dataset_root", tone_dataset, "--split", "validation"]
    command = [*map(str, arguments), "--device", "cpu", "--batch_size", "1", "--metrics", "words", "--output"]
    assert evaluate.main([*command, str(tmp_path / "whole")]) == 0
    whole = contents(tmp_path / "whole")
    output = tmp_path / "out"
    output.mkdir()
    write_file(output / "predictions.csv", "old")
    manifest = "predictions.csv.manifest.jsonl"
    with full_disk(len(whole[manifest]) - 10):
        assert evaluate.main([*command, str(output)]) == 2
    assert f"{manifest} cannot be written any further (File too large)" in caplog.text
    kept = contents(output)
    assert kept.keys() == {"predictions.csv", manifest} and kept["predictions.csv"] == b"old"
    assert kept[manifest].endswith(b"\n") and kept[manifest].count(b'"state":') == 3
    assert evaluate.main([*command, str(output)]) == 0
    assert contents(output)[manifest].startswith(kept[manifest])
    for name in ("predictions.csv", "scores.json"):
        assert contents(output)[name] == whole[name]


def test_the_java_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = ["a dog barks " * LIMIT_BYTES]
    with full_disk():
        assert tokenize([captions]) == [[captions[0].strip()]]  # without any file
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with full_disk(), pytest.raises(FileNotWrittenError, match=r"captions.json cannot be written \(File too large"):
        spice(captions, [captions], SpiceSettings(parser_jars=()))
    assert not contents(tmp_path)

"""What runs on the machines of a cluster, without a cluster."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import inference
from captioning.cluster.object_storage import copy_folder, is_url, list_url, local_copy
from captioning.cluster.stages import CaptionActor, Read, decode, describe_captioner, objects_of, to_table
from captioning.cluster.team import RayTeam
from captioning.jobs import Captioned, Ended, Job
from captioning.recordings import Clip
from captioning.settings import checkpoint_sha256
from data.audio import AudioError
from data.caption_formats import SILENCE, CaptionRecord
from models.captioner import AudioCaptioner

pytest.importorskip("pyarrow")


def options_for(checkpoint: Path, *arguments: object) -> argparse.Namespace:
    return inference.build_parser().parse_args(
        ["--ckpt_path", str(checkpoint), "--device", "cpu", "--engine", "ray", *map(str, arguments)]
    )


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    generator = np.random.default_rng(0)
    for name, seconds in (("a", 1.0), ("b", 2.5), ("c", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * generator.normal(size=int(16000 * seconds)), 16000)
    (tmp_path / "bad.wav").write_text("no sound")
    return [Job(10 + n, name, tmp_path / name) for n, name in enumerate(("a.wav", "bad.wav", "b.wav", "c.wav"))]


def test_what_is_known_of_a_captioner_without_loading_it(tiny_checkpoint: Path) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    info = describe_captioner(options_for(tiny_checkpoint))
    assert info == (captioner.max_duration_s, captioner.sample_rate, False)


@pytest.mark.parametrize("timeline", [None, 1.0])
def test_recordings_are_decoded_and_captioned(tiny_checkpoint: Path, jobs: list[Job], timeline: float | None) -> None:
    options = options_for(tiny_checkpoint, *(("--timeline", timeline) if timeline else ()))
    info = describe_captioner(options)
    pieces = [piece for table in decode(to_table(jobs), info=info, options=options) for piece in objects_of(table)]
    ends = {piece.number: piece for piece in pieces if isinstance(piece, Read)}
    assert {number: end.num_clips for number, end in ends.items()} == {10: 1, 11: 0, 12: 3 if timeline else 1, 13: 1}
    assert "bad.wav" in ends[11].error and not any(ends[number].error for number in (10, 12, 13))
    assert sum(isinstance(piece, Clip) for piece in pieces) == (5 if timeline else 3)

    actor = CaptionActor(options, checkpoint_sha256(options.ckpt_path))
    events = objects_of(actor(to_table(pieces)))
    captioned = [event for event in events if isinstance(event, Captioned)]
    assert sorted((event.number, event.window) for event in captioned) == sorted(
        (piece.recording, piece.window) for piece in pieces if isinstance(piece, Clip)
    )
    assert all(len(event.record.captions) == 1 for event in captioned)  # an untrained network may say nothing
    assert [event for event in events if isinstance(event, Read)] == list(ends.values())


def test_another_checkpoint_on_a_machine_is_refused(tiny_checkpoint: Path) -> None:
    with pytest.raises(RuntimeError, match="is not the checkpoint of the machine that this command runs on"):
        CaptionActor(options_for(tiny_checkpoint), "0" * 16)


def test_references_of_a_data_set_come_back(tiny_checkpoint: Path, jobs: list[Job]) -> None:
    options = options_for(tiny_checkpoint)
    given = to_table([replace(jobs[0], references=("rain falls", "it rains"))])
    pieces = [
        piece
        for table in decode(given, info=describe_captioner(options), options=options)
        for piece in objects_of(table)
    ]
    events = objects_of(CaptionActor(options, checkpoint_sha256(options.ckpt_path))(to_table(pieces)))
    assert events[0].record.references == ("rain falls", "it rains")


def test_a_folder_is_copied_to_storage(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    (tmp_path / "night").mkdir()
    (tmp_path / "manifest.jsonl").write_text("{}\n")
    (tmp_path / "night" / "a.wav.srt").write_bytes(b"1\n")
    copy_folder(tmp_path, "memory://captions/2024/")
    (tmp_path / "manifest.jsonl").write_text("{}\n{}\n")
    copy_folder(tmp_path, "memory://captions/2024/")
    system = fsspec.filesystem("memory")
    found = {name: system.cat_file(name) for name in system.find("/captions")}
    assert found == {"/captions/2024/manifest.jsonl": b"{}\n{}\n", "/captions/2024/night/a.wav.srt": b"1\n"}
    with pytest.raises(ValueError, match="https://host/x cannot be written"):
        copy_folder(tmp_path, "https://host/x")


def test_what_comes_twice_is_taken_once(tiny_checkpoint: Path, jobs: list[Job]) -> None:
    team = RayTeam(options_for(tiny_checkpoint), lambda info: None)
    record = CaptionRecord("a.wav", 0, 1, SILENCE)
    first, second = Captioned(10, 0, record), Captioned(10, 1, record)
    team.expect(jobs)
    assert team.take([first, Read(11, 0, "bad")]) == [first, Ended(11, "bad.wav", "bad")]
    assert team.take([first, Read(11, 0, "bad")]) == []
    assert team.take([Read(10, 2)]) == [] and team.take([Read(10, 2), second]) == [second, Ended(10, "a.wav", "")]
    assert team.take([second, first, Read(10, 2)]) == []


def test_urls() -> None:
    assert is_url("s3://bucket/a.wav") and is_url("https://host/a.wav")
    assert not is_url("a.wav") and not is_url("C://a.wav") and not is_url("night/b:c.wav")
    with pytest.raises(ValueError, match="nothing://x/a.wav cannot be opened"):
        list(list_url("nothing://x/a.wav"))
    with pytest.raises(AudioError, match="nothing://x/a.wav cannot be fetched"), local_copy("nothing://x/a.wav"):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.wav", "--engine", "ray"], "writes to a folder: give --output"),
        (
            ["x.wav", "y.wav", "--engine", "ray", "--output", "o", "--format", "srt"],
            "srt is a format for one recording",
        ),
        (["x.wav", "--engine", "ray", "--output", "o", "--rerank", "clap"], "which only --engine local does"),
        (["x.wav", "--engine", "ray", "--output", "s3://bucket/o"], "s3:/bucket/o is on object storage: name a path"),
        (["x.wav", "--engine", "ray", "--output", "o", "--copy_to", "o"], "--copy_to takes a URL"),
        (["x.wav", "--engine", "ray", "--output", "o", "--copy_to", "nothing://x"], "nothing://x cannot be opened"),
        (["x.wav", "--output", "o", "--copy_to", "s3://x"], "--copy_to needs --engine ray"),
        (["x.wav", "--engine", "ray", "--output", "o", "--stall_s", "0"], "above 0"),
        (["s3://bucket/a.wav"], "needs --engine ray"),
    ],
)
def test_mistakes(tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str) -> None:
    assert inference.main(["--ckpt_path", str(tiny_checkpoint), *arguments]) == 2
    assert message in caplog.text

"""What the benchmarks share."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import benchmarks, main
from benchmarks.common import agreed_classes, caption_texts, clip_style
from data.clotho import FileClip
from models.captioner import AudioCaptioner
from vocabulary.audioset import tag_ids

ROOT = Path(__file__).parents[2]


def test_a_class_counts_that_two_references_name() -> None:
    clip = FileClip(Path("a.wav"), ("a dog barks", "a dog and a siren", "it goes on", "rain falls", "noise"))
    assert agreed_classes(clip) == {tag_ids()["Dog"]}


def test_a_clip_is_captioned_in_the_style_of_its_corpus(tiny_checkpoint: Path) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    styles = replace(captioner.config.captioner, styles=("plain", "clotho"))
    captioner.config = replace(captioner.config, captioner=styles)
    own, unknown = FileClip(Path("a.wav"), (), style="clotho"), FileClip(Path("b.wav"), (), style="other")
    assert [clip_style(captioner, clip) for clip in (own, unknown)] == [1, 0]
    assert [clip_style(captioner, clip, "clotho") for clip in (own, unknown)] == [1, 1]
    with pytest.raises(ValueError, match="style 'verse' .expected one of plain, clotho"):
        clip_style(captioner, own, "verse")


def test_batches_do_not_change_captions() -> None:
    captioner = AudioCaptioner.from_pretrained(ROOT / "checkpoints" / "sounds_small")
    clips = [FileClip(ROOT / "assets" / name, ()) for name in ("siren.flac", "siren_then_waves.flac", "siren.flac")]
    texts = caption_texts(captioner, clips)
    assert texts == caption_texts(captioner, clips, batch_size=1)
    assert all("siren" in text for text in texts) and texts[0] != texts[1]


def test_every_benchmark_is_listed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert {"yardstick", "calibration", "speed", "archive", "fuzz"} <= benchmarks().keys()
    for name, line in benchmarks().items():
        assert f"  {name} " in printed and line.endswith(".") and line in printed, name
    assert main(["no_such_name"]) == 2 and "found the benchmark 'no_such_name'" in capsys.readouterr().err


def test_a_benchmark_runs_by_its_name() -> None:
    command = [sys.executable, "-m", "benchmarks", "fuzz", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m benchmarks fuzz ") and "--cases" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("speed", ["--parts", "generation"]),
        ("yardstick", ["--labelled", "clips"]),
        ("sounds", ["--dataset_root", "clips"]),
        ("calibration", ["--dataset_root", "clips", "--ckpt_path", "checkpoint"]),
        ("taggers", ["--encoders", "checkpoint"]),
    ],
)
def test_a_device_that_is_not_there_is_named(name: str, arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert main([name, *arguments, "--device", "cuda"]) == 2
    assert "needs a CUDA device, and none is available" in caplog.text

"""What the benchmarks of real recordings count."""

from pathlib import Path

import pytest
import torch

from benchmarks import real_sounds, unseen
from benchmarks.real_sounds import naming_rate, nearest, template
from data.clotho import FileClip
from vocabulary.audioset import tag_ids


def scores(**heard: float) -> torch.Tensor:
    values = torch.full((527,), 1e-4)
    for name, value in heard.items():
        values[tag_ids()[name]] = value
    return values


def test_the_template_leaves_wide_tags_out() -> None:
    assert template(scores(Animal=0.9, Dog=0.8, Siren=0.4, Rain=0.1)) == "dog and siren"


def test_a_class_counts_that_two_references_name() -> None:
    clip = FileClip(Path("a.wav"), ("a dog barks", "a dog and a siren", "it goes on", "rain falls", "noise"))
    assert naming_rate(["a dog"], [clip]) == 1.0
    assert naming_rate(["a siren wails"], [clip]) == 0.0


def test_the_nearest_caption_is_of_the_clip_s_manner(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("caption\nA dog barks\nRain falls\n")
    (tmp_path / "long.csv").write_text("caption_1\nA dog is barking in the yard\n")
    tables = [str(tmp_path / "short.csv"), str(tmp_path / "long.csv")]
    heard = [scores(Dog=0.8, Bark=0.5), scores(Rain=0.7), scores(Rain=0.7)]
    found = nearest(heard, ["short", "short", "long"], tables, ["short", "long", "plain"])
    assert found == ["a dog barks", "rain falls", "a dog is barking in the yard"]


def test_the_table_of_a_small_captioner(tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "table.md"
    arguments = ["--dataset_root", str(tone_dataset), "--ckpt_path", str(tiny_checkpoint), "--output", str(output)]
    assert real_sounds.main(arguments) == 0
    lines = output.read_text().splitlines()
    assert len(lines) == 4 and lines[3].startswith("| 4 of  | template of two tags |")


@pytest.mark.parametrize("word", ["right", ""])
def test_a_person_s_judgement_stays_with_its_caption(tiny_checkpoint: Path, tmp_path: Path, word: str) -> None:
    import numpy as np
    import soundfile

    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips" / "a.wav", np.random.default_rng(0).normal(size=16000) * 0.1, 16000)
    (tmp_path / "clips.csv").write_text("file_name,label\na.wav,noise\n")
    output = tmp_path / "table.md"
    arguments = [
        "--labelled",
        str(tmp_path),
        "--held_out",
        "1",
        "--ckpt_path",
        str(tiny_checkpoint),
        "--output",
        str(output),
    ]
    assert unseen.main(arguments) == 0
    row = output.read_text().splitlines()[2]
    assert row.startswith("| a.wav | noise | ") and row.endswith(" |  |")
    output.write_text(output.read_text().replace(row, row.removesuffix("|  |") + f"| {word} |"))
    assert unseen.main(arguments) == 0
    assert ("right 1" in output.read_text()) == (word == "right")

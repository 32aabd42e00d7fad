"""How often captioners name the sounds of labelled clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import sounds
from data.clotho import load_split
from models.captioner import AudioCaptioner


def test_both_sounds_of_a_mixture_must_be_named(labelled_sounds: Path) -> None:
    clips = load_split(labelled_sounds, "validation", 0.0, 0)
    said = {clip.name: "a dog barks" for clip in clips}
    row = sounds.judge("dog", clips, said, 1.0)
    dogs = [set(clip.labels) for clip in clips if len(clip.labels) == 1]
    assert row.single[0] == pytest.approx(np.mean([labels == {"dog"} for labels in dogs]))
    assert row.both[0] == 0.0 and row.at_least_one == 1.0 and row.distinct == 1
    said = {clip.name: "a dog barks while a siren wails" for clip in clips}
    both = sounds.judge("both", clips, said, 1.0)
    assert both.single[0] == both.both[0] == 1.0 and both.single_only == 0.0


@pytest.mark.parametrize(
    ("caption", "order"),
    [
        ("a dog barks and then a siren wails", 1),
        ("A dog barks before a siren wails.", 1),
        ("a siren wails after a dog barks", 1),
        ("a siren wails followed by a dog", -1),
        ("a siren wails, and after that a dog barks", -1),
        ("a dog barks after which a siren wails", 1),
        ("After a dog's bark, a siren wails.", 1),
        ("a dog barks while a siren wails", 0),
        ("a dog barks and a siren wails", 0),
        ("a dog barks and then barks again", 0),
    ],
)
def test_the_order_that_a_caption_tells(caption: str, order: int) -> None:
    assert sounds.stated_order(caption, ("dog", "siren")) == order


def test_order_is_right_for_sequences_and_invented_for_overlays(labelled_sounds: Path) -> None:
    clips = load_split(labelled_sounds, "validation", 0.0, 0)
    mixtures = [clip for clip in clips if len(clip.labels) == 2]
    said = {clip.name: " then ".join(("a dog barks" if label == "dog" else "a siren wails") for label in clip.labels)
            for clip in mixtures}  # fmt: skip
    row = sounds.judge("told", mixtures, said, 1.0)
    assert (row.order_right, row.order_wrong, row.order_invented) == (1.0, 0.0, 1.0)
    turned = {clip.name: " then ".join(reversed(said[clip.name].split(" then "))) for clip in mixtures}
    row = sounds.judge("turned", mixtures, turned, 1.0)
    assert (row.order_right, row.order_wrong, row.order_invented) == (0.0, 1.0, 1.0)


def test_a_captioner_is_judged_in_each_of_its_manners(
    tiny_checkpoint: Path, labelled_sounds: Path, tmp_path: Path
) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    parts = replace(captioner.config.captioner, styles=("short", "long"))
    styled = AudioCaptioner(replace(captioner.config, captioner=parts), captioner.tokenizer)
    torch.nn.init.normal_(styled.style_embed.weight, std=5.0)
    styled.save_pretrained(tmp_path / "styled")
    output = tmp_path / "table.md"
    arguments = [
        "--dataset_root",
        str(labelled_sounds),
        "--ckpt_path",
        str(tmp_path / "styled"),
        "--output",
        str(output),
    ]
    assert sounds.main([*arguments, "--styles", "short", "long"]) == 0
    names = [line.split("|")[1].strip() for line in output.read_text().splitlines()[2:]]
    assert names == [f"{tmp_path / 'styled'}, short", f"{tmp_path / 'styled'}, long"]
    assert sounds.main(arguments) == 0
    assert len(output.read_text().splitlines()) == 3

"""Measures of the taggers of encoders."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks.common import agreed_classes
from benchmarks.taggers import load_encoder, main, mean_encoder, precision, ranks
from data.clotho import FileClip
from vocabulary.audioset import tag_ids

SHIPPED = Path(__file__).parents[2] / "checkpoints" / "any_sound"
DOG, BARK, ANIMAL, RAIN = (tag_ids()[name] for name in ("Dog", "Bark", "Animal", "Rain"))


def test_precision_is_that_of_each_recordings_own_ranking() -> None:
    scores = np.zeros((3, 527))
    scores[0, [DOG, RAIN]] = 0.9, 0.8  # both first: 1
    scores[1, [DOG, ANIMAL, RAIN]] = 0.9, 0.8, 0.7  # rain third: 1/3
    assert precision(scores, [{DOG, RAIN}, {RAIN}, set()]) == pytest.approx((1 + 1 / 3) / 2)
    assert np.isnan(precision(scores, [set(), set(), set()]))


def test_a_label_ranks_by_its_best_class_and_wide_classes_do_not_count() -> None:
    scores = np.zeros((2, 527))
    scores[:, [ANIMAL, RAIN, BARK, DOG]] = 0.9, 0.8, 0.7, 0.1
    assert ranks(scores, [["dog"], ["rain", "no such label at all"]]).tolist() == [2, 1]


def test_what_one_reference_alone_names_is_not_asked_for() -> None:
    clip = FileClip(Path("a.wav"), ("a dog barks", "a dog barks in the rain", "it goes on"))
    wanted = agreed_classes(clip)
    assert wanted and RAIN not in wanted


def test_the_mean_lies_between() -> None:
    first, second = load_encoder(SHIPPED), load_encoder(SHIPPED)
    name, tensor = next(iter(first.state_dict().items()))
    tensor.zero_()
    expected = second.state_dict()[name] / 2
    assert torch.allclose(mean_encoder([first, second]).state_dict()[name], expected)


def test_a_table_of_labelled_clips(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "clips").mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        soundfile.write(tmp_path / "clips" / f"{number}.wav", generator.normal(0, 0.1, 16000), 16000)
    (tmp_path / "clips.csv").write_text("file_name,label\n0.wav,rain\n1.wav,dog\n2.wav,rain\n")
    output = tmp_path / "taggers.md"
    asked = ["--encoders", str(SHIPPED), "--labelled", str(tmp_path), "--held_out", "3", "--output", str(output)]
    assert main(asked) == 0
    header, _, row = output.read_text().splitlines()
    assert "3 held out: rank, in 3" in header and str(SHIPPED) in row and row.endswith(" % |")
    assert main(["--encoders", str(SHIPPED)]) == 2 and "no clips to evaluate on" in caplog.text

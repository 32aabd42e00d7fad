"""Real and simulated scores side by side."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulation
from benchmarks.simulation import compare, named_shares, quantiles
from configs.schema import DataConfig
from vocabulary.audioset import tag_ids

DOG, SPEECH, ANIMAL = (tag_ids()[name] for name in ("Dog", "Speech", "Animal"))


def test_shares_are_of_their_interval_and_few_scores_give_none() -> None:
    scores = np.array([0.05] * 10 + [0.95] * 8 + [0.2] * (simulation.MIN_SCORES - 1) + [1.0] * 2)
    named = np.array([True] * 2 + [False] * 8 + [True] * 8 + [True] * (simulation.MIN_SCORES - 1) + [False] * 2)
    assert named_shares(scores, named) == ["20", "n/a", "n/a", "n/a", "n/a", "80"]


def test_rows_tell_speech_from_other_things() -> None:
    scores = np.full((2, 527), 0.01)
    scores[0, SPEECH], scores[0, DOG], scores[1, DOG], scores[1, ANIMAL] = 0.8, 0.6, 0.4, 0.9
    shares, spread = compare("x", scores, ["a man speaks", "a dog barks"])
    assert [row[:2] for row in shares] == [["x", "speech"], ["x", "others"]]
    speech, silent, things, unnamed = (row[2:] for row in spread)
    assert speech == ["0.80"] * 5 and silent == ["0.01"] * 5
    assert things == ["0.40"] * 5  # the dog, where it is named
    assert unnamed[0] == "0.07" and unnamed[-1] == "0.54"  # the dog of the first; "animal" is too wide to be missed
    assert quantiles([]) == ["n/a"] * 5 == ["n/a"] * len(simulation.QUANTILES)


def test_a_table_of_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "MIN_SCORES", 1)
    shares, _ = compare("x", np.full((1, 527), 0.2), ["a dog barks"])
    assert shares[0][2:] == ["n/a", "0", "n/a", "n/a", "n/a", "n/a"]


def test_labelled_clips_under_our_captions_are_no_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Exception):
        pass

    def look(config: DataConfig, seed: int) -> None:
        assert config.texts.tables and config.texts.labelled_dirs
        assert not config.texts.labelled_style and not config.texts.composed
        raise Seen

    monkeypatch.setattr(simulation, "load_clips", look)
    root = Path(simulation.__file__).parents[1]
    arguments = ["--config", str(root / "configs/any_sound.yaml"), "--ckpt_path", str(root / "checkpoints/any_sound")]
    with pytest.raises(Seen):
        simulation.main(arguments)

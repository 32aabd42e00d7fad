"""Simulated embeddings of captions without audio."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.schema import SimulationConfig
from training.text_only.captions import TextClip
from training.text_only.simulation import Simulator
from training.text_only.sound_bank import SoundBank
from vocabulary.audioset import tag_ids

DOG, SIREN, RAIN = (tag_ids()[name] for name in ("Dog", "Siren", "Rain"))


@pytest.fixture(scope="module")
def simulate() -> Simulator:
    """A bank of three clips that differ in the one channel that is 1: dog 0, siren 1, rain 2."""
    frames = [np.eye(3, dtype=np.float32)[[number] * 5] for number in range(3)]
    classes = {number: np.array([row]) for row, number in enumerate((DOG, SIREN, RAIN))}
    return Simulator(
        SoundBank(
            frames, classes, [frozenset({number}) for number in (DOG, SIREN, RAIN)], np.zeros((3, 527), np.float32), 3
        ),
        3.0,
    )


def embeddings(simulate: Simulator, caption: str, seed: int) -> np.ndarray:
    return simulate(TextClip("t", (caption,)), np.random.default_rng(seed))


@settings(deadline=None, max_examples=40)
@example(747)
@given(st.integers(0, 10**6))
def test_what_follows_comes_later(simulate: Simulator, seed: int) -> None:
    quiet = replace(simulate.bank, frames=[np.zeros_like(simulate.bank.frames[0]), *simulate.bank.frames])
    later = {number: rows + 1 for number, rows in quiet.clips_of_class.items()}
    scores = np.zeros((4, 527), np.float32)
    bank = SoundBank(
        quiet.frames, later, [frozenset(), *quiet.classes_of_clip], scores, 1
    )  # the background is neither sound
    sound = embeddings(Simulator(bank, 3.0), "a dog barks followed by a siren", seed)
    assert sound.shape == (30, 3) and sound.dtype == np.float32
    dog, siren = (np.average(np.arange(30), weights=sound[:, row] + 1e-9) for row in (0, 1))
    if sound[:, 1].sum() > 0:  # a later source is missing now and then
        assert dog < siren + 2


def test_the_same_generator_gives_the_same_and_another_one_another(simulate: Simulator) -> None:
    first, again, other = (embeddings(simulate, "a dog barks while it rains", seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_first_source_is_always_there_and_no_frame_is_empty(simulate: Simulator) -> None:
    for seed in range(50):
        sound = embeddings(simulate, "a dog barks while rain falls", seed)
        assert sound[:, 0].max() > 0 and (sound.sum(axis=1) > 0).all()


def test_styles_have_their_own_lengths(simulate: Simulator) -> None:
    longer = Simulator(simulate.bank, 3.0, durations_s={"clotho": (15.0, 30.0)})
    lengths = [len(longer(TextClip("t", ("a dog",), "clotho"), np.random.default_rng(seed))) for seed in range(20)]
    assert 45 <= min(lengths) < max(lengths) <= 90


def test_unmentioned_speech_is_frequent_and_weaker_than_mentioned_speech() -> None:
    dog, speech = tag_ids()["Dog"], tag_ids()["Speech"]
    frames = [np.eye(2, dtype=np.float32)[[number] * 5] for number in range(2)]
    own = [frozenset({dog}), frozenset({speech})]
    classes = {dog: np.array([0]), speech: np.array([1])}
    simulate = Simulator(SoundBank(frames, classes, own, np.zeros((2, 527), np.float32), 1), 3.0)
    unmentioned = np.array([embeddings(simulate, "a dog barks", seed)[:, 1].max() for seed in range(300)])
    mentioned = np.array(
        [embeddings(simulate, "a dog barks and then a man speaks", seed)[:, 1].max() for seed in range(300)]
    )
    assert 0.5 < (unmentioned > 0).mean() < 0.7 and (mentioned > 0).mean() > 0.9  # p_unmentioned_speech, p_missing
    assert mentioned.mean() > 1.3 * unmentioned[unmentioned > 0].mean()


def test_without_noise_each_source_is_its_clearest_clip_and_there_are_no_others() -> None:
    frames = [np.eye(4, dtype=np.float32)[[number] * 5] for number in range(4)]
    scores = np.zeros((4, 527), np.float32)
    scores[1, DOG] = 0.9  # the clearer of two dogs
    classes = {DOG: np.array([0, 1]), SIREN: np.array([2]), RAIN: np.array([3])}
    own = [frozenset({DOG}), frozenset({DOG}), frozenset({SIREN}), frozenset({RAIN})]
    simulate = Simulator(SoundBank(frames, classes, own, scores, 4), 3.0, SimulationConfig(noise=False))
    for seed in range(20):
        sound = embeddings(simulate, "a faint dog barks followed by a loud siren", seed)
        assert (sound[:, [0, 3]] == 0).all()
        first = int((sound[:, 1] > 0).sum())
        assert (sound[:first, 1] == 1).all() and (sound[first:, 2] == 1).all() and 0 < first < 30


def test_settings_decide() -> None:
    frames = [np.eye(2, dtype=np.float32)[[number] * 5] for number in range(2)]
    classes = {DOG: np.array([0]), RAIN: np.array([1])}
    bank = SoundBank(frames, classes, [frozenset({DOG}), frozenset({RAIN})], np.zeros((2, 527), np.float32), 2)
    never = SimulationConfig(p_missing=1.0, p_background=0.0, p_partial=0.0, p_early_onset=0.0)
    alone = Simulator(bank, 3.0, never)
    both = Simulator(bank, 3.0, replace(never, p_missing=0.0, mix_gain=2.0))
    for seed in range(10):
        assert (embeddings(alone, "a dog barks while rain falls", seed) == [1.0, 0.0]).all()
        sound = embeddings(both, "a dog barks while rain falls", seed)
        assert (sound > 0).all() and np.allclose(sound.sum(axis=1), 2.0)

"""Embeddings of texts, put together from donors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.schema import EncoderConfig
from data.clotho import FileClip
from models.encoders.build import build_encoder
from training.text_only import simulation
from training.text_only.captions import TextClip
from training.text_only.simulation import Donors, Simulator, collect_donors, make_donors, tag_means
from vocabulary.audioset import tag_ids

DOG, SIREN, RAIN = (tag_ids()[name] for name in ("Dog", "Siren", "Rain"))


@pytest.fixture(scope="module")
def simulate() -> Simulator:
    """Donors that are told apart by the one channel that is 1: dog 0, siren 1, rain 2."""
    frames = [np.eye(3, dtype=np.float32)[[number] * 5] for number in range(3)]
    classes = {number: np.array([row]) for row, number in enumerate((DOG, SIREN, RAIN))}
    return Simulator(
        Donors(
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
    quiet = replace(simulate.donors, frames=[np.zeros_like(simulate.donors.frames[0]), *simulate.donors.frames])
    later = {number: rows + 1 for number, rows in quiet.classes.items()}
    scores = np.zeros((4, 527), np.float32)
    donors = Donors(quiet.frames, later, [frozenset(), *quiet.of_donor], scores, 1)  # the background is neither sound
    sound = embeddings(Simulator(donors, 3.0), "a dog barks followed by a siren", seed)
    assert sound.shape == (30, 3) and sound.dtype == np.float32
    dog, siren = (np.average(np.arange(30), weights=sound[:, row] + 1e-9) for row in (0, 1))
    if sound[:, 1].sum() > 0:  # seldom a further source is not heard at all
        assert dog < siren + 2


def test_the_same_generator_gives_the_same_and_another_one_another(simulate: Simulator) -> None:
    first, again, other = (embeddings(simulate, "a dog barks while it rains", seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_the_first_source_is_always_there_and_no_frame_is_empty(simulate: Simulator) -> None:
    for seed in range(50):
        sound = embeddings(simulate, "a dog barks while rain falls", seed)
        assert sound[:, 0].max() > 0 and (sound.sum(axis=1) > 0).all()


def test_styles_have_their_own_lengths(simulate: Simulator) -> None:
    longer = Simulator(simulate.donors, 3.0, {"clotho": (15.0, 30.0)})
    lengths = [len(longer(TextClip("t", ("a dog",), "clotho"), np.random.default_rng(seed))) for seed in range(20)]
    assert 45 <= min(lengths) < max(lengths) <= 90


def test_speech_is_heard_in_texts_that_do_not_speak_of_it_too_but_clearest_in_those_that_do() -> None:
    dog, speech = tag_ids()["Dog"], simulation.SPEECH
    frames = [np.eye(2, dtype=np.float32)[[number] * 5] for number in range(2)]
    own = [frozenset({dog}), frozenset({speech})]
    classes = {dog: np.array([0]), speech: np.array([1])}
    simulate = Simulator(Donors(frames, classes, own, np.zeros((2, 527), np.float32), 1), 3.0)
    unsaid = np.array([embeddings(simulate, "a dog barks", seed)[:, 1].max() for seed in range(300)])
    said = np.array(
        [embeddings(simulate, "a dog barks and then a man speaks", seed)[:, 1].max() for seed in range(300)]
    )
    assert 0.5 < (unsaid > 0).mean() < 0.7 and (said > 0).mean() > 0.9  # UNSAID_SPEECH, UNHEARD
    assert said.mean() > 1.3 * unsaid[unsaid > 0].mean()


def test_made_donors_make_the_tagger_say_their_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "MIN_MADE", 0)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1)).eval().requires_grad_(False)
    means = torch.randn(60, encoder.embedding_dim)
    logits = tag_means(encoder, means)
    counts = [100] * 527
    counts[DOG] = 0
    frames, classes = make_donors(encoder, means, logits, counts, seed=0)
    assert len(frames) == 8 and all(DOG in own for own in classes)
    said = torch.sigmoid(tag_means(encoder, torch.stack([torch.from_numpy(frame.mean(axis=0)) for frame in frames])))
    assert said[:, DOG].mean() > torch.sigmoid(logits[:, DOG]).mean() + 0.05


def test_donors_have_the_classes_of_their_labels_unless_the_tagger_hears_nothing_of_the_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulation, "MADE_STEPS", 2)
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="mobilenet", width=0.1)).eval().requires_grad_(False)
    clips = [FileClip(Path(f"{number}.wav"), (), ("dog",)) for number in range(40)]
    frames = {clip: np.random.default_rng(n).normal(size=(4, encoder.embedding_dim)) for n, clip in enumerate(clips)}
    donors = collect_donors(clips, lambda clip: frames[clip].astype(np.float32), encoder, seed=0)
    assert donors.num_real == 40 and len(donors.frames) > 40
    ranks = tag_means(encoder, torch.stack([torch.from_numpy(f.mean(0)).float() for f in frames.values()]))
    believed = (ranks.argsort(dim=1, descending=True).argsort(dim=1)[:, DOG] < 60).tolist()
    assert [DOG in own for own in donors.of_donor[:40]] == believed


def test_without_noise_each_source_is_its_clearest_donor_and_nothing_else_is_heard() -> None:
    frames = [np.eye(4, dtype=np.float32)[[number] * 5] for number in range(4)]
    scores = np.zeros((4, 527), np.float32)
    scores[1, DOG] = 0.9  # the clearer of two dogs
    classes = {DOG: np.array([0, 1]), SIREN: np.array([2]), RAIN: np.array([3])}
    own = [frozenset({DOG}), frozenset({DOG}), frozenset({SIREN}), frozenset({RAIN})]
    simulate = Simulator(Donors(frames, classes, own, scores, 4), 3.0, noise=False)
    for seed in range(20):
        sound = embeddings(simulate, "a faint dog barks followed by a loud siren", seed)
        assert (sound[:, [0, 3]] == 0).all()
        first = int((sound[:, 1] > 0).sum())
        assert (sound[:first, 1] == 1).all() and (sound[first:, 2] == 1).all() and 0 < first < 30

"""Order and samples depend on the step alone, however many processes share them."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import AugmentConfig
from data.captions import train_tokenizer
from data.clotho import FileClip
from data.labelled.mixtures import make_mixtures
from training.batches import PAD_SAMPLES, Collate, StepSampler, TrainingSet
from training.objective import tagging_loss, token_weights
from vocabulary.audioset import tag_ids

CAPTIONS = ("a dog barks", "a dog is barking twice")


class ToneClip:
    """A clip of constant value, standing for a file."""

    def __init__(self, value: float, seconds: float) -> None:
        self.name, self.captions, self.identity = f"{value}", CAPTIONS, f"{value}"
        self.labels: tuple[str, ...] = ()
        self.style = ""
        self.waveform = np.full(int(seconds * 100), value, np.float32)

    def load(self, sample_rate: int, max_duration_s: float | None) -> np.ndarray:
        return self.waveform


def training_set(config: AugmentConfig) -> TrainingSet:
    clips = [ToneClip(0.1 * number, 1 + number) for number in range(1, 5)]
    return TrainingSet(clips, train_tokenizer(CAPTIONS * 3, 60), config, 7, 20, None, 100, 30.0)


@given(st.integers(1, 40), st.sampled_from([(1, 1), (2, 1), (1, 2), (2, 3), (4, 1)]), st.integers(0, 5))
def test_processes_share_each_step_and_a_later_start_changes_nothing(
    num_clips: int, split: tuple[int, int], first: int
) -> None:
    world, accumulation = split
    whole = [batch for batch in StepSampler(num_clips, 12, 3, 0, 8)]
    for step in range(first, 8):
        parts: list[tuple[int, int]] = []
        for rank in range(world):
            sampler = StepSampler(num_clips, 12, 3, first, 8, rank, world, accumulation)
            batches = list(sampler)
            assert len(batches) == len(sampler)
            start = (step - first) * accumulation
            parts += [pair for batch in batches[start : start + accumulation] for pair in batch]
        assert parts == whole[step]


def test_an_epoch_sees_each_clip_once() -> None:
    sampler = StepSampler(12, 4, 0, 0, 3)
    assert sorted(index for batch in sampler for _, index in batch) == list(range(12))


def test_a_batch_size_that_does_not_divide_is_reported() -> None:
    try:
        StepSampler(12, 5, 0, 0, 3, world_size=2)
    except ValueError as error:
        assert "choose a multiple" in str(error)
    else:
        raise AssertionError("no error")


def test_samples_repeat_and_epochs_differ() -> None:
    dataset = training_set(AugmentConfig(mixup_alpha=0.5, gain_db=6, time_masks=1, band_masks=1))
    first, again, other = dataset[(0, 1)], dataset[(0, 1)], dataset[(1, 1)]
    assert np.array_equal(first.audio, again.audio) and first.captions == again.captions
    assert not (first.audio.shape == other.audio.shape and np.array_equal(first.audio, other.audio))


def test_mixup_trains_both_captions_by_share_or_the_stronger_alone() -> None:
    both = training_set(AugmentConfig(mixup_alpha=0.5))[(0, 0)]
    assert len(both.captions) == 2
    assert abs(sum(weight for _, weight in both.captions) - 1) < 1e-6
    either = training_set(AugmentConfig(mixup_alpha=0.5, mixup_captions="either"))[(0, 0)]
    assert [weight for _, weight in either.captions] == [1.0]
    assert np.array_equal(both.audio, either.audio)


def test_padding_and_token_weights() -> None:
    dataset = training_set(AugmentConfig(mixup_alpha=0.5))
    samples = [dataset[(0, index)] for index in range(3)]
    batch = Collate(pad_id=0)(samples)
    assert batch.audio.shape == (3, PAD_SAMPLES)
    assert batch.lengths.tolist() == [len(sample.audio) for sample in samples]
    assert batch.clip_index.tolist() == [0, 0, 1, 1, 2, 2]
    weights = token_weights(batch)
    expected = sum(weight * (len(ids) - 1) for sample in samples for ids, weight in sample.captions)
    assert torch.isclose(weights.sum(), torch.tensor(expected))


@pytest.fixture
def labelled(tmp_path: Path) -> list[FileClip]:
    """Six clips of three sounds, half a second each."""
    clips = []
    for number in range(6):
        label = ("dog", "rain", "Whistling")[number % 3]
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, 8000), 16000)
        clips.append(FileClip(path, CAPTIONS, (label,), str(number)))
    return clips


def test_mixtures_are_drawn_anew_each_epoch_where_nothing_is_cached(labelled: list[FileClip]) -> None:
    clips = [*labelled, *make_mixtures([clip for clip in labelled if clip.labels != ("Whistling",)], 4, 0)]
    tokenizer = train_tokenizer(CAPTIONS * 3, 60)
    fresh = TrainingSet(clips, tokenizer, AugmentConfig(), 0, 20, None, 16000, 30.0)
    fresh._singles = [clip for clip in fresh._singles if clip.labels != ("Whistling",)]  # it has no phrases to mix with
    first, again = fresh[(0, 7)], fresh[(0, 7)]
    assert np.array_equal(first.audio, again.audio) and first.captions == again.captions
    sounds = [fresh[(epoch, 7)].audio for epoch in range(6)]
    assert any(len(a) != len(b) or not np.array_equal(a, b) for a, b in itertools.pairwise(sounds))
    cached = TrainingSet(clips, tokenizer, AugmentConfig(), 0, 20, lambda clip: clip.load(16000, 1)[:, None], 16000, 30)
    assert all(np.array_equal(cached[(epoch, 7)].audio[:, 0], clips[7].load(16000, 1)) for epoch in range(3))


def test_tag_targets_are_what_labels_say_and_judge_nothing_else(labelled: list[FileClip]) -> None:
    unknown = dataclasses.replace(labelled[0], labels=())
    clips = [*labelled[:3], unknown]
    dataset = TrainingSet(clips, train_tokenizer(CAPTIONS * 3, 60), AugmentConfig(), 0, 20, None, 16000, 30.0)
    targets = Collate(0, dataset.judged_tags)([dataset[(0, index)] for index in range(4)]).tags
    names = tag_ids()
    judged = {names[name] for name in ("Dog", "Bark", "Rain", "Rain on surface", "Whistling")}
    assert set(torch.nonzero(targets[0] >= 0)[:, 0].tolist()) == judged
    assert set(torch.nonzero(targets[0] == 1)[:, 0].tolist()) == {names["Dog"], names["Bark"]}
    assert (targets[3] == -1).all()
    right = torch.where(targets == 1, 9.0, -9.0)
    assert float(tagging_loss(right, targets)) < 0.01
    assert float(tagging_loss(-right, targets)) == pytest.approx(3 * 5 * 9 / 4, rel=0.01)
    changed = right.clone()
    changed[3] = 5.0  # of an unlabelled clip nothing is known
    assert float(tagging_loss(changed, targets)) == float(tagging_loss(right, targets))

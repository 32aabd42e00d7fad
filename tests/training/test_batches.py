"""Order and samples depend on the step alone, however many processes share them."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import AugmentConfig
from data.captions import train_tokenizer
from training.batches import PAD_SAMPLES, Collate, StepSampler, TrainingSet
from training.objective import token_weights

CAPTIONS = ("a dog barks", "a dog is barking twice")


class ToneClip:
    """A clip of constant value, standing for a file."""

    def __init__(self, value: float, seconds: float) -> None:
        self.name, self.captions, self.identity = f"{value}", CAPTIONS, f"{value}"
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


def test_a_batch_size_that_does_not_divide_is_told() -> None:
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

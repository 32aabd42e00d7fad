"""Augmentation: repeatable sample by sample, switched off exactly, right in kind."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import AugmentConfig
from data.augment import augment_waveform, draw_mixup, draw_spans, hide_spans, mix, sample_generator

indices = st.integers(min_value=0, max_value=10_000)


@given(indices, indices, indices)
def test_a_sample_repeats_and_its_neighbours_differ(seed: int, epoch: int, index: int) -> None:
    first = sample_generator(seed, epoch, index).random(4)
    assert np.array_equal(first, sample_generator(seed, epoch, index).random(4))
    assert not np.array_equal(first, sample_generator(seed, epoch, index + 1).random(4))
    assert not np.array_equal(first, sample_generator(seed, epoch + 1, index).random(4))


def test_everything_off_changes_nothing() -> None:
    waveform = np.linspace(-1, 1, 100, dtype=np.float32)
    generator = sample_generator(0, 0, 0)
    assert np.array_equal(augment_waveform(waveform, 100, AugmentConfig(), generator), waveform)
    assert draw_mixup(AugmentConfig(), 5, generator) is None


@given(st.floats(0.05, 2.0), indices)
def test_the_first_clip_of_a_mixup_is_the_stronger(alpha: float, index: int) -> None:
    drawn = draw_mixup(AugmentConfig(mixup_alpha=alpha), 7, sample_generator(0, 0, index))
    assert drawn is not None
    assert 0.5 <= drawn.share <= 1.0
    assert 0 <= drawn.partner < 7


def test_mixing_goes_on_where_the_shorter_ends() -> None:
    mixed = mix(np.ones((2, 3), np.float32), np.full((4, 3), 2, np.float32), 0.75)
    assert np.allclose(mixed[:, 0], [1.25, 1.25, 0.5, 0.5])


def test_crop_and_gain() -> None:
    waveform = np.full(1000, 0.1, np.float32)
    config = AugmentConfig(crop_s=0.5, gain_db=6)
    changed = augment_waveform(waveform, 1000, config, sample_generator(0, 0, 3))
    assert len(changed) == 500
    assert 0.1 * 10 ** (-6 / 20) <= changed[0] <= 0.1 * 10 ** (6 / 20)


@given(st.integers(0, 4), st.floats(0, 1), indices)
def test_spans_lie_inside_and_keep_their_bound(count: int, longest: float, index: int) -> None:
    spans = draw_spans(count, longest, sample_generator(1, 1, index))
    assert spans.shape == (count, 2)
    assert (spans >= 0).all() and (spans <= 1 + 1e-6).all()
    assert (spans[:, 1] - spans[:, 0] <= longest + 1e-6).all()


def test_hidden_spans_are_zero_and_one_frame_stays() -> None:
    embeddings = np.ones((10, 20), np.float32)
    hidden = hide_spans(embeddings, np.array([[0.2, 0.5]], np.float32), np.array([[0.0, 0.1]], np.float32))
    assert not hidden[2:5].any() and not hidden[:, :2].any()
    assert hidden[5:, 2:].all()
    assert embeddings.all()
    clip_vector = hide_spans(
        np.ones((1, 4), np.float32), np.array([[0.0, 1.0]], np.float32), np.zeros((0, 2), np.float32)
    )
    assert clip_vector.all()

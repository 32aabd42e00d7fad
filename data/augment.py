"""Augmentation, drawn sample by sample from a generator of its own, so that a resumed run repeats it.

SpecAugment: Park et al. 2019, arXiv 1904.08779. Mixup: Zhang et al. 2018, arXiv 1710.09412; both captions of mixed clips
are trained on in proportion to their shares, as Labbé et al. do for captioning (arXiv 2309.00454).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.schema import AugmentConfig

Waveform = NDArray[np.float32]


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Generator of one training sample: the same for the same (seed, epoch, index), unrelated to all others."""
    return np.random.default_rng([seed, epoch, index])


@dataclass(frozen=True)
class Mixup:
    """Which second clip is mixed in.

    Attributes:
        partner: index of the second clip.
        share: weight of the first clip, 0 to 1; the second has 1 - share.
    """

    partner: int
    share: float


def draw_mixup(config: AugmentConfig, num_clips: int, generator: np.random.Generator) -> Mixup | None:
    """Draw a partner and a share from Beta(alpha, alpha), the first clip being the stronger one; None when off."""
    if not config.mixup_alpha:
        return None
    share = float(generator.beta(config.mixup_alpha, config.mixup_alpha))
    return Mixup(partner=int(generator.integers(num_clips)), share=max(share, 1 - share))


def mix(first: NDArray[np.float32], second: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Weighted sum of two waveforms (S,) or embeddings (T, E) along their first axis.

    Args:
        first: weighted with `share`.
        second: weighted with 1 - `share`.
        share: 0 to 1.

    Returns:
        As long as the longer one; beyond the shorter one's end the other goes on with its weight.
    """
    shape = (max(len(first), len(second)), *first.shape[1:])
    mixed = np.zeros(shape, dtype=np.float32)
    mixed[: len(first)] += np.float32(share) * first
    mixed[: len(second)] += np.float32(1 - share) * second
    return mixed


def augment_waveform(
    waveform: Waveform, sample_rate: int, config: AugmentConfig, generator: np.random.Generator
) -> Waveform:
    """Random crop and gain of a waveform (S,); nothing is drawn for what is switched off."""
    crop = int(config.crop_s * sample_rate)
    if crop and len(waveform) > crop:
        start = int(generator.integers(len(waveform) - crop + 1))
        waveform = waveform[start : start + crop]
    if config.gain_db:
        gain = 10 ** (generator.uniform(-config.gain_db, config.gain_db) / 20)
        waveform = np.clip(waveform * np.float32(gain), -1.0, 1.0)
    return waveform


def draw_spans(count: int, longest_share: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Draw `count` spans [start, end) as shares of an axis, (count, 2) float32, each at most `longest_share` long."""
    lengths = generator.uniform(0, longest_share, size=count)
    starts = generator.uniform(0, 1, size=count) * (1 - lengths)
    return np.stack([starts, starts + lengths], axis=1).astype(np.float32)  # (count, 2)


def hide_spans(
    embeddings: NDArray[np.float32], time_spans: NDArray[np.float32], band_spans: NDArray[np.float32]
) -> NDArray[np.float32]:
    """SpecAugment on cached embeddings (T, E): set spans of frames and of channels to zero.

    A clip of one frame keeps it: hiding it would leave nothing to caption.
    """
    hidden = embeddings.copy()
    frames, channels = hidden.shape
    if frames > 1:
        for start, end in np.rint(time_spans * frames).astype(int):
            hidden[start:end] = 0
    for start, end in np.rint(band_spans * channels).astype(int):
        hidden[:, start:end] = 0
    return hidden

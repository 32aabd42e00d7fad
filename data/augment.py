"""Augmentation with a separate random generator for each sample, so that a resumed run is reproducible.

SpecAugment: Park et al. 2019, arXiv 1904.08779. Mixup: Zhang et al. 2018, arXiv 1710.09412; the losses of both clips' captions
are weighted by the clips' shares, as in Labbé et al., arXiv 2309.00454.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.schema import AugmentConfig

Waveform = NDArray[np.float32]


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator of a training sample, determined by (seed, epoch, index) and independent of other samples."""
    return np.random.default_rng([seed, epoch, index])


@dataclass(frozen=True)
class Mixup:
    """Parameters of a mixup.

    Attributes:
        partner: index of the second clip.
        share: weight of the first clip, 0 to 1; the second has 1 - share.
    """

    partner: int
    share: float


def draw_mixup(config: AugmentConfig, num_clips: int, generator: np.random.Generator) -> Mixup | None:
    """Draw a partner and a share, 0.5 to 1, from Beta(alpha, alpha); None if mixup is off."""
    if not config.mixup_alpha:
        return None
    share = float(generator.beta(config.mixup_alpha, config.mixup_alpha))
    return Mixup(partner=int(generator.integers(num_clips)), share=max(share, 1 - share))


def mix(first: NDArray[np.float32], second: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return the weighted sum of two waveforms (S,) or embeddings (T, E) along their first axis.

    Args:
        first: array with weight `share`.
        second: array with weight 1 - `share`.
        share: weight of `first`, 0 to 1.

    Returns:
        Array of the longer length; the shorter one is padded with zeros.
    """
    shape = (max(len(first), len(second)), *first.shape[1:])
    mixed = np.zeros(shape, dtype=np.float32)
    mixed[: len(first)] += np.float32(share) * first
    mixed[: len(second)] += np.float32(1 - share) * second
    return mixed


def augment_waveform(
    waveform: Waveform, sample_rate: int, config: AugmentConfig, generator: np.random.Generator
) -> Waveform:
    """Apply random crop and gain to a waveform (S,); disabled augmentations draw no random numbers."""
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

    The single frame of a clip with one frame is never masked.
    """
    hidden = embeddings.copy()
    frames, channels = hidden.shape
    if frames > 1:
        for start, end in np.rint(time_spans * frames).astype(int):
            hidden[start:end] = 0
    for start, end in np.rint(band_spans * channels).astype(int):
        hidden[:, start:end] = 0
    return hidden

"""Sound bank of text-only training: real and synthetic frame embeddings by AudioSet class.

The classes of a clip are those that the tagger detects and those of its label, except label classes with a low tagger rank. For
classes with few clips, synthetic embeddings are optimised such that the tagger detects the class and the embeddings are likely
under the distribution of real ones.

Shapes: N clips of the bank, M synthetic embeddings, T frames, E encoder width, C tag classes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from configs.schema import SimulationConfig
from data.clotho import FileClip
from data.labelled.tags import tags_of_any
from models.encoders.base import AudioEncoder
from training.features import FrozenFeatures

CLASSES_PER_LABEL = 3  # maximum number of classes per label, most certain first
DETECTED_CLASSES, SYNTHETIC_CLASSES = (
    3,
    5,
)  # maximum number of detected classes in real and synthetic embeddings
NUM_PEAKS = 5  # number of top-scoring clips per class that initialise synthetic embeddings
LEARNING_RATE, SCORE_LOSS_WEIGHT, COVARIANCE_FLOOR = 0.03, 4.0, 1e-4
P_GAP, FRAME_GAINS = 0.1, (0.7, 1.3)  # fraction of near-background synthetic frames; gains of other frames


@dataclass(frozen=True)
class SoundBank:
    """Frame embeddings from which simulated clips are composed.

    Attributes:
        frames: N arrays (T, E) float32; the real clips come first.
        clips_of_class: indices (n,) int64 of the clips of each class, ascending; classes without clips are absent.
        classes_of_clip: classes of each clip.
        scores: (N, C) float32 probabilities predicted by the tagger, 0 to 1.
        num_real: number of real clips; the remaining clips are synthetic and not used as background.
    """

    frames: Sequence[NDArray[np.float32]]
    clips_of_class: dict[int, NDArray[np.int64]]
    classes_of_clip: Sequence[frozenset[int]]
    scores: NDArray[np.float32]
    num_real: int


def build_sound_bank(
    clips: Sequence[FileClip], embed: FrozenFeatures, encoder: AudioEncoder, config: SimulationConfig, seed: int
) -> SoundBank:
    """Build a sound bank of labelled clips, with synthetic embeddings for classes with few clips.

    Args:
        clips: labelled clips in a reproducible order.
        embed: function that returns the embeddings of a clip.
        encoder: frozen encoder with a tagger.
        config: detection thresholds and numbers of synthetic embeddings.
        seed: seed of the synthetic embeddings.
    """
    frames = [embed(clip) for clip in clips]
    means = _means(frames)
    logits = mean_tag_logits(encoder, means)  # (N, C)
    scores = torch.sigmoid(logits)
    ranks = logits.argsort(dim=1, descending=True).argsort(dim=1)  # (N, C)
    classes_of_clip: list[frozenset[int]] = []
    for number, clip in enumerate(clips):
        named = [c for label in clip.labels for c in tags_of_any(label)[:CLASSES_PER_LABEL]]
        labelled = {c for c in named if int(ranks[number, c]) < config.max_label_rank}
        detected = _detected(scores[number], DETECTED_CLASSES, config)
        classes_of_clip.append(frozenset(labelled | detected))
    counts = Counter(c for classes in classes_of_clip for c in classes)
    synthetic, synthetic_classes = synthesise_embeddings(
        encoder, means, logits, [counts[c] for c in range(logits.shape[1])], config, seed
    )
    synthetic_scores = torch.sigmoid(mean_tag_logits(encoder, _means(synthetic)))
    classes_of_clip += synthetic_classes
    return SoundBank(
        frames=frames + synthetic,
        clips_of_class=_clips_of_class(classes_of_clip),
        classes_of_clip=classes_of_clip,
        scores=torch.cat([scores, synthetic_scores]).numpy().astype(np.float32),
        num_real=len(clips),
    )


def mean_tag_logits(encoder: AudioEncoder, means: torch.Tensor) -> torch.Tensor:
    """Return tag logits (N, C) of a frozen encoder for clips with mean frame embeddings (N, E)."""
    device = next(encoder.parameters()).device
    parts = torch.ones(len(means), 1, 1, dtype=torch.bool, device=device)
    return encoder.tag_logits(means[:, None].to(device), parts)[:, 0].to(means.device)


def synthesise_embeddings(
    encoder: AudioEncoder,
    means: torch.Tensor,
    logits: torch.Tensor,
    counts: Sequence[int],
    config: SimulationConfig,
    seed: int,
) -> tuple[list[NDArray[np.float32]], list[frozenset[int]]]:
    """Optimise embeddings for classes with few clips.

    Each embedding is initialised with the mean embedding of a real clip with a high score of the class. Adam minimises the
    binary cross-entropy between the class's score and a target, plus the squared Mahalanobis distance to a Gaussian fitted to
    the real clips' means. The target is drawn from a beta distribution (`config.synthetic_beta`), scaled by the highest score
    among real clips.

    Args:
        encoder: frozen encoder with a tagger.
        means: (N, E) mean embeddings of the real clips.
        logits: (N, C) tag logits of the real clips.
        counts: (C,) number of real clips of each class.
        config: numbers of synthetic embeddings and distribution of their scores.
        seed: seed of the draws.

    Returns:
        M arrays (T, E) float32 and the classes of each.
    """
    generator = torch.Generator().manual_seed(seed)
    missing = [max(config.min_synthetic, config.min_clips - count) for count in counts]
    wanted = torch.tensor([c for c, number in enumerate(missing) for _ in range(number)])  # (M,)
    peaks = logits.topk(min(NUM_PEAKS, len(means)), dim=0)  # (5, C)
    nearest = peaks.indices[:, wanted]  # (5, M)
    starts = nearest[torch.randint(len(nearest), (len(wanted),), generator=generator), torch.arange(len(wanted))]
    draws = np.random.default_rng(seed).beta(*config.synthetic_beta, size=len(wanted))
    highest = torch.sigmoid(peaks.values).mean(dim=0)[wanted].clamp(min=config.min_peak_score)
    targets = torch.from_numpy(draws.astype(np.float32)) * highest
    embeddings = _optimise(encoder, means, starts, wanted, targets, config.synthetic_steps)
    scores = torch.sigmoid(mean_tag_logits(encoder, embeddings))
    frames, classes = [], []
    background = means[torch.randint(len(means), (len(wanted),), generator=generator)]
    low, high = FRAME_GAINS
    for row, number in enumerate(wanted.tolist()):
        gains = torch.rand(config.synthetic_frames, 1, generator=generator) * (high - low) + low
        gap = torch.rand(config.synthetic_frames, 1, generator=generator) < P_GAP
        middle = 0.5 * (embeddings[row] + background[row])
        frames.append(torch.where(gap, middle, embeddings[row] * gains).numpy().astype(np.float32))
        classes.append(frozenset({number} | _detected(scores[row], SYNTHETIC_CLASSES, config)))
    return frames, classes


def _optimise(
    encoder: AudioEncoder,
    means: torch.Tensor,
    starts: torch.Tensor,
    wanted: torch.Tensor,
    targets: torch.Tensor,
    num_steps: int,
) -> torch.Tensor:
    """Optimise embeddings (M, E), initialised at clips `starts` (M,), for scores `targets` (M,) of classes `wanted` (M,)."""
    centre = means.mean(dim=0)
    covariance = torch.cov(means.T) + COVARIANCE_FLOOR * torch.eye(means.shape[1])
    precision = torch.linalg.inv(covariance)
    embeddings = means[starts].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([embeddings], lr=LEARNING_RATE)
    for _ in range(num_steps):
        logits = mean_tag_logits(encoder, embeddings).gather(1, wanted[:, None])[:, 0]  # (M,)
        offsets = embeddings - centre
        distance = ((offsets @ precision) * offsets).sum(dim=1) / means.shape[1]
        score_loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        loss = (score_loss * SCORE_LOSS_WEIGHT + distance).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return embeddings.detach()


def _means(frames: Sequence[NDArray[np.float32]]) -> torch.Tensor:
    """Return the mean embedding of each clip (N, E)."""
    return torch.stack([torch.from_numpy(clip_frames.mean(axis=0)) for clip_frames in frames])


def _detected(scores: torch.Tensor, at_most: int, config: SimulationConfig) -> set[int]:
    """Return at most `at_most` classes with the highest scores (C,), none below the detection threshold."""
    return {int(c) for c in scores.topk(at_most).indices if scores[c] >= config.detection_threshold}


def _clips_of_class(classes_of_clip: Sequence[frozenset[int]]) -> dict[int, NDArray[np.int64]]:
    found: dict[int, list[int]] = {}
    for number, classes in enumerate(classes_of_clip):
        for c in classes:
            found.setdefault(c, []).append(number)
    return {c: np.array(numbers, dtype=np.int64) for c, numbers in found.items()}

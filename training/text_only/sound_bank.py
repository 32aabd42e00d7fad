"""The sound bank of text-only training: frame embeddings of real clips and synthetic ones, by AudioSet class.

A clip of the bank has the classes of its label, unless the tagger ranks them far behind, and those that the tagger detects. For
classes with few clips, synthetic embeddings are optimised so that the tagger detects the class and that they are likely among
real ones.

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

CLASSES_PER_LABEL = 3  # of the classes that a label names, most certain first
DETECTED_CLASSES, SYNTHETIC_CLASSES = (
    3,
    5,
)  # highest-scoring classes that may be detected in real and synthetic embeddings
NUM_PEAKS = 5  # clips with the highest score of a class, from which synthetic embeddings start
LEARNING_RATE, SCORE_LOSS_WEIGHT, COVARIANCE_FLOOR = 0.03, 4.0, 1e-4
P_GAP, FRAME_GAINS = 0.1, (0.7, 1.3)  # share of synthetic frames that are near the background, and gains of the others


@dataclass(frozen=True)
class SoundBank:
    """Frame embeddings that simulated audio is put together from.

    Attributes:
        frames: N arrays (T, E) float32; the real clips come first.
        clips_of_class: for each class that has clips, their numbers (n,) int64, ascending.
        classes_of_clip: for each clip its classes.
        scores: (N, C) float32, the tagger's probabilities, 0 to 1.
        num_real: number of real clips; the other ones are synthetic, and no background.
    """

    frames: Sequence[NDArray[np.float32]]
    clips_of_class: dict[int, NDArray[np.int64]]
    classes_of_clip: Sequence[frozenset[int]]
    scores: NDArray[np.float32]
    num_real: int


def build_sound_bank(
    clips: Sequence[FileClip], embed: FrozenFeatures, encoder: AudioEncoder, config: SimulationConfig, seed: int
) -> SoundBank:
    """The bank of labelled clips, with synthetic embeddings for classes that have few.

    Args:
        clips: labelled clips, in an order that does not change.
        embed: their embeddings.
        encoder: frozen encoder, whose tagger detects classes.
        config: thresholds, and numbers of synthetic embeddings.
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
    """Tag logits (N, C), by a frozen encoder, of clips whose frame embeddings have the means (N, E)."""
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
    """Embeddings in which the tagger detects a class and that are likely among real clips' means (a Gaussian of them).

    Each starts at one of the real clips with the highest score of the class and is moved (Adam) until the class has a drawn
    probability (a Beta of config.synthetic_beta, times the highest score of real clips), while the squared Mahalanobis
    distance stays small.

    Args:
        encoder: frozen encoder, whose tagger gives the scores.
        means: (N, E) real clips' mean embeddings.
        logits: (N, C) their tag logits.
        counts: (C,) number of real clips of each class.
        config: numbers of synthetic embeddings, and what they score.
        seed: seed of the draws.

    Returns:
        M arrays (T, E) float32, and the classes of each.
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
    """Embeddings (M, E) from the means of the clips `starts` (M,) on, whose classes `wanted` (M,) score `targets` (M,)."""
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
    """Mean embedding of each clip (N, E)."""
    return torch.stack([torch.from_numpy(clip_frames.mean(axis=0)) for clip_frames in frames])


def _detected(scores: torch.Tensor, at_most: int, config: SimulationConfig) -> set[int]:
    """Classes with the highest scores (C,), those of at least the detection threshold."""
    return {int(c) for c in scores.topk(at_most).indices if scores[c] >= config.detection_threshold}


def _clips_of_class(classes_of_clip: Sequence[frozenset[int]]) -> dict[int, NDArray[np.int64]]:
    found: dict[int, list[int]] = {}
    for number, classes in enumerate(classes_of_clip):
        for c in classes:
            found.setdefault(c, []).append(number)
    return {c: np.array(numbers, dtype=np.int64) for c, numbers in found.items()}

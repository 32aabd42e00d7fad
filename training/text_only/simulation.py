"""Audio embeddings of captions that have no sound: what the frozen encoder would hear, put together from real clips.

Each source that a caption names is given the frame embeddings of a *donor*: a labelled clip that bears the source's class, or
in which the tagger hears it. Donors stand one after another or over one another as the caption says. So the decoder meets
the encoder's own misses, confusions, false alarms and weak scores, not scores as they should be. For classes without
enough donors, embeddings are found that make the tagger say the class and that are likely among real ones.

Two sounds at once: the embedding of a mixture is near the mean of its parts' embeddings, weighted by a softmax of
MIX_SLOPE times their levels in decibels, times MIX_GAIN (tried on 100 of 350 mixtures of labelled clips and mn04: the square
roots of their tag scores correlate at 0.80 with those of the real mixtures, with scores put together by noisy or at 0.77).

Shapes: N donors, T frames, E encoder width, C tag classes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from configs.schema import TextsConfig
from data.clotho import FileClip
from data.labelled.tags import tags_of_any
from models.encoders.base import AudioEncoder
from training.features import FrozenFeatures
from training.text_only.captions import Source, TextClip
from vocabulary.audioset import tag_ids

MIX_SLOPE = 0.09  # a decibel
MIX_GAIN = 1.3
HEARD = 0.35  # probability from which a donor has a class that its label does not say
DOUBTED = 60  # a label's class that the tagger ranks behind this many others is not believed
MIN_DONORS, MIN_MADE = 8, 3  # of a class; made ones fill up to the first, and are so many at least
MADE_FRAMES, MADE_SCORES, MADE_STEPS = 12, (5.0, 1.2), 150
LEAST_HIGHEST = 0.7  # what a class scores at its clearest, at least; else the mean of the five clearest real clips
SHARES = (1.0, 0.6, 0.4, 0.25)  # how likely a source takes a donor of its first, second ... class
DRAWN, CLEAR = 8, 5.0  # donors that a source chooses from, and how much the class's score counts
ANY_DONOR = 0.1  # share of sources, but for speech, that take any donor of the class, missed or confused as it may be
SPEECH, SPEECH_DB = tag_ids()["Speech"], 14.0  # the tagger hears speech through other sounds
PART, PART_SPEECH = 0.4, 0.9  # how often one of several sources is heard in a part of its turn alone
EARLY = 0.15  # how often a later source begins with what comes before it, and outlasts it
UNSAID_SPEECH, UNSAID_SPEECH_DB = 0.6, (-10.0, 14.0)  # share and levels of texts without speech where some is heard
UNSAID = 0.25  # share of captions that keep silent about a quiet sound
UNHEARD = 0.04  # share of further sources that the encoder does not hear at all


@dataclass(frozen=True)
class Donors:
    """Clips that lend their embeddings.

    Attributes:
        frames: N arrays (T, E) float32.
        classes: for each class, numbers of the donors that have it.
        of_donor: for each donor, its classes.
        scores: (N, C) the tagger's probabilities.
        num_real: how many were recorded; the others were made, and lend no quiet background.
    """

    frames: Sequence[NDArray[np.float32]]
    classes: dict[int, NDArray[np.int64]]
    of_donor: Sequence[frozenset[int]]
    scores: NDArray[np.float32]
    num_real: int


class Simulator:
    """Embeddings (T, E) of a text.

    Args:
        donors: clips to take sounds from.
        frame_rate_hz: frames in a second.
        durations_s: shortest and longest clip of each style; others last 10 s.
        noise: whether sources may be unclear, quiet, heard in part or not at all, and others are heard of which nobody speaks.
    """

    def __init__(
        self,
        donors: Donors,
        frame_rate_hz: float,
        durations_s: dict[str, tuple[float, float]] | None = None,
        noise: bool = True,
    ) -> None:
        self.donors = donors
        self.noise = noise
        self.frame_rate_hz = frame_rate_hz
        self.durations_s = durations_s or {}

    def __call__(self, clip: TextClip, generator: np.random.Generator) -> NDArray[np.float32]:
        """Embeddings (T, E) float32; the same generator state gives the same."""
        low, high = self.durations_s.get(clip.style, (10.0, 10.0))
        num_frames = max(3, round(float(generator.uniform(low, high)) * self.frame_rate_hz))
        unheard = UNHEARD * self.noise
        sources = [s for n, s in enumerate(clip.sources) if n == 0 or generator.random() > unheard]
        turns = sorted({source.turn for source in sources})
        # Where one turn ends and the next begins, each a tenth of the clip long at least.
        cuts = np.sort(generator.uniform(0.1, 0.9, size=len(turns) - 1))
        bounds = np.round(np.concatenate([[0.0], cuts, [1.0]]) * num_frames).astype(int)
        layers = []
        begins: list[tuple[int, int]] = []  # first frame and turn of each source
        for source in sources:
            turn = turns.index(source.turn)
            start, end = int(bounds[turn]), max(int(bounds[turn + 1]), int(bounds[turn]) + 1)
            in_part = PART_SPEECH if SPEECH in source.classes else PART
            if self.noise and len(sources) > 1 and generator.random() < in_part:  # heard in a part of its turn alone
                start, end = self._part(start, end, generator)
            elif self.noise and turn > 0 and generator.random() < EARLY:
                start = max(begin for begin, other in begins if other < turn)
            begins.append((start, turn))
            layers.append((self._donor(source, generator), start, min(end, num_frames), self._level(source, generator)))
        if not self.noise:
            return self._mix(layers, num_frames, generator)
        if generator.random() < UNSAID or not layers:
            number = int(generator.integers(self.donors.num_real))
            layers.append((number, 0, num_frames, float(generator.uniform(-24, -8))))
        speakers = self.donors.classes.get(SPEECH, ())
        speaks = any(SPEECH in source.classes for source in clip.sources)
        if len(speakers) and not speaks and generator.random() < UNSAID_SPEECH:
            number = int(generator.choice(speakers))
            layers.append((number, *self._part(0, num_frames, generator), float(generator.uniform(*UNSAID_SPEECH_DB))))
        return self._mix(layers, num_frames, generator)

    def _part(self, start: int, end: int, generator: np.random.Generator) -> tuple[int, int]:
        """First and last frame of a part of a span."""
        length = int(generator.integers(max(1, (end - start) // 4), end - start + 1))
        first = int(generator.integers(start, end - length + 1))
        return first, first + length

    def _level(self, source: Source, generator: np.random.Generator) -> float:
        if not self.noise:
            return 0.0
        speech = SPEECH_DB if SPEECH in source.classes else 0.0
        return source.level_db + speech + float(generator.normal(0.0, 4.0))

    def _donor(self, source: Source, generator: np.random.Generator) -> int:
        """A donor of one of the source's classes: of some drawn, the clearest, with most of them and least else."""
        known = [number for number in source.classes if number in self.donors.classes][: len(SHARES)]
        if not known:
            return int(generator.integers(self.donors.num_real))
        if not self.noise:
            rows = self.donors.classes[known[0]]
            return int(rows[self.donors.scores[rows, known[0]].argmax()])
        shares = np.array(SHARES[: len(known)])
        number = known[int(generator.choice(len(known), p=shares / shares.sum()))]
        drawn = generator.choice(self.donors.classes[number], size=DRAWN)
        if number != SPEECH and generator.random() < ANY_DONOR:
            return int(drawn[0])
        wanted = set(source.classes)

        def fit(donor: int) -> float:
            own = self.donors.of_donor[donor]
            return len(wanted & own) - 0.5 * len(own - wanted) + CLEAR * float(self.donors.scores[donor, number])

        return int(max(drawn, key=lambda donor: fit(int(donor))))

    def _mix(
        self, layers: Sequence[tuple[int, int, int, float]], num_frames: int, generator: np.random.Generator
    ) -> NDArray[np.float32]:
        width = self.donors.frames[0].shape[1]
        weights = np.zeros((len(layers), num_frames), dtype=np.float32)
        total = np.zeros((num_frames, width), dtype=np.float32)
        voices = []
        for row, (number, start, end, level) in enumerate(layers):
            frames = self.donors.frames[number]
            first = int(generator.integers(len(frames)))  # a donor is repeated from a frame of its own on
            voices.append((start, end, frames[(first + np.arange(end - start)) % len(frames)]))
            weights[row, start:end] = np.exp(MIX_SLOPE * level)
        sums = weights.sum(axis=0)
        counts = (weights > 0).sum(axis=0)
        weights /= np.maximum(sums, 1e-9)
        for row, (start, end, frames) in enumerate(voices):
            total[start:end] += weights[row, start:end, None] * frames
        total *= np.where(counts > 1, MIX_GAIN, 1.0)[:, None].astype(np.float32)
        heard = np.flatnonzero(counts)
        return total[
            heard[np.abs(heard[None] - np.arange(num_frames)[:, None]).argmin(axis=1)]
        ]  # holes take the nearest


def collect_donors(clips: Sequence[FileClip], embed: FrozenFeatures, encoder: AudioEncoder, seed: int) -> Donors:
    """Donors among labelled clips, and made ones for classes that have too few.

    Args:
        clips: labelled clips, in an order that does not change.
        embed: their embeddings.
        encoder: whose tagger says what else is heard in them.
        seed: of the made ones.
    """
    frames = [embed(clip) for clip in clips]
    means = torch.stack([torch.from_numpy(clip_frames.mean(axis=0)) for clip_frames in frames])  # (N, E)
    logits = tag_means(encoder, means)  # (N, C)
    scores = torch.sigmoid(logits)
    of_donor: list[frozenset[int]] = []
    ranks = logits.argsort(dim=1, descending=True).argsort(dim=1)  # (N, C)
    for number, clip in enumerate(clips):
        named = [c for label in clip.labels for c in tags_of_any(label)[:3]]
        labelled = {c for c in named if int(ranks[number, c]) < DOUBTED}
        heard = [int(c) for c in scores[number].topk(3).indices if scores[number, c] >= HEARD]
        of_donor.append(frozenset(labelled | set(heard)))
    having = Counter(c for own in of_donor for c in own)
    counts = [having[c] for c in range(logits.shape[1])]
    made, made_classes = make_donors(encoder, means, logits, counts, seed)
    frames += made
    of_donor += made_classes
    members: dict[int, list[int]] = {}
    for number, own in enumerate(of_donor):
        for c in own:
            members.setdefault(c, []).append(number)
    classes = {c: np.array(numbers, dtype=np.int64) for c, numbers in members.items()}
    made_means = torch.stack([torch.from_numpy(clip_frames.mean(axis=0)) for clip_frames in made])
    all_scores = torch.cat([scores, torch.sigmoid(tag_means(encoder, made_means))]).numpy().astype(np.float32)
    return Donors(frames, classes, of_donor, all_scores, len(clips))


def text_durations(config: TextsConfig) -> dict[str, tuple[float, float]]:
    """Shortest and longest clip, in seconds, of each style."""
    return {table.style: table.duration_s for table in config.tables}


def tag_means(encoder: AudioEncoder, means: torch.Tensor) -> torch.Tensor:
    """Tag logits (N, C), by a frozen encoder, of clips whose frames' mean is (N, E)."""
    device = next(encoder.parameters()).device
    parts = torch.ones(len(means), 1, 1, dtype=torch.bool, device=device)
    return encoder.tag_logits(means[:, None].to(device), parts)[:, 0].to(means.device)


def make_donors(
    encoder: AudioEncoder, means: torch.Tensor, logits: torch.Tensor, counts: Sequence[int], seed: int
) -> tuple[list[NDArray[np.float32]], list[frozenset[int]]]:
    """Embeddings that make the tagger say a class and that are likely among real clips' means (a Gaussian of them).

    Each begins at one of the real clips in which the tagger hears the class most, and is moved (Adam) until the class has
    a drawn probability (a Beta of MADE_SCORES, times what the class scores at its clearest), while the squared Mahalanobis
    distance stays small.

    Args:
        encoder: whose tagger is asked.
        means: (N, E) real clips' mean embeddings.
        logits: (N, C) their tag logits.
        counts: (C,) donors that each class has already.
        seed: decides.

    Returns:
        Arrays (T, E) and the classes of each.
    """
    generator = torch.Generator().manual_seed(seed)
    wanted = torch.tensor([c for c, count in enumerate(counts) for _ in range(max(MIN_MADE, MIN_DONORS - count))])
    centre = means.mean(dim=0)
    covariance = torch.cov(means.T) + 1e-4 * torch.eye(means.shape[1])
    precision = torch.linalg.inv(covariance)
    nearest = logits[:, wanted].topk(min(5, len(means)), dim=0).indices  # (5, M)
    picked = nearest[torch.randint(len(nearest), (len(wanted),), generator=generator), torch.arange(len(wanted))]
    draws = np.random.default_rng(seed).beta(*MADE_SCORES, size=len(wanted))
    highest = torch.sigmoid(logits.topk(min(5, len(means)), dim=0).values).mean(dim=0)[wanted].clamp(min=LEAST_HIGHEST)
    targets = torch.from_numpy(draws.astype(np.float32)) * highest
    embeddings = means[picked].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([embeddings], lr=0.03)
    for _ in range(MADE_STEPS):
        said = tag_means(encoder, embeddings).gather(1, wanted[:, None])[:, 0]  # (M,)
        away = embeddings - centre
        distance = ((away @ precision) * away).sum(dim=1) / means.shape[1]
        loss = (F.binary_cross_entropy_with_logits(said, targets, reduction="none") * 4 + distance).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = torch.sigmoid(tag_means(encoder, embeddings.detach()))
    frames, classes = [], []
    floor = means[torch.randint(len(means), (len(wanted),), generator=generator)]  # what is heard between
    for row in range(len(wanted)):
        loud = torch.rand(MADE_FRAMES, 1, generator=generator) * 0.6 + 0.7
        gap = torch.rand(MADE_FRAMES, 1, generator=generator) < 0.1
        made = torch.where(gap, 0.5 * (embeddings[row] + floor[row]), embeddings[row] * loud).detach()
        frames.append(made.numpy().astype(np.float32))
        heard = {int(c) for c in scores[row].topk(5).indices if scores[row, c] >= HEARD}
        classes.append(frozenset({int(wanted[row])} | heard))
    return frames, classes

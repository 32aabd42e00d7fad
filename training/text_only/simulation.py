"""Simulated audio embeddings of captions without audio, composed of the embeddings of real clips.

Each source that a caption names is represented by the frame embeddings of a clip of the sound bank
(`training/text_only/sound_bank.py`): a labelled clip of the source's class, or a clip in which the tagger detects it. The clips
are concatenated or mixed according to the caption. The decoder is thus trained on the encoder's misses, confusions, false
positives and low scores.

Simultaneous sounds: the embedding of a mixture is approximately the mean of its parts' embeddings, weighted by a softmax of
`mix_slope` times their levels in decibels, times `mix_gain` (fitted on 100 of 350 mixtures of labelled clips and mn04: the
square roots of their tag scores correlate at 0.80 with those of the real mixtures, those of noisy-or scores at 0.77).

Shapes: T frames, E encoder width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.schema import SimulationConfig, TextsConfig
from training.text_only.captions import Source, TextClip
from training.text_only.sound_bank import SoundBank
from vocabulary.audioset import tag_ids

DEFAULT_DURATION_S = (10.0, 10.0)
MIN_FRAMES = 3  # minimum number of frames of a simulated clip
TURN_MARGIN = 0.1  # minimum fraction of a clip before the first and after the last change of turns
MAX_PART_RATIO = 4  # maximum ratio of the duration of a turn to that of a partial source
SURPLUS_PENALTY = 0.5  # penalty in a clip's score for each class that the source does not have
EPSILON = 1e-9


def speech_class() -> int:
    """Return the index of AudioSet's class "Speech", which the tagger also detects under other sounds."""
    return tag_ids()["Speech"]


@dataclass(frozen=True)
class Layer:
    """Clip of the sound bank within a simulated clip.

    Attributes:
        clip: index of the clip in the bank.
        start: index of the first frame.
        end: index after the last frame.
        level_db: level relative to other layers, in decibels.
    """

    clip: int
    start: int
    end: int
    level_db: float


class Simulator:
    """Simulates embeddings (T, E) of captions without audio.

    Args:
        bank: clips whose embeddings are combined.
        frame_rate_hz: frames per second.
        config: settings of the simulation; None for the defaults.
        durations_s: minimum and maximum duration, in seconds, by style; 10 s for other styles.
    """

    def __init__(
        self,
        bank: SoundBank,
        frame_rate_hz: float,
        config: SimulationConfig | None = None,
        durations_s: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.bank = bank
        self.config = config or SimulationConfig()
        self.frame_rate_hz = frame_rate_hz
        self.durations_s = durations_s or {}
        self._speech = speech_class()

    def __call__(self, clip: TextClip, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return simulated embeddings (T, E) float32 of a caption; equal generator states give equal embeddings."""
        low, high = self.durations_s.get(clip.style, DEFAULT_DURATION_S)
        num_frames = max(MIN_FRAMES, round(float(generator.uniform(low, high)) * self.frame_rate_hz))
        layers = self._layers(clip.sources, num_frames, generator)
        if self.config.noise:
            layers += self._unmentioned(clip.sources, num_frames, generator)
        return self._mix(layers, num_frames, generator)

    def _layers(self, named: Sequence[Source], num_frames: int, generator: np.random.Generator) -> list[Layer]:
        """Return one layer per source of a caption; any source but the first is omitted with probability `p_missing`."""
        config = self.config
        p_missing = config.p_missing * config.noise
        sources = [source for n, source in enumerate(named) if n == 0 or generator.random() > p_missing]
        turns = sorted({source.turn for source in sources})
        cuts = np.sort(generator.uniform(TURN_MARGIN, 1 - TURN_MARGIN, size=len(turns) - 1))
        bounds = np.round(np.concatenate([[0.0], cuts, [1.0]]) * num_frames).astype(int)
        layers: list[Layer] = []
        onsets: list[tuple[int, int]] = []  # onset frame and turn of each source
        for source in sources:
            turn = turns.index(source.turn)
            start, end = int(bounds[turn]), max(int(bounds[turn + 1]), int(bounds[turn]) + 1)
            p_partial = config.p_partial_speech if self._is_speech(source) else config.p_partial
            if config.noise and len(sources) > 1 and generator.random() < p_partial:
                start, end = _part(start, end, generator)
            elif config.noise and turn > 0 and generator.random() < config.p_early_onset:
                start = max(onset for onset, other in onsets if other < turn)
            onsets.append((start, turn))
            chosen = self._choose(source, generator)
            layers.append(Layer(chosen, start, min(end, num_frames), self._level(source, generator)))
        return layers

    def _unmentioned(self, sources: Sequence[Source], num_frames: int, generator: np.random.Generator) -> list[Layer]:
        """Return random layers of sounds that a caption does not mention: a quiet background, and speech."""
        config, layers = self.config, []
        if generator.random() < config.p_background or not sources:
            number = int(generator.integers(self.bank.num_real))
            layers.append(Layer(number, 0, num_frames, float(generator.uniform(*config.background_db))))
        speakers = self.bank.clips_of_class.get(self._speech, ())
        mentioned = any(map(self._is_speech, sources))
        if len(speakers) and not mentioned and generator.random() < config.p_unmentioned_speech:
            number = int(generator.choice(speakers))
            start, end = _part(0, num_frames, generator)
            layers.append(Layer(number, start, end, float(generator.uniform(*config.unmentioned_speech_db))))
        return layers

    def _is_speech(self, source: Source) -> bool:
        return self._speech in source.classes

    def _level(self, source: Source, generator: np.random.Generator) -> float:
        """Draw the level of a source, in decibels."""
        if not self.config.noise:
            return 0.0
        speech = self.config.speech_gain_db if self._is_speech(source) else 0.0
        return source.level_db + speech + float(generator.normal(0.0, self.config.level_deviation_db))

    def _choose(self, source: Source, generator: np.random.Generator) -> int:
        """Return the clip that fits a source's classes best among random candidates of one of its classes."""
        config, bank = self.config, self.bank
        known = [c for c in source.classes if c in bank.clips_of_class][: len(config.class_weights)]
        if not known:
            return int(generator.integers(bank.num_real))
        if not config.noise:
            rows = bank.clips_of_class[known[0]]
            return int(rows[bank.scores[rows, known[0]].argmax()])
        weights = np.array(config.class_weights[: len(known)])
        wanted = known[int(generator.choice(len(known), p=weights / weights.sum()))]
        drawn = generator.choice(bank.clips_of_class[wanted], size=config.num_candidates)
        if wanted != self._speech and generator.random() < config.p_any_clip:
            return int(drawn[0])
        classes = set(source.classes)

        def fit(number: int) -> float:
            found = bank.classes_of_clip[number]
            surplus = SURPLUS_PENALTY * len(found - classes)
            return len(classes & found) - surplus + config.score_weight * float(bank.scores[number, wanted])

        return int(max(drawn, key=lambda number: fit(int(number))))

    def _mix(self, layers: Sequence[Layer], num_frames: int, generator: np.random.Generator) -> NDArray[np.float32]:
        """Return the weighted mean (T, E) of the layers' embeddings; frames without a layer repeat the nearest frame."""
        width = self.bank.frames[0].shape[1]
        weights = np.zeros((len(layers), num_frames), dtype=np.float32)
        total = np.zeros((num_frames, width), dtype=np.float32)
        embeddings = []
        for row, layer in enumerate(layers):
            frames = self.bank.frames[layer.clip]
            first = int(generator.integers(len(frames)))  # clips are repeated from a random start frame
            embeddings.append(frames[(first + np.arange(layer.end - layer.start)) % len(frames)])
            weights[row, layer.start : layer.end] = np.exp(self.config.mix_slope * layer.level_db)
        counts = (weights > 0).sum(axis=0)
        weights /= np.maximum(weights.sum(axis=0), EPSILON)
        for row, layer in enumerate(layers):
            total[layer.start : layer.end] += weights[row, layer.start : layer.end, None] * embeddings[row]
        total *= np.where(counts > 1, self.config.mix_gain, 1.0)[:, None].astype(np.float32)
        filled = np.flatnonzero(counts)
        nearest = np.abs(filled[None] - np.arange(num_frames)[:, None]).argmin(axis=1)
        return total[filled[nearest]]


def _part(start: int, end: int, generator: np.random.Generator) -> tuple[int, int]:
    """Return the start and end (exclusive) of a random part of a span of frames."""
    length = int(generator.integers(max(1, (end - start) // MAX_PART_RATIO), end - start + 1))
    first = int(generator.integers(start, end - length + 1))
    return first, first + length


def style_durations(config: TextsConfig) -> dict[str, tuple[float, float]]:
    """Return the minimum and maximum duration, in seconds, by table style."""
    return {table.style: table.duration_s for table in config.tables}

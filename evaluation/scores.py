"""Scores of one or more systems on the same clips, with 95 % intervals.

Intervals are percentiles of bootstrap resamples over clips (Efron, 1979): as many clips as there are, drawn with replacement. The
corpus value of a resample is computed from summed statistics for BLEU and METEOR, and is the mean over clips for the other
metrics, for CIDEr-D with the document frequencies of all references. Systems are resampled together, which gives intervals of
their differences.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evaluation import overlap
from evaluation.errors import MetricError, UnavailableError
from evaluation.inputs import Corpus
from evaluation.invented import invented, wrong_speakers
from evaluation.language_models import PENALTY, fluency_errors, sentence_similarity
from evaluation.measures import MEASURES, needed
from evaluation.overlap import Floats, MeasureResult, mean_result
from evaluation.resources import DOWNLOAD_REMEDY, FENSE_SENTENCE_MODEL, Resources, user_cache
from evaluation.spice import SpiceSettings, spice
from evaluation.words import vocabulary, words_of

logger = logging.getLogger(__name__)

LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Score:
    """A metric of one system.

    Attributes:
        value: corpus value; None if it could not be computed.
        low: lower bound of the 95 % interval; None without an interval.
        high: upper bound of the 95 % interval; None without an interval.
        per_clip: (N,) values per clip; None if there are none.
        resampled: (R,) corpus values of the resamples; None without an interval.
        reason: why there is no value, and the remedy.
        model: name of the model, if there is a choice.
        failed: whether the computation failed, as opposed to missing files.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    per_clip: Floats | None = None
    resampled: Floats | None = None
    reason: str | None = None
    model: str | None = None
    failed: bool = False


@dataclass(frozen=True)
class ScoreSettings:
    """Metrics to compute, and their settings.

    Attributes:
        measures: keys of `MEASURES`.
        resources: search paths of models and jars.
        num_resamples: number of bootstrap resamples; 0 for no intervals.
        seed: random seed of the resamples.
        device: device of the language models.
        spice_cache: cache folder of SPICE's parses; None for no cache.
        spice_time_limit_s: time limit of SPICE in seconds; None for the default of `SpiceSettings`.
    """

    measures: tuple[str, ...] = tuple(MEASURES)
    resources: Resources = field(default_factory=Resources)
    num_resamples: int = 1000
    seed: int = 0
    device: str = "auto"
    spice_cache: Path | None = field(default_factory=lambda: user_cache() / "spice")
    spice_time_limit_s: float | None = None


def draw_resamples(num_clips: int, num_resamples: int, seed: int) -> Floats:
    """Number of occurrences (R, N) of each clip in each resample; rows sum to N. There are none for fewer than two clips."""
    if num_clips < 2:
        return np.zeros((0, num_clips))
    shares = np.full(num_clips, 1 / num_clips)
    return np.random.default_rng(seed).multinomial(num_clips, shares, size=num_resamples).astype(np.float64)


def score_systems(systems: Sequence[Corpus], settings: ScoreSettings) -> list[dict[str, Score]]:
    """Score systems; returns requested scores by key, in the order of `MEASURES`.

    Args:
        systems: one corpus per system, with the same names and references.
        settings: metrics and their settings.

    Raises:
        MetricError: Java is missing or a program fails.
    """
    return _Scorer(systems, settings).run()


class _Scorer:
    """Computes metrics for all systems together, so that each program starts once."""

    def __init__(self, systems: Sequence[Corpus], settings: ScoreSettings) -> None:
        self.systems, self.settings = systems, settings
        self.num_clips = len(systems[0])
        self.references = systems[0].references
        self.counts = draw_resamples(self.num_clips, settings.num_resamples, settings.seed)
        self.wanted = needed(settings.measures)
        self.found: list[dict[str, Score]] = [{} for _ in systems]
        self.tokens: list[list[str]] = []  # captions of each system
        self.reference_tokens: list[list[str]] = []

    def run(self) -> list[dict[str, Score]]:
        steps: list[tuple[str, Callable[[], None]]] = []
        if any(MEASURES[key].shared_words for key in self.wanted):
            steps.append(("shared words", self._overlap))
        for key, step in (("spice", self._spice), ("fer", self._fluency), ("sbert_sim", self._similarity)):
            if key in self.wanted:
                steps.append((MEASURES[key].title, partial(self._try, key, step)))
        steps.append(("the rest", self._derived))
        with tqdm(steps, desc="scoring", unit="step", delay=2, leave=False, file=sys.stderr) as bar:
            for name, step in bar:
                bar.set_postfix_str(name)
                step()
        requested = [key for key in MEASURES if key in self.settings.measures]
        return [{key: found[key] for key in requested} for found in self.found]

    def _set(self, key: str, results: Sequence[MeasureResult], model: str | None = None) -> None:
        for found, result in zip(self.found, results, strict=True):
            found[key] = as_score(result, model)

    def _set_means(self, key: str, per_clip: Sequence[Floats], model: str | None = None) -> None:
        self._set(key, [mean_result(values, self.counts) for values in per_clip], model)

    def _missing(self, key: str, reason: str, failed: bool = False) -> None:
        for found in self.found:
            found[key] = Score(None, reason=reason, failed=failed)

    def _try(self, key: str, step: Callable[[], None]) -> None:
        """Run a step whose failure does not affect other metrics."""
        try:
            step()
        except UnavailableError as error:
            self._missing(key, str(error))
        except MetricError as error:
            logger.error("%s", error)
            self._missing(key, str(error), failed=True)

    def _tokenize(self) -> None:
        if self.tokens:
            return
        groups = [*self.references, *([text] for corpus in self.systems for text in corpus.candidates)]
        tokenized = overlap.tokenize(groups)
        self.reference_tokens = tokenized[: self.num_clips]
        flat = [group[0] for group in tokenized[self.num_clips :]]
        self.tokens = [flat[start : start + self.num_clips] for start in range(0, len(flat), self.num_clips)]

    def _overlap(self) -> None:
        meteor = overlap.MeteorProgram.start() if "meteor" in self.wanted else None
        self._tokenize()
        with ThreadPoolExecutor(1) as pool:  # METEOR's program runs in parallel
            waiting = pool.submit(meteor.measure, self.tokens, self.reference_tokens, self.counts) if meteor else None
            if any(key.startswith("bleu") for key in self.wanted):
                orders = [overlap.bleu(tokens, self.reference_tokens, self.counts) for tokens in self.tokens]
                for order in range(overlap.BLEU_ORDER):
                    self._set(f"bleu_{order + 1}", [results[order] for results in orders])
            if "rouge_l" in self.wanted:
                self._set_overlap("rouge_l", overlap.rouge_l)
            if "cider_d" in self.wanted and self.num_clips > 1:
                self._set_overlap("cider_d", overlap.cider_d)
            elif "cider_d" in self.wanted:
                self._missing(
                    "cider_d", "undefined for one clip, since document frequencies need two: score more clips"
                )
            if waiting:
                self._set("meteor", waiting.result())

    def _set_overlap(self, key: str, measure: Callable[[list[str], list[list[str]], Floats], MeasureResult]) -> None:
        self._set(key, [measure(tokens, self.reference_tokens, self.counts) for tokens in self.tokens])

    def _spice(self) -> None:
        jars = self.settings.resources.parser_jars()
        self._tokenize()
        settings = SpiceSettings(jars, self.settings.spice_cache, self.settings.spice_time_limit_s)
        candidates = [caption for tokens in self.tokens for caption in tokens]
        per_clip = spice(candidates, self.reference_tokens * len(self.systems), settings)
        self._set_means("spice", np.split(per_clip, len(self.systems)))

    def _fluency(self) -> None:
        resources, device = self.settings.resources, self.settings.device
        self._set_means("fer", [fluency_errors(corpus.candidates, resources, device) for corpus in self.systems])

    def _similarity(self) -> None:
        resources, device = self.settings.resources, self.settings.device
        found = [
            sentence_similarity(corpus.candidates, corpus.references, resources, device) for corpus in self.systems
        ]
        self._set_means("sbert_sim", [values for _, values in found], found[0][0])

    def _derived(self) -> None:
        self._combine("spider", ("cider_d", "spice"), lambda cider, spice: (cider + spice) / 2)
        self._combine("spider_fl", ("spider", "fer"), _penalise)
        if "fense" in self.wanted:
            sentence = self.found[0]["sbert_sim"]
            if sentence.value is not None and sentence.model != FENSE_SENTENCE_MODEL:
                reason = f"{FENSE_SENTENCE_MODEL} not found: {DOWNLOAD_REMEDY}"
                self._missing("fense", reason)
            else:
                self._combine("fense", ("sbert_sim", "fer"), _penalise)
        for key, values in PER_CLIP.items():
            if key in self.wanted:
                self._set_means(key, [values(corpus) for corpus in self.systems])
        if "vocabulary" in self.wanted:
            for found, corpus in zip(self.found, self.systems, strict=True):
                size = float(len(vocabulary(corpus.candidates)))
                found["vocabulary"] = Score(size, per_clip=_per_caption(corpus, lambda words: len(set(words))))

    def _combine(self, key: str, parts: tuple[str, str], formula: Callable[[Floats, Floats], Floats]) -> None:
        """Compute a metric from two others per clip; if one has no value, its reason is copied."""
        if key not in self.wanted:
            return
        for found in self.found:
            first, second = (found[part] for part in parts)
            if first.per_clip is not None and second.per_clip is not None:
                found[key] = as_score(mean_result(formula(first.per_clip, second.per_clip), self.counts))
                continue
            reasons = [
                f"no {MEASURES[part].title}: {score.reason}"
                for part, score in zip(parts, (first, second), strict=True)
                if score.per_clip is None and score.reason is not None
            ]
            found[key] = Score(None, reason="; ".join(reasons))


def as_score(result: MeasureResult, model: str | None = None) -> Score:
    """Result with its 95 % interval."""
    if len(result.resampled) == 0:
        return Score(result.value, per_clip=result.per_clip, model=model)
    low, high = np.percentile(result.resampled, [LOW, HIGH])
    return Score(result.value, float(low), float(high), result.per_clip, result.resampled, model=model)


def _penalise(values: Floats, errors: Floats) -> Floats:
    return values * (1 - PENALTY * errors)


def _per_caption(corpus: Corpus, measure: Callable[[list[str]], int]) -> NDArray[np.float64]:
    return np.array([measure(words_of(caption)) for caption in corpus.candidates], dtype=np.float64)


# Metrics whose corpus value is the mean of the values (N,) that a function computes for the clips of a corpus.
PER_CLIP: dict[str, Callable[[Corpus], Floats]] = {
    "invented": lambda corpus: invented(corpus.candidates, corpus.references),
    "wrong_speakers": lambda corpus: wrong_speakers(corpus.candidates, corpus.references),
    "words": lambda corpus: _per_caption(corpus, len),
}


@dataclass(frozen=True)
class Comparison:
    """A metric of two systems on the same clips.

    Attributes:
        difference: corpus value of the first system minus that of the second.
        low: lower bound of the 95 % interval; None without an interval.
        high: upper bound of the 95 % interval; None without an interval.
        won: share of clips, 0 to 1, for which the first system is better; None without values per clip.
        tied: share of clips, 0 to 1, with equal values.
    """

    difference: float
    low: float | None
    high: float | None
    won: float | None
    tied: float | None


def compare(first: Mapping[str, Score], second: Mapping[str, Score]) -> dict[str, Comparison]:
    """Paired comparison by key, for metrics with values for both systems."""
    found = {}
    for key, score in first.items():
        other = second[key]
        if score.value is None or other.value is None:
            continue
        low = high = won = tied = None
        if score.resampled is not None and other.resampled is not None:
            low, high = map(float, np.percentile(score.resampled - other.resampled, [LOW, HIGH]))
        if score.per_clip is not None and other.per_clip is not None and MEASURES[key].better:
            margins = MEASURES[key].better * (score.per_clip - other.per_clip)
            won, tied = float(np.mean(margins > 1e-9)), float(np.mean(np.abs(margins) <= 1e-9))
        found[key] = Comparison(score.value - other.value, low, high, won, tied)
    return found

"""Probability that a caption names the right sounds.

The log-probability of a sentence depends on its wording as much as on its correctness. A logistic model (Platt, Advances in Large
Margin Classifiers, 1999) of the log-probability and of the caption's agreement with the tag scores
(`generation/rerank.py`) gives a calibrated probability. `benchmarks/calibration.py` fits it on labelled clips and on
recordings with human captions; a checkpoint's `metadata.json` has it under "calibration".
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from configs.errors import CheckpointError
from generation.rerank import Fit

CALIBRATION_KEY = "calibration"  # in metadata.json


@dataclass(frozen=True)
class Calibration:
    """A logistic model of whether a caption names the right sounds.

    Attributes:
        intercept: log-odds if all features are 0.
        per_token: weight of the log-probability per token.
        support: weight of `Fit.support`; 0 without a tagger.
        coverage: weight of `Fit.coverage`; 0 without a tagger.
        strong_tag: score, 0 to 1, from which a tag counts in `Fit.coverage`.
        similarity: weight of `Caption.similarity`, the expected similarity to retrieved captions; 0 if it is not used.
    """

    intercept: float
    per_token: float
    support: float = 0.0
    coverage: float = 0.0
    strong_tag: float = 0.3
    similarity: float = 0.0

    @property
    def uses_tags(self) -> bool:
        """Whether tag scores are needed, also for retrieving captions."""
        return self.support != 0 or self.coverage != 0 or self.uses_similarity

    @property
    def uses_similarity(self) -> bool:
        """Whether retrieved captions are needed."""
        return self.similarity != 0

    def probability(self, per_token: float, fit: Fit | None = None, similarity: float | None = None) -> float:
        """Probability, 0 to 1, that a caption names the right sounds.

        Args:
            per_token: log-probability per token, including the end token.
            fit: agreement with the tag scores; needed if `uses_tags`.
            similarity: expected similarity to retrieved captions, 0 to 10; needed if `uses_similarity`.
        """
        log_odds = self.intercept + self.per_token * per_token
        if self.uses_tags:
            if fit is None:
                raise ValueError("this calibration needs tag scores: give the fit of the caption.")
            log_odds += self.support * fit.support + self.coverage * fit.coverage
        if self.uses_similarity:
            if similarity is None:
                raise ValueError("this calibration needs retrieved captions: give the similarity of the caption.")
            log_odds += self.similarity * similarity
        return 0.5 * (1 + math.tanh(log_odds / 2))  # the sigmoid, without overflow

    def to_dict(self) -> dict[str, float]:
        """JSON values for a checkpoint's metadata, without `similarity` if it is not used."""
        values = asdict(self)
        return values if self.uses_similarity else {name: values[name] for name in values if name != "similarity"}

    @classmethod
    def from_dict(cls, values: Any) -> "Calibration":
        """Restore a calibration from `to_dict`.

        Raises:
            CheckpointError: a key is missing or unknown, or a value is not a finite number.
        """
        names = [item.name for item in fields(cls)]
        remedy = "copy the checkpoint again, or fit it again with python -m benchmarks calibration"
        if isinstance(values, Mapping):
            values = {"similarity": 0.0, **values}
        if not isinstance(values, Mapping) or set(values) != set(names):
            found = ", ".join(map(str, values)) if isinstance(values, Mapping) else repr(values)
            raise CheckpointError(
                f"the checkpoint's calibration has {found or 'nothing'}, expected {', '.join(names)}: {remedy}."
            )
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise CheckpointError(
                    f"the checkpoint's calibration has {value!r} for {name}, expected a finite number: {remedy}."
                )
        return cls(**{name: float(values[name]) for name in names})


def calibration_of(metadata: Mapping[str, Any], has_tagger: bool, has_store: bool) -> Calibration | None:
    """Calibration in a checkpoint's metadata; None without one.

    Args:
        metadata: content of the checkpoint's `metadata.json`.
        has_tagger: whether the captioner has tag scores.
        has_store: whether the checkpoint has a caption store.

    Raises:
        CheckpointError: the calibration cannot be read, or needs a tagger or a caption store that is missing.
    """
    if CALIBRATION_KEY not in metadata:
        return None
    calibration = Calibration.from_dict(metadata[CALIBRATION_KEY])
    if calibration.uses_tags and not has_tagger:
        raise CheckpointError(
            "the checkpoint's calibration needs tag scores, which this encoder does not give (or not with "
            "captioner.encoder.output clip): fit it again with python -m benchmarks calibration."
        )
    if calibration.uses_similarity and not has_store:
        raise CheckpointError(
            "the checkpoint's calibration needs retrieved captions, but the checkpoint has no caption store: "
            "fit it again with python -m benchmarks calibration."
        )
    return calibration

"""Agreement of predicted probabilities with outcomes: measures, tables and the reliability curve.

Expected calibration error: mean distance between predicted probability and share right over ten bins of equal width, weighted by
their samples (Naeini, Cooper, Hauskrecht, AAAI 2015). Brier score: mean squared distance between probability and outcome.
Intervals are 95 % Wilson intervals (JASA 1927), for weighted samples with Kish's effective number of them (Survey Sampling,
1965, section 11.7).

Shapes: N samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.common import markdown_table
from configs.atomic_files import new_file

NUM_BINS = 10
NORMAL_QUANTILE = 1.959964  # of a two-sided 95 % interval
COLOURS = ("tab:blue", "tab:orange")  # of two kinds of clips
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Predicted probabilities of a group of captions, and their outcomes.

    Attributes:
        by_model: (N,) probabilities, 0 to 1, by the name of the model.
        outcomes: (N,) 1 for a right caption, 0 for a wrong one.
        weights: (N,) weight of each caption, above 0.
    """

    by_model: Mapping[str, Floats]
    outcomes: Floats
    weights: Floats


@dataclass(frozen=True)
class Bin:
    """Captions with a predicted probability between two bounds.

    Attributes:
        low: lower bound, 0 to 1.
        high: upper bound, 0 to 1.
        count: number of captions.
        weight: share of the total weight, 0 to 1.
        predicted: mean predicted probability, 0 to 1.
        right: share of right captions, 0 to 1, and the bounds of its interval.
    """

    low: float
    high: float
    count: int
    weight: float
    predicted: float
    right: tuple[float, float, float]


def share_of(outcomes: Floats, weights: Floats | None = None) -> tuple[float, float, float]:
    """Mean of outcomes (N,) in 0 or 1, weighted, and the ends of its 95 % interval."""
    weights = np.ones(len(outcomes)) if weights is None else weights
    share = float(np.average(outcomes, weights=weights))
    number = float(weights.sum() ** 2 / np.square(weights).sum())  # N where all weigh the same
    square = NORMAL_QUANTILE**2 / number
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return share, max(0.0, centre - half), min(1.0, centre + half)


def bins_of(predicted: Floats, outcomes: Floats, weights: Floats | None = None) -> list[Bin]:
    """Bins of equal width that are not empty, over predicted probabilities, outcomes and weights (N,)."""
    weights = np.ones(len(outcomes)) if weights is None else weights
    numbers = np.minimum((predicted * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(
            number / NUM_BINS,
            (number + 1) / NUM_BINS,
            int((inside := numbers == number).sum()),
            float(weights[inside].sum() / weights.sum()),
            float(np.average(predicted[inside], weights=weights[inside])),
            share_of(outcomes[inside], weights[inside]),
        )
        for number in sorted(set(numbers.tolist()))
    ]


def calibration_error(predicted: Floats, outcomes: Floats, weights: Floats | None = None) -> float:
    """Expected calibration error of probabilities and outcomes (N,), 0 to 1."""
    return sum(part.weight * abs(part.predicted - part.right[0]) for part in bins_of(predicted, outcomes, weights))


def brier_score(predicted: Floats, outcomes: Floats, weights: Floats | None = None) -> float:
    """Mean squared distance between probabilities and outcomes (N,), 0 to 1."""
    return float(np.average(np.square(predicted - outcomes), weights=weights))


def report(groups: Mapping[str, Predictions], chosen: str) -> str:
    """Reliability table of the chosen model and measures of all models, for each group, as Markdown."""
    table, measures = [], []
    for name, group in groups.items():
        for part in bins_of(group.by_model[chosen], group.outcomes, group.weights):
            right, low, high = (100 * value for value in part.right)
            bounds, interval = f"{100 * part.low:.0f} to {100 * part.high:.0f}", f"({low:.1f} to {high:.1f})"
            mean = f"{100 * part.predicted:.1f}"
            table.append([name, bounds, str(part.count), mean, f"{right:.1f} {interval}"])
        for model, predicted in group.by_model.items():
            error = calibration_error(predicted, group.outcomes, group.weights)
            score = brier_score(predicted, group.outcomes, group.weights)
            measures.append([name, model, f"{100 * error:.1f}", f"{score:.3f}"])
        share = share_of(group.outcomes, group.weights)[0]
        measures.append([name, f"always the share right, {100 * share:.1f} %", "0.0", f"{share * (1 - share):.3f}"])
    return "\n".join(
        [
            markdown_table(["clips", "predicted, %", "captions", "mean predicted, %", "right, %"], table),
            markdown_table(["clips", "probability", "expected calibration error, %", "Brier score"], measures),
        ]
    )


def draw(groups: Mapping[str, Predictions], raw: str, chosen: str, path: Path) -> None:
    """Draw the reliability curve of the chosen model for the first two groups, with 95 % intervals, as a PNG file.

    The curve of the uncalibrated probability is drawn for the last group; a histogram of the probabilities stands below.

    Args:
        groups: one kind of clips, or two and both together.
        raw: name of the model without calibration.
        chosen: name of the calibrated model.
        path: PNG file to write.
    """
    figure = Figure(figsize=(5, 5.8), layout="constrained")
    FigureCanvasAgg(figure)
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    curve.plot([0, 100], [0, 100], color="0.7", linewidth=1)
    curves = [(f"{raw}: {name}", group, raw, "0.5") for name, group in list(groups.items())[-1:]]
    kinds = zip(groups.items(), COLOURS, strict=False)  # without both together
    curves += [(f"{chosen}: {name}", group, chosen, colour) for (name, group), colour in kinds]
    for label, group, model, colour in curves:
        parts = bins_of(group.by_model[model], group.outcomes, group.weights)
        means = [100 * part.predicted for part in parts]
        right, low, high = (np.array([100 * part.right[n] for part in parts]) for n in range(3))
        spans = np.maximum(0, [right - low, high - right])
        curve.errorbar(means, right, spans, marker="o", markersize=4, capsize=2, color=colour, label=label)
        edges = np.linspace(0, 100, NUM_BINS + 1).tolist()
        counts.hist(100 * group.by_model[model], edges, color=colour, histtype="step")
    curve.set(ylabel="captions that name the right sounds, %", xlim=(0, 100), ylim=(0, 102))
    figure.legend(loc="outside upper center", ncols=1, frameon=False, fontsize="small")
    counts.set(xlabel="predicted probability, %", ylabel="captions", yscale="symlog")
    with new_file(path) as file:
        figure.savefig(file, dpi=120, format="png")

r"""AudioSet label sets predicted from captions, on held-out captions, compared with word patterns.

    python -m benchmarks text_labels --captions datasets/audiocaps/train.csv --label_table datasets/audiocaps/train_labels.csv \
        --output benchmarks/results/text_labels.md

Labels of a text classifier (`training/text_only/text_labels.py`) are compared with the classes that the patterns of
`vocabulary/sound_words.yaml` find in a caption. Precision and recall are micro averages over pairs of caption and label. Binary
cross-entropy is summed over classes and averaged over captions, in nats; the probability of a label given a pattern is its share
among the training captions with (or without) the pattern. Speech is also evaluated separately, and among captions without a word
for it, because annotators label speech that captions omit. Intervals are 95 % bootstrap percentiles over captions.

Shapes: N captions, C classes.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import add_output, markdown_table, publish
from configs.commands import command_parser, run_command
from evaluation.scores import draw_resamples
from training.text_only.text_labels import LABEL_PROBABILITY, TextLabeller, read_labelled_captions
from vocabulary.audioset import tag_ids
from vocabulary.words import classes_of

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
LOWEST_PROBABILITY = 1e-6  # so that the cross-entropy is finite
COLUMNS = ("labels", "predicted by", "captions", "precision, %", "recall, %", "binary cross-entropy, nats per caption")

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def label_matrix(label_sets: Sequence[Sequence[int]]) -> Flags:
    """Indicator matrix (N, C) bool of label sets."""
    matrix = np.zeros((len(label_sets), len(tag_ids())), dtype=bool)
    for row, classes in enumerate(label_sets):
        matrix[row, list(classes)] = True
    return matrix


def pattern_probabilities(named: Flags, labelled: Flags, named_now: Flags) -> Floats:
    """Probabilities (M, C) of labels of captions from their patterns, estimated on captions with labels.

    Args:
        named: (N, C) bool, classes that the patterns find in the labelled captions.
        labelled: (N, C) bool, labels of these captions.
        named_now: (M, C) bool, classes that the patterns find in the other captions.
    """
    prior = (labelled.sum(axis=0) + 0.5) / (len(labelled) + 1)  # (C,), added to each share as one observation
    shares = [((labelled & where).sum(axis=0) + prior) / (where.sum(axis=0) + 1) for where in (~named, named)]
    return np.where(named_now, shares[1], shares[0])


def interval(numerators: Floats, denominators: Floats, seed: int) -> tuple[float, float, float]:
    """Ratio of the sums of two counts (N,) and the bounds of its 95 % interval; NaN if the denominator is 0."""
    if not denominators.sum():
        return float("nan"), float("nan"), float("nan")
    weights = draw_resamples(len(numerators), NUM_RESAMPLES, seed)  # (R, N)
    below = weights @ denominators
    resampled = (weights @ numerators)[below > 0] / below[below > 0]
    low, high = np.percentile(resampled, [2.5, 97.5]) if len(resampled) else (np.nan, np.nan)
    return float(numerators.sum() / denominators.sum()), float(low), float(high)


def measure(
    predicted: Flags, probabilities: Floats, labelled: Flags, seed: int
) -> dict[str, tuple[float, float, float]]:
    """Precision, recall and binary cross-entropy per caption of predicted labels (N, C), each with its interval."""
    right = (predicted & labelled).sum(axis=1).astype(np.float64)  # (N,)
    clipped = np.clip(probabilities, LOWEST_PROBABILITY, 1 - LOWEST_PROBABILITY)
    losses = -np.where(labelled, np.log(clipped), np.log1p(-clipped)).sum(axis=1)  # (N,)
    return {
        "precision": interval(right, predicted.sum(axis=1).astype(np.float64), seed),
        "recall": interval(right, labelled.sum(axis=1).astype(np.float64), seed),
        "cross_entropy": interval(losses, np.ones(len(losses)), seed),
    }


def cell(value: tuple[float, float, float], scale: float, digits: int) -> str:
    """A value with its interval, as text; "n/a" for NaN."""
    if np.isnan(value[0]):
        return "n/a"
    middle, low, high = (f"{scale * one:.{digits}f}" for one in value)
    return f"{middle} ({low} to {high})"


def compare(captions: Sequence[str], label_sets: Sequence[Sequence[int]], held_out: int, seed: int) -> list[list[str]]:
    """Rows of COLUMNS for `held_out` random captions, with classifiers trained on the others.

    Raises:
        ValueError: `held_out` leaves no captions for training.
    """
    if not 1 <= held_out < len(captions):
        raise ValueError(
            f"found --held_out {held_out}, expected 1 to {len(captions) - 1}, since there are {len(captions)} captions."
        )
    order = np.random.default_rng(seed).permutation(len(captions))
    judged, learnt = order[:held_out], order[held_out:]
    texts = [captions[row] for row in judged]
    labelled = label_matrix(label_sets)
    named = label_matrix([classes_of(caption) for caption in captions])
    labeller = TextLabeller([captions[row] for row in learnt], [label_sets[row] for row in learnt], seed)
    probabilities = labeller.predict(texts).astype(np.float64)
    systems = {
        "text classifier": (probabilities >= LABEL_PROBABILITY, probabilities),
        "patterns": (named[judged], pattern_probabilities(named[learnt], labelled[learnt], named[judged])),
    }
    speech = slice(tag_ids()["Speech"], tag_ids()["Speech"] + 1)
    unwritten = ~named[judged][:, speech].any(axis=1)  # (N,)
    everything, everyone = slice(None), np.ones(len(judged), dtype=bool)
    parts = (
        ("all", everything, everyone),
        ("Speech", speech, everyone),
        ("Speech, without a word for it", speech, unwritten),
    )
    rows = []
    for title, classes, chosen in parts:
        for name, (predicted, own) in systems.items():
            found = measure(predicted[chosen, classes], own[chosen, classes], labelled[judged][chosen, classes], seed)
            precision, recall = (cell(found[key], 100, 1) for key in ("precision", "recall"))
            rows.append([title, name, str(chosen.sum()), precision, recall, cell(found["cross_entropy"], 1, 3)])
    return rows


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks text_labels", __doc__)
    parser.add_argument("--captions", type=Path, required=True, help="CSV file of captions with an id column")
    parser.add_argument(
        "--label_table", type=Path, required=True, help="CSV file with the same id column and audioset_labels"
    )
    parser.add_argument("--held_out", type=int, default=2500, help="number of captions to evaluate on (default: 2500)")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the split, the training and the intervals (default: 0)"
    )
    add_output(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, predict and write the table; returns the exit status."""
    captions, label_sets = read_labelled_captions(options.captions, options.label_table)
    rows = compare(captions, label_sets, options.held_out, options.seed)
    note = (
        f"Trained on {len(captions) - options.held_out:,} captions, evaluated on {options.held_out:,} others "
        f"(seed {options.seed}); 95 % bootstrap intervals over captions.\n\n"
    )
    publish(note + markdown_table(COLUMNS, rows), options.output)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

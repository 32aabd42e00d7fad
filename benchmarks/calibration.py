"""How far a captioner's probabilities can be believed, and the calibration that makes them so.

    python -m benchmarks.calibration --dataset_root datasets/sounds50 --ckpt_path checkpoints/sounds_small --write

Captions labelled validation clips and their mixtures; a caption is right when it names every labelled sound
(`data.sound_captions.named_categories`). A logistic model of that (`models/calibration.py`) is fitted by maximum likelihood
and judged on recordings that it was not fitted on: these are split into two halves, and the clips of either half are given
probabilities by the model of the other. Mixtures of recordings from both halves belong to neither and are left out there.
Beside it stands the probability that the decoder gives a token (geometric mean), without calibration.

Expected calibration error: mean distance of predicted probability and share right over ten bins of equal width, weighted by
their clips (Naeini, Cooper, Hauskrecht, AAAI 2015). Brier score: mean squared distance of probability and outcome. Intervals are
Wilson's, 95 %.

Shapes: N captions, F features.
"""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binomtest
from tqdm import tqdm

from configs.commands import run_command
from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from data.sound_captions import named_categories
from models.calibration import CALIBRATION_KEY, Calibration
from models.captioner import AudioCaptioner
from models.captions import Caption
from models.checkpoint import METADATA_FILE, add_metadata, checkpoint_folder
from models.ranking import STRONG_TAG, Fit, fit_to_tags

logger = logging.getLogger("benchmarks.calibration")

NUM_BINS = 10
CURVE_FILE = "reliability.png"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """A caption that was held against its clip's labels.

    Attributes:
        recordings: what the clip was cut or mixed from.
        per_token: log-probability divided by the tokens.
        fit: how well the caption fits the tags; None without a tagger.
        right: whether it names every labelled sound.
    """

    recordings: frozenset[str]
    per_token: float
    fit: Fit | None
    right: bool


def recordings_of(clip: FileClip) -> frozenset[str]:
    """The recordings that a clip was made of; its own name where the data set does not tell."""
    return frozenset(clip.source_id.split(";")) if clip.source_id else frozenset([clip.name])


def spread(clips: Sequence[FileClip], limit: int) -> list[FileClip]:
    """So many clips (all for 0), evenly spread over the table, so that single clips and mixtures keep their shares."""
    if not 0 < limit < len(clips):
        return list(clips)
    return [clips[index] for index in np.linspace(0, len(clips) - 1, limit).round().astype(int)]


def judge(captioner: AudioCaptioner, clips: Sequence[FileClip], batch_size: int) -> list[Judged]:
    """Caption clips and hold the best caption of each against its labels."""
    found = []
    for start in tqdm(range(0, len(clips), batch_size), desc="captioning", unit="batch"):
        part = clips[start : start + batch_size]
        waveforms = [clip.load(captioner.sample_rate, captioner.max_duration_s) for clip in part]
        with torch.no_grad():
            heard = captioner.encode_clips(waveforms)
            captions = captioner.caption_embeddings(heard.embeddings, heard.lengths)
            scores = captioner.tag_scores(heard.embeddings, heard.lengths) if captioner.has_tagger else None
        for row, (clip, [best, *_]) in enumerate(zip(part, captions, strict=True)):
            fit = None if scores is None else fit_to_tags(best.text.lower(), scores[row])
            found.append(Judged(recordings_of(clip), best.per_token, fit, is_right(best, clip)))
    return found


def is_right(caption: Caption, clip: FileClip) -> bool:
    """Whether a caption names every labelled sound of a clip."""
    return set(clip.labels) <= named_categories(normalize_caption(caption.text))


def features_of(captions: Sequence[Judged]) -> Floats:
    """Log-probability a token and, with a tagger, support and coverage: (N, F), F 1 or 3."""
    return np.array(
        [
            [caption.per_token, *((caption.fit.support, caption.fit.coverage) if caption.fit else ())]
            for caption in captions
        ]
    )


def outcomes_of(captions: Sequence[Judged]) -> Floats:
    """1 for each right caption, 0 for the others, (N,)."""
    return np.array([float(caption.right) for caption in captions])


def fit_calibration(captions: Sequence[Judged], strong_tag: float) -> Calibration:
    """The calibration under which the outcomes are likeliest.

    Outcomes are (r + 1) / (r + 2) and 1 / (w + 2) for r right and w wrong captions, as Platt has it (Advances in Large Margin
    Classifiers, 1999, section 2.2), so that weights stay finite where a feature parts right from wrong.
    """
    features, outcomes = features_of(captions), outcomes_of(captions)
    num_right = outcomes.sum()
    targets = np.where(outcomes > 0, (num_right + 1) / (num_right + 2), 1 / (len(outcomes) - num_right + 2))
    centre, deviation = features.mean(axis=0), features.std(axis=0)
    constant = deviation < 1e-9
    deviation[constant] = 1.0
    scaled = np.column_stack([np.ones(len(features)), np.where(constant, 0.0, (features - centre) / deviation)])

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_odds = scaled @ weights
        value = np.logaddexp(0, log_odds) - targets * log_odds
        return float(value.mean()), scaled.T @ (expit(log_odds) - targets) / len(targets)

    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-7})
    weights = found.x[1:] / deviation
    intercept = float(found.x[0] - weights @ centre)
    named = dict(
        zip(("per_token", "support", "coverage"), weights.tolist(), strict=False)
    )  # only the first without tags
    return Calibration(intercept, **named, strong_tag=strong_tag)


def predict(calibration: Calibration, captions: Sequence[Judged]) -> Floats:
    """Probability of each caption, (N,)."""
    return np.array([calibration.probability(caption.per_token, caption.fit) for caption in captions])


def halves(captions: Sequence[Judged], seed: int) -> list[list[int]]:
    """Numbers of the captions of either half of the recordings; a mixture of both is in none."""
    recordings = sorted(set().union(*(caption.recordings for caption in captions)))
    order = np.random.default_rng(seed).permutation(len(recordings))
    first = {recordings[index] for index in order[: len(recordings) // 2]}
    return [
        [n for n, caption in enumerate(captions) if caption.recordings <= first],
        [n for n, caption in enumerate(captions) if not caption.recordings & first],
    ]


def held_out(captions: Sequence[Judged], strong_tag: float, seed: int) -> tuple[list[Judged], Floats]:
    """Captions of both halves, and the probability (N,) that the other half's calibration gives each.

    Raises:
        ValueError: a half has no caption at all.
    """
    parts = [[captions[n] for n in half] for half in halves(captions, seed)]
    if not all(parts):
        raise ValueError(
            f"{len(captions)} labelled clips are too few to be halved by their recordings: raise --limit or give more clips."
        )
    predicted = [predict(fit_calibration(parts[1 - own], strong_tag), parts[own]) for own in (0, 1)]
    return [*parts[0], *parts[1]], np.concatenate(predicted)


@dataclass(frozen=True)
class Bin:
    """Captions whose predicted probability lies between two bounds; `right` is the share with its interval, 0 to 1."""

    low: float
    high: float
    count: int
    predicted: float
    right: tuple[float, float, float]


def share_of(outcomes: Floats) -> tuple[float, float, float]:
    """Mean of outcomes (N,) in 0 or 1 and the ends of its 95 % interval (Wilson, JASA 1927)."""
    interval = binomtest(int(outcomes.sum()), len(outcomes)).proportion_ci(method="wilson")
    return float(outcomes.mean()), float(interval.low), float(interval.high)


def bins_of(predicted: Floats, outcomes: Floats) -> list[Bin]:
    """Bins of equal width that are not empty, over predicted probabilities and outcomes (N,)."""
    numbers = np.minimum((predicted * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        Bin(
            number / NUM_BINS,
            (number + 1) / NUM_BINS,
            int((inside := numbers == number).sum()),
            float(predicted[inside].mean()),
            share_of(outcomes[inside]),
        )
        for number in sorted(set(numbers.tolist()))
    ]


def calibration_error(predicted: Floats, outcomes: Floats) -> float:
    """Expected calibration error of probabilities and outcomes (N,), 0 to 1."""
    return sum(part.count * abs(part.predicted - part.right[0]) for part in bins_of(predicted, outcomes)) / len(
        outcomes
    )


def brier_score(predicted: Floats, outcomes: Floats) -> float:
    """Mean squared distance of probabilities and outcomes (N,), 0 to 1."""
    return float(np.square(predicted - outcomes).mean())


def report(before: Floats, after: Floats, outcomes: Floats) -> str:
    """The reliability table and the measures, as Markdown."""
    lines = ["| predicted, % | captions | mean predicted, % | right, % |", "|---|---|---|---|"]
    for part in bins_of(after, outcomes):
        right, low, high = (100 * value for value in part.right)
        lines.append(
            f"| {100 * part.low:.0f} to {100 * part.high:.0f} | {part.count} | {100 * part.predicted:.1f} "
            f"| {right:.1f} ({low:.1f} to {high:.1f}) |"
        )
    lines += ["", "| probability | expected calibration error, % | Brier score |", "|---|---|---|"]
    for name, predicted in (("of a token, as the decoder has it", before), ("calibrated, held out", after)):
        error, brier = calibration_error(predicted, outcomes), brier_score(predicted, outcomes)
        lines.append(f"| {name} | {100 * error:.1f} | {brier:.3f} |")
    share = outcomes.mean()
    lines.append(f"| always the share right, {100 * share:.1f} % | 0.0 | {share * (1 - share):.3f} |")
    return "\n".join(lines)


def draw(before: Floats, after: Floats, outcomes: Floats, path: Path) -> None:
    """The reliability curve with 95 % intervals, and below it how many captions have each probability, as a PNG file."""
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    curve.plot([0, 100], [0, 100], color="0.7", linewidth=1)
    for label, predicted, colour in (("probability of a token", before, "0.5"), ("calibrated", after, "tab:blue")):
        parts = bins_of(predicted, outcomes)
        means = [100 * part.predicted for part in parts]
        right, low, high = (np.array([100 * part.right[n] for part in parts]) for n in range(3))
        spans = np.maximum(0, [right - low, high - right])
        curve.errorbar(means, right, spans, marker="o", markersize=4, capsize=2, color=colour, label=label)
        edges = np.linspace(0, 100, NUM_BINS + 1).tolist()
        counts.hist(100 * predicted, edges, color=colour, histtype="step")
    curve.set(ylabel="captions that name the right sounds, %", xlim=(0, 100), ylim=(0, 102))
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    counts.set(xlabel="predicted probability, %", ylabel="captions")
    figure.savefig(path, dpi=120)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_root", required=True, help="labelled clips, as python -m data.sounds writes them")
    parser.add_argument("--ckpt_path", required=True, help="captioner: a checkpoint's or a run's folder")
    parser.add_argument(
        "--write", action="store_true", help=f"put the calibration into {METADATA_FILE}, draw {CURVE_FILE}"
    )
    parser.add_argument("--limit", type=int, default=0, help="caption so many clips, evenly spread; 0 for all")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    return parser


def run(options: argparse.Namespace) -> int:
    """Judge, fit and maybe write; returns the exit status."""
    folder = checkpoint_folder(Path(options.ckpt_path))
    if options.write and not (folder / METADATA_FILE).is_file():
        raise ValueError(f"--write needs a checkpoint's folder with {METADATA_FILE}, and {folder} has none.")
    if options.limit < 0 or options.batch_size < 1:
        raise ValueError("--limit must be 0 or more and --batch_size 1 or more.")
    clips = [clip for clip in load_split(options.dataset_root, "validation", 0.0, options.seed) if clip.labels]
    if not clips:
        raise ValueError(f"{options.dataset_root} has no labelled validation clip: python -m data.sounds makes some.")
    captioner = AudioCaptioner.from_pretrained(options.ckpt_path)
    captions = judge(captioner, spread(clips, options.limit), options.batch_size)
    judged, after = held_out(captions, STRONG_TAG, options.seed)
    before = np.array([math.exp(caption.per_token) for caption in judged])
    outcomes = outcomes_of(judged)
    calibration = fit_calibration(captions, STRONG_TAG)
    print(f"{len(captions)} captions, {len(judged)} of them held out in turn\n\n{report(before, after, outcomes)}\n")
    print("calibration: " + ", ".join(f"{name} {value:.4g}" for name, value in calibration.to_dict().items()))
    if options.write:
        add_metadata(folder, {CALIBRATION_KEY: calibration.to_dict()})
        draw(before, after, outcomes, folder / CURVE_FILE)
        logger.info("written: %s, %s", folder / METADATA_FILE, folder / CURVE_FILE)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

r"""Reliability of caption probabilities, and the calibration that a checkpoint carries.

    python -m benchmarks calibration --dataset_root datasets/sounds50 --captioned datasets/captioned datasets/captioned_more \
        --ckpt_path checkpoints/any_sound --write

Two kinds of validation clips are captioned, the second only with --captioned:

- labelled clips and their mixtures: a caption is correct if it names every labelled sound
  (`data.labelled.caption_templates.named_categories`);
- recordings with human captions, in the style of their corpus: a caption is correct if it names a sound that a reference
  names, and no sound that no reference names (`evaluation.invented`).

A logistic model of correctness (`generation/calibration.py`) is fitted by maximum likelihood to both kinds together;
each kind has half of the total weight. Its quality is estimated by two-fold cross-validation: the recordings of each kind are
split into two halves, and clips of each half receive probabilities from the model fitted to the other. Mixtures of recordings
from both halves are left out of this estimate. It is compared with the decoder's uncalibrated probability per token (geometric
mean). Tables and measures (`benchmarks/reliability.py`) are given for each kind, and for both with the weights of the fit.

For checkpoints that rank captions by retrieved ones (`decoding.tags.consensus_weight`), a second model that also uses the
expected similarity to these captions is evaluated; --similarity selects it for --write.

Shapes: N captions, F features.
"""

import argparse
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from tqdm import tqdm

from benchmarks.common import add_device, clip_style
from benchmarks.reliability import Floats, Predictions, draw, report
from benchmarks.yardstick import read_groups
from captioning.options import choose_device
from configs.checkpoint_files import METADATA_FILE
from configs.checks import COUNT, POSITIVE_COUNT, outside, refuse
from configs.commands import command_parser, run_command
from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from data.labelled.caption_templates import named_categories
from evaluation.invented import invented
from generation.calibration import CALIBRATION_KEY, Calibration
from generation.rerank import STRONG_TAG, Fit, fit_to_tags
from models.captioner import AudioCaptioner
from models.checkpoints.folder import add_metadata, checkpoint_folder
from vocabulary.words import classes_of

logger = logging.getLogger("benchmarks.calibration")

CURVE_FILE = "reliability.png"
LABELLED, CAPTIONED, BOTH = KINDS = ("labelled", "captioned", "both, each kind half")
TOKEN, CALIBRATED, WITH_SIMILARITY = "per token", "calibrated, held out", "with similarity, held out"


@dataclass(frozen=True)
class Judged:
    """A caption compared with the labels or references of its clip.

    Attributes:
        recordings: source recordings of the clip.
        per_token: log-probability per token, in nats.
        fit: agreement of the caption with the tag scores; None without a tagger.
        right: whether the caption names the right sounds.
        kind: LABELLED or CAPTIONED.
        similarity: expected similarity to retrieved captions, 0 to 10; None if none were retrieved.
    """

    recordings: frozenset[str]
    per_token: float
    fit: Fit | None
    right: bool
    kind: str = LABELLED
    similarity: float | None = None


def recordings_of(clip: FileClip) -> frozenset[str]:
    """Source recordings of a clip; its own name if the data set does not list them."""
    return frozenset(clip.source_id.split(";")) if clip.source_id else frozenset([clip.name])


def spread(clips: Sequence[FileClip], limit: int) -> list[FileClip]:
    """At most `limit` clips (0: all), evenly spaced in the table, so that the shares of singles and mixtures stay the same."""
    if not 0 < limit < len(clips):
        return list(clips)
    return [clips[index] for index in np.linspace(0, len(clips) - 1, limit).round().astype(int)]


def judge(captioner: AudioCaptioner, clips: Sequence[FileClip], kind: str, batch_size: int) -> list[Judged]:
    """Caption clips of one kind, each in the style of its corpus if the captioner knows it, and judge the best captions."""
    found = []
    is_right = names_labels if kind == LABELLED else agrees_with_references
    for start in tqdm(range(0, len(clips), batch_size), desc=f"captioning, {kind}", unit="batch"):
        part = clips[start : start + batch_size]
        waveforms = [clip.load(captioner.sample_rate, captioner.max_duration_s) for clip in part]
        numbers = [clip_style(captioner, clip) for clip in part]
        with torch.no_grad():
            encoded = captioner.encode_clips(waveforms)
            styles = torch.tensor(numbers, device=encoded.lengths.device)
            captions = captioner.caption_embeddings(encoded.embeddings, encoded.lengths, styles=styles)
            scores = captioner.tag_scores(encoded.embeddings, encoded.lengths) if captioner.has_tagger else None
        for row, (clip, [best, *_]) in enumerate(zip(part, captions, strict=True)):
            fit = None if scores is None else fit_to_tags(best.text.lower(), scores[row].cpu().numpy())
            right = is_right(best.text, clip)
            found.append(Judged(recordings_of(clip), best.per_token, fit, right, kind, best.similarity))
    return found


def names_labels(caption: str, clip: FileClip) -> bool:
    """Whether a caption names every labelled sound of a clip."""
    return set(clip.labels) <= named_categories(normalize_caption(caption))


def agrees_with_references(caption: str, clip: FileClip) -> bool:
    """Whether a caption names a sound that a reference also names, and no sound that no reference names."""
    named = {number for reference in clip.captions for number in classes_of(reference)}
    return not named.isdisjoint(classes_of(caption)) and not invented([caption], [clip.captions])[0]


def has_similarity(captions: Sequence[Judged]) -> bool:
    """Whether every caption has a similarity to retrieved captions."""
    return all(caption.similarity is not None for caption in captions)


def features_of(captions: Sequence[Judged], similarity: bool = False) -> dict[str, Floats]:
    """Features (N,) by the names of their weights; those of the tagger only with a tagger, the similarity only on request."""
    columns = {"per_token": [caption.per_token for caption in captions]}
    fits = [caption.fit for caption in captions if caption.fit is not None]
    if len(fits) == len(captions):
        columns |= {"support": [fit.support for fit in fits], "coverage": [fit.coverage for fit in fits]}
    if similarity:
        columns["similarity"] = [caption.similarity or 0.0 for caption in captions]
    return {name: np.array(column) for name, column in columns.items()}


def outcomes_of(captions: Sequence[Judged]) -> Floats:
    """Outcomes (N,) float: 1 for a right caption, 0 for a wrong one."""
    return np.array([float(caption.right) for caption in captions])


def weights_of(captions: Sequence[Judged]) -> Floats:
    """Sample weights (N,) with mean 1 that give each kind of clips the same total weight."""
    counts = Counter(caption.kind for caption in captions)
    return np.array([len(captions) / (len(counts) * counts[caption.kind]) for caption in captions])


def fit_calibration(captions: Sequence[Judged], strong_tag: float, similarity: bool = False) -> Calibration:
    """Fit a calibration by maximum likelihood, each kind of clips having the same total weight.

    Targets are (r + 1) / (r + 2) and 1 / (w + 2) for r right and w wrong captions (Platt, Advances in Large Margin
    Classifiers, 1999, section 2.2), which keeps weights finite where a feature separates right from wrong captions.
    """
    columns = features_of(captions, similarity)
    features, outcomes, samples = np.column_stack(list(columns.values())), outcomes_of(captions), weights_of(captions)
    num_right = outcomes.sum()
    targets = np.where(outcomes > 0, (num_right + 1) / (num_right + 2), 1 / (len(outcomes) - num_right + 2))
    centre, deviation = features.mean(axis=0), features.std(axis=0)
    constant = deviation < 1e-9
    deviation[constant] = 1.0
    scaled = np.column_stack([np.ones(len(features)), np.where(constant, 0.0, (features - centre) / deviation)])

    def loss(weights: Floats) -> tuple[float, Floats]:
        log_odds = scaled @ weights
        value = np.logaddexp(0, log_odds) - targets * log_odds
        return float((samples * value).mean()), scaled.T @ (samples * (expit(log_odds) - targets)) / len(targets)

    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-7})
    weights = found.x[1:] / deviation
    intercept = float(found.x[0] - weights @ centre)
    return Calibration(intercept, **dict(zip(columns, weights.tolist(), strict=True)), strong_tag=strong_tag)


def predict(calibration: Calibration, captions: Sequence[Judged]) -> Floats:
    """Probabilities (N,) that captions are right, 0 to 1."""
    return np.array(
        [calibration.probability(caption.per_token, caption.fit, caption.similarity) for caption in captions]
    )


def halves(captions: Sequence[Judged], seed: int) -> list[list[int]]:
    """Indices of the captions of each half of the recordings, split within each kind; mixtures across halves are in neither."""
    generator = np.random.default_rng(seed)
    first, known = set[str](), set[str]()
    for kind in KINDS:
        own = set[str]().union(*(caption.recordings for caption in captions if caption.kind == kind))
        recordings = sorted(own - known)  # a recording of both kinds is in one half
        order = generator.permutation(len(recordings))
        first |= {recordings[index] for index in order[: len(recordings) // 2]}
        known |= own
    return [
        [n for n, caption in enumerate(captions) if caption.recordings <= first],
        [n for n, caption in enumerate(captions) if not caption.recordings & first],
    ]


def held_out(
    captions: Sequence[Judged], strong_tag: float, seed: int, similarity: bool = False
) -> tuple[list[Judged], Floats]:
    """Captions of both halves, and their probabilities (N,) from calibrations fitted to the other half.

    Raises:
        ValueError: a half has no caption of a kind.
    """
    parts = [[captions[n] for n in half] for half in halves(captions, seed)]
    for kind, count in Counter(caption.kind for caption in captions).items():
        if not all(any(caption.kind == kind for caption in part) for part in parts):
            raise ValueError(
                f"{count} {kind} clips are too few to split by recordings: raise --limit or give more clips."
            )
    predicted = [predict(fit_calibration(parts[1 - own], strong_tag, similarity), parts[own]) for own in (0, 1)]
    return [*parts[0], *parts[1]], np.concatenate(predicted)


def by_kind(captions: Sequence[Judged], by_model: Mapping[str, Floats]) -> dict[str, Predictions]:
    """Predictions of each kind of clips and, if there are two, of both with the weights of the fit."""
    kinds = np.array([caption.kind for caption in captions])
    outcomes, weights = outcomes_of(captions), weights_of(captions)

    def those(inside: NDArray[np.bool_]) -> Predictions:
        return Predictions(
            {name: values[inside] for name, values in by_model.items()}, outcomes[inside], weights[inside]
        )

    found = {kind: those(kinds == kind) for kind in (LABELLED, CAPTIONED) if (kinds == kind).any()}
    return found | {BOTH: those(kinds != "")} if len(found) > 1 else found


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks calibration", __doc__)
    add_device(parser)
    parser.add_argument(
        "--dataset_root", required=True, help="labelled clips, a folder written by python -m data.labelled.mixtures"
    )
    parser.add_argument(
        "--captioned", nargs="+", type=Path, default=[], help="data sets with human captions and a validation split"
    )
    parser.add_argument("--ckpt_path", required=True, help="checkpoint folder or run folder")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write the calibration to the checkpoint's {METADATA_FILE} and the curve to {CURVE_FILE}",
    )
    parser.add_argument(
        "--similarity", action="store_true", help="let the calibration use the similarity to retrieved captions"
    )
    parser.add_argument(
        "--limit", type=int, default=0, help="maximum number of clips of each kind, evenly spaced (default: 0, all)"
    )
    parser.add_argument("--batch_size", type=int, default=8, help="clips captioned at once, 1 or more (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the split into halves (default: 0)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Caption, fit, report and optionally write; returns the exit status."""
    device = choose_device(options.device)
    folder = checkpoint_folder(Path(options.ckpt_path))
    if options.write and not (folder / METADATA_FILE).is_file():
        raise ValueError(f"--write needs a checkpoint folder with {METADATA_FILE}, but {folder} has none.")
    refuse([*outside("--limit", options.limit, COUNT), *outside("--batch_size", options.batch_size, POSITIVE_COUNT)])
    clips = [clip for clip in load_split(options.dataset_root, "validation", 0.0, options.seed) if clip.labels]
    if not clips:
        raise ValueError(
            f"{options.dataset_root} has no labelled validation clips: python -m data.labelled.mixtures writes some."
        )
    captioned = [clip for group in read_groups(options.captioned, "all") if not group.pooled for clip in group.clips]
    captioner = AudioCaptioner.from_pretrained(options.ckpt_path, device)
    captions = [
        caption
        for kind, own in ((LABELLED, clips), (CAPTIONED, captioned))
        for caption in judge(captioner, spread(own, options.limit), kind, options.batch_size)
    ]
    if options.similarity and not has_similarity(captions):
        raise ValueError("--similarity needs a checkpoint that retrieves captions in each style of the clips.")
    judged, after = held_out(captions, STRONG_TAG, options.seed)
    by_model = {TOKEN: np.array([math.exp(caption.per_token) for caption in judged]), CALIBRATED: after}
    if has_similarity(captions):
        by_model[WITH_SIMILARITY] = held_out(captions, STRONG_TAG, options.seed, similarity=True)[1]
    groups, chosen = by_kind(judged, by_model), WITH_SIMILARITY if options.similarity else CALIBRATED
    calibration = fit_calibration(captions, STRONG_TAG, options.similarity)
    print(f"{len(captions)} captions, {len(judged)} of them in the cross-validation\n\n{report(groups, chosen)}")
    print("calibration: " + ", ".join(f"{name} {value:.4g}" for name, value in calibration.to_dict().items()))
    if options.write:
        add_metadata(folder, {CALIBRATION_KEY: calibration.to_dict()})
        draw(groups, TOKEN, chosen, folder / CURVE_FILE)
        logger.info("written: %s, %s", folder / METADATA_FILE, folder / CURVE_FILE)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

"""How far a captioner's probabilities can be believed, and the calibration that makes them so.

    python -m benchmarks.calibration --dataset_root datasets/sounds50 --captioned datasets/captioned datasets/captioned_more \
        --ckpt_path checkpoints/any_sound --write

Two kinds of validation clips are captioned, the second only with `--captioned`:

- labelled clips and their mixtures: a caption is right when it names every labelled sound
  (`data.labelled.caption_templates.named_categories`);
- recordings with human captions, in the style of their corpus: a caption is right when it names a sound that a reference names
  too, and none that no reference names (`evaluation.invented`).

A logistic model of that (`models/generation/calibration.py`) is fitted by maximum likelihood on both together; each
kind has half of the
total weight, however many clips it has. The model is judged on recordings that it was not fitted on: those of each kind are
split into two halves, and the clips of either half are given probabilities by the model of the other. Mixtures of recordings
from both halves belong to neither and are left out there. Beside it stands the probability that the decoder gives to a token
(geometric mean), without calibration. Tables and measures (`benchmarks/reliability.py`) are given for each kind and, with the
weights of the fit, for both.

Where the checkpoint ranks captions by those it retrieves (`decoding.tags.consensus_weight`), a model that takes the expected
similarity to these as well is judged beside the other; `--similarity` chooses it to be written.

Shapes: N captions, F features.
"""

import argparse
import logging
import math
import sys
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

from benchmarks.reliability import Floats, Predictions, draw, report
from benchmarks.yardstick import read_groups
from configs.commands import run_command
from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from data.labelled.caption_templates import named_categories
from evaluation.invented import invented
from models.captioner import AudioCaptioner
from models.checkpoints.folder import METADATA_FILE, add_metadata, checkpoint_folder
from models.generation.calibration import CALIBRATION_KEY, Calibration
from models.generation.rerank import STRONG_TAG, Fit, fit_to_tags
from vocabulary.words import classes_of

logger = logging.getLogger("benchmarks.calibration")

CURVE_FILE = "reliability.png"
LABELLED, CAPTIONED, BOTH = KINDS = ("labelled", "captioned", "both, each kind half")
TOKEN, CALIBRATED, WITH_SIMILARITY = "of a token", "calibrated, held out", "with similarity, held out"


@dataclass(frozen=True)
class Judged:
    """A caption that was compared with its clip's labels or references.

    Attributes:
        recordings: what the clip was cut or mixed from.
        per_token: log-probability divided by the tokens.
        fit: how well the caption fits the tags; None without a tagger.
        right: whether it names the right sounds.
        kind: LABELLED or CAPTIONED.
        similarity: expected similarity to retrieved captions, 0 to 10; None where none were retrieved.
    """

    recordings: frozenset[str]
    per_token: float
    fit: Fit | None
    right: bool
    kind: str = LABELLED
    similarity: float | None = None


def recordings_of(clip: FileClip) -> frozenset[str]:
    """The recordings that a clip was made of; its own name where the data set does not tell."""
    return frozenset(clip.source_id.split(";")) if clip.source_id else frozenset([clip.name])


def spread(clips: Sequence[FileClip], limit: int) -> list[FileClip]:
    """So many clips (all for 0), evenly spread over the table, so that single clips and mixtures keep their shares."""
    if not 0 < limit < len(clips):
        return list(clips)
    return [clips[index] for index in np.linspace(0, len(clips) - 1, limit).round().astype(int)]


def judge(captioner: AudioCaptioner, clips: Sequence[FileClip], kind: str, batch_size: int) -> list[Judged]:
    """Caption clips of one kind, each in its own style where the captioner knows it, and judge the best caption of each."""
    found = []
    is_right = names_labels if kind == LABELLED else agrees_with_references
    styles, usual = captioner.config.captioner.styles, captioner.config.decoding.style
    for start in tqdm(range(0, len(clips), batch_size), desc=f"captioning, {kind}", unit="batch"):
        part = clips[start : start + batch_size]
        waveforms = [clip.load(captioner.sample_rate, captioner.max_duration_s) for clip in part]
        numbers = [captioner.style_number(clip.style if clip.style in styles else usual) for clip in part]
        with torch.no_grad():
            heard = captioner.encode_clips(waveforms)
            own_styles = torch.tensor(numbers, device=heard.lengths.device)
            captions = captioner.caption_embeddings(heard.embeddings, heard.lengths, styles=own_styles)
            scores = captioner.tag_scores(heard.embeddings, heard.lengths) if captioner.has_tagger else None
        for row, (clip, [best, *_]) in enumerate(zip(part, captions, strict=True)):
            fit = None if scores is None else fit_to_tags(best.text.lower(), scores[row])
            right = is_right(best.text, clip)
            found.append(Judged(recordings_of(clip), best.per_token, fit, right, kind, best.similarity))
    return found


def names_labels(caption: str, clip: FileClip) -> bool:
    """Whether a caption names every labelled sound of a clip."""
    return set(clip.labels) <= named_categories(normalize_caption(caption))


def agrees_with_references(caption: str, clip: FileClip) -> bool:
    """Whether a caption names a sound that a clip's references name too, and none that no reference names."""
    named = {number for reference in clip.captions for number in classes_of(reference)}
    return not named.isdisjoint(classes_of(caption)) and not invented([caption], [clip.captions])[0]


def has_similarity(captions: Sequence[Judged]) -> bool:
    """Whether the similarity to retrieved captions is known of every caption."""
    return all(caption.similarity is not None for caption in captions)


def features_of(captions: Sequence[Judged], similarity: bool = False) -> dict[str, Floats]:
    """Columns (N,) by the names of their weights: of the tagger's only where there is one, the similarity only if asked for."""
    columns = {"per_token": [caption.per_token for caption in captions]}
    fits = [caption.fit for caption in captions if caption.fit is not None]
    if len(fits) == len(captions):
        columns |= {"support": [fit.support for fit in fits], "coverage": [fit.coverage for fit in fits]}
    if similarity:
        columns["similarity"] = [caption.similarity or 0.0 for caption in captions]
    return {name: np.array(column) for name, column in columns.items()}


def outcomes_of(captions: Sequence[Judged]) -> Floats:
    """1 for each right caption, 0 for the others, (N,)."""
    return np.array([float(caption.right) for caption in captions])


def weights_of(captions: Sequence[Judged]) -> Floats:
    """Weights (N,) of mean 1 under which each kind of clips has the same total weight."""
    counts = Counter(caption.kind for caption in captions)
    return np.array([len(captions) / (len(counts) * counts[caption.kind]) for caption in captions])


def fit_calibration(captions: Sequence[Judged], strong_tag: float, similarity: bool = False) -> Calibration:
    """The calibration under which the outcomes are likeliest, each kind of clips with the same total weight.

    Outcomes are (r + 1) / (r + 2) and 1 / (w + 2) for r right and w wrong captions, as Platt has it (Advances in Large Margin
    Classifiers, 1999, section 2.2), so that weights stay finite where a feature parts right from wrong.
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
    """Probability of each caption, (N,)."""
    return np.array(
        [calibration.probability(caption.per_token, caption.fit, caption.similarity) for caption in captions]
    )


def halves(captions: Sequence[Judged], seed: int) -> list[list[int]]:
    """Numbers of the captions of either half of each kind's recordings; a mixture of both is in none."""
    generator = np.random.default_rng(seed)
    first, known = set[str](), set[str]()
    for kind in KINDS:
        own = set[str]().union(*(caption.recordings for caption in captions if caption.kind == kind))
        recordings = sorted(own - known)  # a recording that both kinds have is in one half
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
    """Captions of both halves, and the probability (N,) that the other half's calibration gives each.

    Raises:
        ValueError: a half has no caption of a kind.
    """
    parts = [[captions[n] for n in half] for half in halves(captions, seed)]
    for kind, count in Counter(caption.kind for caption in captions).items():
        if not all(any(caption.kind == kind for caption in part) for part in parts):
            raise ValueError(
                f"{count} {kind} clips are too few to be halved by their recordings: raise --limit or give more clips."
            )
    predicted = [predict(fit_calibration(parts[1 - own], strong_tag, similarity), parts[own]) for own in (0, 1)]
    return [*parts[0], *parts[1]], np.concatenate(predicted)


def by_kind(captions: Sequence[Judged], by_model: Mapping[str, Floats]) -> dict[str, Predictions]:
    """Predictions (N,) of each kind of clips on its own and, where there are two, of both with the weights of the fit."""
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dataset_root", required=True, help="labelled clips, as python -m data.labelled.mixtures writes them"
    )
    parser.add_argument(
        "--captioned", nargs="+", type=Path, default=[], help="data sets with human captions and a validation split"
    )
    parser.add_argument("--ckpt_path", required=True, help="captioner: a checkpoint's or a run's folder")
    parser.add_argument(
        "--write", action="store_true", help=f"put the calibration into {METADATA_FILE}, draw {CURVE_FILE}"
    )
    parser.add_argument(
        "--similarity", action="store_true", help="the calibration takes the similarity to retrieved captions too"
    )
    parser.add_argument("--limit", type=int, default=0, help="clips of each kind at most, evenly spread; 0 for all")
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
        raise ValueError(
            f"{options.dataset_root} has no labelled validation clip: python -m data.labelled.mixtures makes some."
        )
    captioned = [clip for group in read_groups(options.captioned, "all") if not group.pooled for clip in group.clips]
    captioner = AudioCaptioner.from_pretrained(options.ckpt_path)
    captions = [
        caption
        for kind, own in ((LABELLED, clips), (CAPTIONED, captioned))
        for caption in judge(captioner, spread(own, options.limit), kind, options.batch_size)
    ]
    if options.similarity and not has_similarity(captions):
        raise ValueError(
            "--similarity needs a checkpoint that ranks captions by retrieved ones, in each style of the clips."
        )
    judged, after = held_out(captions, STRONG_TAG, options.seed)
    by_model = {TOKEN: np.array([math.exp(caption.per_token) for caption in judged]), CALIBRATED: after}
    if has_similarity(captions):
        by_model[WITH_SIMILARITY] = held_out(captions, STRONG_TAG, options.seed, similarity=True)[1]
    groups, chosen = by_kind(judged, by_model), WITH_SIMILARITY if options.similarity else CALIBRATED
    calibration = fit_calibration(captions, STRONG_TAG, options.similarity)
    print(f"{len(captions)} captions, {len(judged)} of them held out in turn\n\n{report(groups, chosen)}")
    print("calibration: " + ", ".join(f"{name} {value:.4g}" for name, value in calibration.to_dict().items()))
    if options.write:
        add_metadata(folder, {CALIBRATION_KEY: calibration.to_dict()})
        draw(groups, TOKEN, chosen, folder / CURVE_FILE)
        logger.info("written: %s, %s", folder / METADATA_FILE, folder / CURVE_FILE)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

r"""Accuracy of the taggers of encoders on recordings and labelled clips, without a decoder.

    python -m benchmarks taggers --encoders datasets/efficientat/mn04_as_mAP_432.safetensors checkpoints/any_sound \
        --recordings datasets/captioned --labelled datasets/labelled --sounds datasets/sounds50 \
        --output benchmarks/results/taggers.md

An encoder is given as a checkpoint folder or as a file of mobilenet weights (such as a run's tagger.safetensors); --mean adds
the mean of all weights. A decoder that receives tag scores only is limited by them, and these measures vary less than caption
scores. "Precision" is the label ranking average precision over recordings of the classes that at least two references name.
"Rank" is the mean reciprocal rank of a label's best class among all but the wide classes (`vocabulary.audioset.WIDE`); "in 3" is
the share of labels whose class is among the three highest. Scores are the maximum over a clip and its thirds.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import label_ranking_average_precision_score
from torch import Tensor
from tqdm import tqdm

from benchmarks.common import add_device, add_output, agreed_classes, markdown_table, publish
from captioning.options import choose_device
from configs.commands import command_parser, run_command
from configs.schema import EncoderConfig
from data.clotho import FileClip, load_split
from data.labelled.collections import read_labelled
from data.labelled.tags import tags_of_any
from data.tables import DatasetError
from models.captioner import AudioCaptioner
from models.encoders.base import AudioEncoder
from models.encoders.build import build_encoder
from models.encoders.tagging import tag_scores
from vocabulary.audioset import tag_ids, wide_tags

logger = logging.getLogger(__name__)

Scores = NDArray[np.float64]
LONGEST_S = 30.0  # seconds of a clip that are used


def load_encoder(path: Path, device: str | torch.device = "cpu") -> AudioEncoder:
    """Load the encoder of a checkpoint folder, or mobilenet with the weights of a file."""
    if path.is_dir():
        return AudioCaptioner.from_pretrained(path, device).encoder.eval()
    return build_encoder(EncoderConfig(name="mobilenet", weights=str(path))).to(device).eval()


def mean_encoder(encoders: Sequence[AudioEncoder]) -> AudioEncoder:
    """Replace the weights of the last encoder by the mean of all (Wortsman et al., arXiv 2203.05482); returns that encoder."""
    states = [encoder.state_dict() for encoder in encoders]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if tensor.is_floating_point() else tensor
        for name, tensor in states[-1].items()
    }
    encoders[-1].load_state_dict(mean)
    return encoders[-1]


@torch.no_grad()
def compute_scores(encoder: AudioEncoder, clips: Sequence[FileClip], name: str) -> Scores:
    """Tag scores (N, C) of clips, 0 to 1."""
    rows: list[Tensor] = []
    device = next(encoder.parameters()).device
    for clip in tqdm(clips, desc=name, unit="clip"):
        waveform = torch.from_numpy(clip.load(encoder.sample_rate, LONGEST_S))[None].to(device)
        output = encoder(waveform, torch.tensor([waveform.shape[1]], device=device))
        rows.append(tag_scores(encoder, output.embeddings, output.lengths)[0])
    return torch.stack(rows).cpu().double().numpy()


def precision(scores: Scores, targets: Sequence[set[int]]) -> float:
    """Label ranking average precision, 0 to 1, of target classes by scores (N, C); clips without targets are left out."""
    truth = np.zeros(scores.shape, dtype=bool)
    for row, classes in enumerate(targets):
        truth[row, sorted(classes)] = True
    some = truth.any(axis=1)
    return float(label_ranking_average_precision_score(truth[some], scores[some])) if some.any() else float("nan")


def ranks(scores: Scores, labels: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Rank, 1 or more, of each label's best class by scores (N, C) among all but the wide classes.

    Labels without a class are left out.
    """
    narrow = np.array([number not in wide_tags() for number in range(scores.shape[1])])
    found = []
    for row, names in zip(scores, labels, strict=True):
        for name in names:
            if classes := [number for number in tags_of_any(name) if narrow[number]]:
                found.append(1 + int((row[narrow] > row[classes].max()).sum()))
    return np.array(found, dtype=np.int64)


def columns(
    options: argparse.Namespace,
) -> list[tuple[str, list[FileClip], Callable[[Scores, Sequence[FileClip]], str]]]:
    """Heading, clips and measure of each column of the table.

    Raises:
        DatasetError: no data are given, or they cannot be read.
    """
    found: list[tuple[str, list[FileClip], Callable[[Scores, Sequence[FileClip]], str]]] = []

    def by_references(scores: Scores, clips: Sequence[FileClip]) -> str:
        return f"{precision(scores, [agreed_classes(clip) for clip in clips]):.3f}"

    def by_labels(scores: Scores, clips: Sequence[FileClip]) -> str:
        places = ranks(scores, [clip.labels for clip in clips])
        return f"{(1 / places).mean():.3f}, {100 * (places <= 3).mean():.0f} %"

    if options.recordings:
        recorded = load_split(options.recordings, "validation", 0.0, 0)
        for corpus in sorted({clip.style for clip in recorded}):
            own = [clip for clip in recorded if clip.style == corpus]
            found.append((f"{len(own)} of {corpus or 'the recordings'}: precision", own, by_references))
    if options.labelled:
        held_out = read_labelled(options.labelled, options.held_out)[1]
        found.append((f"{len(held_out)} held out: rank, in 3", held_out, by_labels))
    if options.sounds:
        sounds = load_split(options.sounds, "validation", 0.0, 0)
        for size, kind in ((1, "single"), (2, "pairs")):
            if own := [clip for clip in sounds if len(clip.labels) == size]:
                found.append((f"{len(own)} {kind}: rank, in 3", own, by_labels))
    if not any(clips for _, clips, _ in found):
        raise DatasetError("no clips to evaluate on: give --recordings, --labelled or --sounds.")
    return found


def run(options: argparse.Namespace) -> int:
    """Evaluate every encoder; returns the exit status."""
    device = choose_device(options.device)
    measured = columns(options)
    encoders = [(str(path), load_encoder(path, device)) for path in options.encoders]
    table = []

    def add(name: str, encoder: AudioEncoder) -> None:
        if encoder.has_tagger:
            cells = [measure(compute_scores(encoder, clips, name), clips) for _, clips, measure in measured]
            table.append([f"`{name}`", *cells])
        else:
            raise DatasetError(f"{name} has no tagger of the {len(tag_ids())} AudioSet classes: give another encoder.")

    for name, encoder in encoders:
        add(name, encoder)
    if options.mean:
        add("mean of the weights", mean_encoder([encoder for _, encoder in encoders]))
    publish(markdown_table(["encoder", *(heading for heading, _, _ in measured)], table), options.output)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks taggers", __doc__)
    parser.add_argument(
        "--encoders", type=Path, nargs="+", required=True, help="checkpoint folders or mobilenet weights files"
    )
    add_device(parser)
    parser.add_argument("--mean", action="store_true", help="also evaluate the mean of all weights")
    parser.add_argument("--recordings", help="data set of captioned clips with a validation split")
    parser.add_argument("--labelled", type=Path, help="folder of labelled clips")
    parser.add_argument(
        "--held_out", type=int, default=100, help="number of clips of --labelled to evaluate on (default: 100)"
    )
    parser.add_argument("--sounds", help="labelled sounds with a validation split, written by data.labelled.mixtures")
    add_output(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

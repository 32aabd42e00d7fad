"""How well encoders' taggers hear: what people name in recordings, and the labels of clips that were kept out of training.

    python -m benchmarks.taggers --encoders datasets/efficientat/mn04_as_mAP_432.safetensors checkpoints/any_sound \
        --recordings datasets/captioned --labelled datasets/labelled --sounds datasets/sounds50 \
        --output benchmarks/results/taggers.md

An encoder is a captioner's, or a file of mobilenet's weights (a run's tagger.safetensors is one); `--mean` adds the mean of their
weights. A decoder that sees tags alone can say no more than these do, and their figures vary less than its captions' scores.
"Precision" is the mean average precision over recordings (label ranking average precision) of the classes that two references or
more name; "rank" the mean reciprocal rank of a label's best class among those that are not wide ones, and "in 3" the share of
labels whose class is one of the three strongest. Scores are the highest of a clip and its thirds.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import label_ranking_average_precision_score
from torch import Tensor
from tqdm import tqdm

from benchmarks.real_sounds import named_by_people
from benchmarks.tables import markdown_table, publish
from configs.commands import run_command
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
LONGEST_S = 30.0  # heard of a clip


def load_encoder(path: Path) -> AudioEncoder:
    """The encoder of a captioner's folder, or mobilenet with the weights of a file."""
    if path.is_dir():
        return AudioCaptioner.from_pretrained(path).encoder.eval()
    return build_encoder(EncoderConfig(name="mobilenet", weights=str(path))).eval()


def mean_encoder(encoders: Sequence[AudioEncoder]) -> AudioEncoder:
    """The last one of encoders of one network, its weights replaced by the mean of all (Wortsman et al., arXiv 2203.05482)."""
    states = [encoder.state_dict() for encoder in encoders]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if tensor.is_floating_point() else tensor
        for name, tensor in states[-1].items()
    }
    encoders[-1].load_state_dict(mean)
    return encoders[-1]


@torch.no_grad()
def hear(encoder: AudioEncoder, clips: Sequence[FileClip], name: str) -> Scores:
    """Scores (N, C) of clips."""
    rows: list[Tensor] = []
    for clip in tqdm(clips, desc=name, unit="clip"):
        waveform = torch.from_numpy(clip.load(encoder.sample_rate, LONGEST_S))[None]
        output = encoder(waveform, torch.tensor([waveform.shape[1]]))
        rows.append(tag_scores(encoder, output.embeddings, output.lengths)[0])
    return torch.stack(rows).double().numpy()


def precision(scores: Scores, wanted: Sequence[set[int]]) -> float:
    """Label ranking average precision, 0 to 1, of wanted classes by scores (N, C); rows of none are left out."""
    truth = np.zeros(scores.shape, dtype=bool)
    for row, classes in enumerate(wanted):
        truth[row, sorted(classes)] = True
    some = truth.any(axis=1)
    return float(label_ranking_average_precision_score(truth[some], scores[some])) if some.any() else float("nan")


def ranks(scores: Scores, labels: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """For each label of each clip the rank, from 1 on, of its best class by scores (N, C) among those that are not wide.

    Labels that stand for no class are left out.
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
    """Heading, clips and measure of each column.

    Raises:
        DatasetError: no data at all, or some that cannot be read.
    """
    found: list[tuple[str, list[FileClip], Callable[[Scores, Sequence[FileClip]], str]]] = []

    def people(scores: Scores, clips: Sequence[FileClip]) -> str:
        return f"{precision(scores, [named_by_people(clip) for clip in clips]):.3f}"

    def label(scores: Scores, clips: Sequence[FileClip]) -> str:
        places = ranks(scores, [clip.labels for clip in clips])
        return f"{(1 / places).mean():.3f}, {100 * (places <= 3).mean():.0f} %"

    if options.recordings:
        recorded = load_split(options.recordings, "validation", 0.0, 0)
        for corpus in sorted({clip.style for clip in recorded}):
            own = [clip for clip in recorded if clip.style == corpus]
            found.append((f"{len(own)} of {corpus or 'the recordings'}: precision", own, people))
    if options.labelled:
        kept_out = read_labelled(options.labelled, options.held_out)[1]
        found.append((f"{len(kept_out)} kept out: rank, in 3", kept_out, label))
    if options.sounds:
        sounds = load_split(options.sounds, "validation", 0.0, 0)
        for size, kind in ((1, "single"), (2, "pairs")):
            if own := [clip for clip in sounds if len(clip.labels) == size]:
                found.append((f"{len(own)} {kind}: rank, in 3", own, label))
    if not any(clips for _, clips, _ in found):
        raise DatasetError("there is nothing to hear: give --recordings, --labelled or --sounds.")
    return found


def run(options: argparse.Namespace) -> int:
    """Let every encoder hear everything; returns the exit status."""
    measured = columns(options)
    encoders = [(str(path), load_encoder(path)) for path in options.encoders]
    table = []

    def add(name: str, encoder: AudioEncoder) -> None:
        if encoder.has_tagger:
            cells = [measure(hear(encoder, clips, name), clips) for _, clips, measure in measured]
            table.append([f"`{name}`", *cells])
        else:
            raise DatasetError(f"{name} has no tagger of the {len(tag_ids())} classes: give another encoder.")

    for name, encoder in encoders:
        add(name, encoder)
    if options.mean:
        add("the mean of these", mean_encoder([encoder for _, encoder in encoders]))
    publish(markdown_table(["encoder", *(heading for heading, _, _ in measured)], table), options.output)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", type=Path, nargs="+", required=True, help="captioners or files of weights")
    parser.add_argument("--mean", action="store_true", help="add the mean of the encoders' weights")
    parser.add_argument("--recordings", help="captioned clips with a validation split")
    parser.add_argument("--labelled", type=Path, help="folder of labelled clips, of which some were kept out")
    parser.add_argument("--held_out", type=int, default=100, help="how many, as data.texts.held_out had it")
    parser.add_argument(
        "--sounds", help="labelled sounds with a validation split, as data.labelled.mixtures writes them"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

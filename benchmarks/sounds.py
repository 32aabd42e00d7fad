r"""Naming rates of the sounds of labelled validation clips, compared with a retrieval baseline.

    python -m benchmarks sounds --dataset_root datasets/sounds50 --ckpt_path checkpoints/sounds_small runs/a/best \
        --retrieval_weights datasets/efficientat/mn04_as_mAP_432.safetensors --output benchmarks/results/sounds.md

A caption names a single clip's sound if it has a word for it (`data.labelled.caption_templates.named_categories`), and a
mixture if it has words for both sounds. Intervals are 95 % bootstrap percentiles over clips. Among named mixtures, the table
gives the shares of sequences whose order is stated correctly and incorrectly, and the share of overlaid sounds for which the
caption states an order ("then", "followed by", "before", "after"; `vocabulary.turns`).
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import add_device, add_output, caption_texts, markdown_table, publish
from captioning.options import choose_device
from configs.commands import command_parser, run_command
from configs.schema import EncoderConfig
from data.captions import normalize_caption
from data.clotho import Clip, FileClip, load_split
from data.labelled.caption_templates import named_categories
from data.labelled.mixtures import make_mixtures
from models.captioner import AudioCaptioner
from models.encoders.build import build_encoder
from training.features import FrozenFeatures
from training.validation import cider_d
from vocabulary.turns import parts_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """Results of one captioner; rates are 0 to 1, with interval bounds where there are three values."""

    name: str
    single: tuple[float, float, float]
    single_only: float
    both: tuple[float, float, float]
    both_sequence: float
    both_overlay: float
    order_right: float
    order_wrong: float
    order_invented: float
    at_least_one: float
    cider_d: float | None
    distinct: int
    mean_words: float
    milliseconds: float

    def cells(self) -> list[str]:
        """Cells of the Markdown table."""
        score = "n/a" if self.cider_d is None else f"{self.cider_d:.2f}"
        return [
            self.name,
            _rate(self.single),
            f"{100 * self.single_only:.1f}",
            _rate(self.both),
            f"{100 * self.both_sequence:.1f}",
            f"{100 * self.both_overlay:.1f}",
            f"{100 * self.order_right:.1f}, {100 * self.order_wrong:.1f}",
            f"{100 * self.order_invented:.1f}",
            f"{100 * self.at_least_one:.1f}",
            score,
            str(self.distinct),
            f"{self.mean_words:.1f}",
            f"{self.milliseconds:.0f}",
        ]


HEADER = [
    "captioner",
    "single named, %",
    "nothing else named, %",
    "both of a mixture named, %",
    "sequences, %",
    "overlaid, %",
    "order correct, incorrect, %",
    "order of overlaid, %",
    "at least one, %",
    "CIDEr-D",
    "distinct captions",
    "words",
    "ms per clip",
]


def _rate(value: tuple[float, float, float]) -> str:
    return f"{100 * value[0]:.1f} ({100 * value[1]:.1f} to {100 * value[2]:.1f})"


def bootstrap(hits: NDArray[np.float64], seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of hits (N,), 0 to 1, and the bounds of its 95 % bootstrap interval; zeros if N is 0."""
    if len(hits) == 0:
        return 0.0, 0.0, 0.0
    picks = np.random.default_rng(seed).integers(len(hits), size=(draws, len(hits)))
    low, high = np.percentile(hits[picks].mean(axis=1), [2.5, 97.5])
    return float(hits.mean()), float(low), float(high)


def stated_order(caption: str, labels: Sequence[str]) -> int:
    """Order of two sounds that a caption states: 1 if the second follows the first, -1 for the reverse, 0 for none."""
    turns = []
    for label in labels:
        named = [turn for turn, part in parts_of(caption) if label in named_categories(normalize_caption(part))]
        if not named:
            return 0  # its words span a connector such as "then"
        turns.append(min(named))
    return int(np.sign(turns[1] - turns[0]))


def judge(name: str, clips: Sequence[FileClip], captions: dict[str, str], milliseconds: float) -> Row:
    """Compute the rates of one captioner from its captions by clip name."""
    found = {clip.name: named_categories(normalize_caption(captions[clip.name])) for clip in clips}
    singles = [clip for clip in clips if len(clip.labels) == 1]
    mixtures = [clip for clip in clips if len(clip.labels) == 2]

    def share(group: Sequence[FileClip], test: Callable[[set[str], set[str]], bool]) -> NDArray[np.float64]:
        return np.array([float(test(found[clip.name], set(clip.labels))) for clip in group])

    def mean(hits: NDArray[np.float64] | NDArray[np.bool_]) -> float:
        return float(hits.mean()) if len(hits) else 0.0

    sequences = [clip for clip in mixtures if clip.name.startswith("sequence")]
    overlays = [clip for clip in mixtures if clip.name.startswith("overlay")]

    def orders(group: Sequence[FileClip]) -> NDArray[np.int64]:
        both = [clip for clip in group if set(clip.labels) <= found[clip.name]]
        return np.array([stated_order(captions[clip.name], clip.labels) for clip in both], dtype=np.int64)

    stated = orders(sequences)
    return Row(
        name=name,
        single=bootstrap(share(singles, lambda named, true: true <= named)),
        single_only=mean(share(singles, lambda named, true: true == named)),
        both=bootstrap(share(mixtures, lambda named, true: true <= named)),
        both_sequence=mean(share(sequences, lambda named, true: true <= named)),
        both_overlay=mean(share(overlays, lambda named, true: true <= named)),
        order_right=mean(stated == 1),
        order_wrong=mean(stated == -1),
        order_invented=mean(orders(overlays) != 0),
        at_least_one=mean(share(mixtures, lambda named, true: bool(true & named))),
        cider_d=cider_d(captions, {clip.name: clip.captions for clip in clips}),
        distinct=len({normalize_caption(text) for text in captions.values()}),
        mean_words=float(np.mean([len(text.split()) for text in captions.values()])),
        milliseconds=milliseconds,
    )


def caption_all(
    captioner: AudioCaptioner, clips: Sequence[FileClip], style: str = "", batch_size: int = 8
) -> tuple[dict[str, str], float]:
    """Best caption of each clip by name, and milliseconds per clip, reading included; see `benchmarks.common.caption_texts`."""
    started = time.perf_counter()
    texts = caption_texts(captioner, clips, style, batch_size)
    milliseconds = 1000 * (time.perf_counter() - started) / len(clips)
    return {clip.name: text for clip, text in zip(clips, texts, strict=True)}, milliseconds


def retrieve(weights: str, dataset_root: str, clips: Sequence[FileClip], mixtures: int, seed: int) -> dict[str, str]:
    """First caption of the most similar training clip or mixture, by clip name.

    Similarity is the cosine of mn04's embeddings (mean and maximum over time), standardised over the training clips.
    """
    config = EncoderConfig(name="mobilenet", weights=weights)
    embed = FrozenFeatures(build_encoder(config).eval(), config, cache=None)
    singles = load_split(dataset_root, "development", 0.0, seed)
    train: list[Clip] = [*singles, *make_mixtures(singles, mixtures, seed)]

    def vectors(group: Sequence[Clip], title: str) -> torch.Tensor:
        rows = [embed(clip) for clip in tqdm(group, desc=title, unit="clip")]
        return torch.from_numpy(np.stack([np.concatenate([row.mean(0), row.max(0)]) for row in rows]))

    known, queries = vectors(train, "training clips"), vectors(clips, "validation clips")
    mean, deviation = known.mean(0), known.std(0) + 1e-6
    known, queries = (known - mean) / deviation, (queries - mean) / deviation
    similarity = torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(known, dim=1).T
    return {clip.name: train[int(best)].captions[0] for clip, best in zip(clips, similarity.argmax(1), strict=True)}


def run(options: argparse.Namespace) -> int:
    """Evaluate the baseline and each checkpoint; returns the exit status."""
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    clips = load_split(options.dataset_root, "validation", 0.0, options.seed)
    rows, everything = [], {}
    if options.retrieval_weights:
        captions = retrieve(
            options.retrieval_weights, options.dataset_root, clips, options.retrieval_mixtures, options.seed
        )
        rows.append(judge("retrieval: nearest training clip", clips, captions, float("nan")))
        everything["retrieval"] = captions
    for path in options.ckpt_path:
        captioner = AudioCaptioner.from_pretrained(path, device)
        for style in options.styles or [""]:
            name = f"{path}, {style}" if style else path
            captions, milliseconds = caption_all(captioner, clips, style)
            rows.append(judge(name, clips, captions, milliseconds))
            everything[name] = captions
    publish(markdown_table(HEADER, [row.cells() for row in rows]), options.output, everything)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks sounds", __doc__)
    add_device(parser)
    parser.add_argument("--dataset_root", required=True, help="folder written by python -m data.labelled.mixtures")
    parser.add_argument("--ckpt_path", nargs="*", default=[], help="checkpoints to evaluate")
    parser.add_argument("--styles", nargs="*", default=[], help="styles to caption in (default: the checkpoint's)")
    parser.add_argument("--retrieval_weights", help="weights file of mn04; adds the retrieval baseline")
    parser.add_argument(
        "--retrieval_mixtures",
        type=int,
        default=1200,
        help="training mixtures among the baseline's candidates (default: 1200)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the mixtures (default: 0)")
    add_output(parser, "all captions")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

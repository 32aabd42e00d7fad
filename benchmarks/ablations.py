r"""Effect of each part of the text-only training recipe: short trainings without it, with several seeds.

    python train.py --config configs/any_sound.yaml --training.checkpoints_dir runs   # leaves the fine-tuned tagger
    python -m benchmarks ablations --config configs/any_sound.yaml --tagger runs/any_sound/mobilenet_llama/tagger.safetensors \
        --recordings datasets/captioned --labelled datasets/sounds50 --output benchmarks/results/ablations.md

All trainings have the same number of steps, fewer than the configuration's, so their scores compare only with one another.
Columns: CIDEr-D of the validation recordings of each corpus in its style, and the shares of labelled validation clips whose
caption names the sound, and of mixtures whose caption names both sounds (`benchmarks.sounds`). Each cell is the mean over
seeds with the minimum and maximum.
"""

import argparse
import logging
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import add_output, caption_texts, markdown_table, publish
from benchmarks.sounds import caption_all
from configs.commands import command_parser, run_command
from configs.loading import load_config
from data.captions import normalize_caption
from data.clotho import FileClip, load_split
from data.labelled.caption_templates import named_categories
from models.captioner import AudioCaptioner
from models.encoders.build import encoder_label
from training.tagger import TAGGER_FILE
from training.validation import cider_d

logger = logging.getLogger(__name__)

TRAIN = Path(__file__).parents[1] / "train.py"
WHOLE = "whole recipe"
TRAININGS: dict[str, list[str]] = {
    WHOLE: [],
    "no noise in the simulation": ["--data.texts.simulation.noise", "false"],
    "no tag scores of thirds": ["--captioner.tags.parts", "false"],
    "no labelled clips": ["--data.texts.labelled_style", ""],
}
SEARCHES: dict[str, dict[str, Any]] = {  # changes of decoding.tags
    "no re-ranking by tags": {"coverage_weight": 0.0, "min_score": 0.0, "consensus_weight": 0.0},
    "no word bonus": {"word_bonus": 0.0},
}


def measure(
    captioner: AudioCaptioner, recordings: Sequence[FileClip], labelled: Sequence[FileClip]
) -> dict[str, float]:
    """CIDEr-D of each corpus, 0 to 10, and naming rates of single sounds and of mixtures, in percent."""
    found: dict[str, float] = {}
    texts = caption_texts(captioner, recordings)
    for corpus in sorted({clip.style for clip in recordings}):
        own = [(text, clip) for text, clip in zip(texts, recordings, strict=True) if clip.style == corpus]
        score = cider_d({clip.name: text for text, clip in own}, {clip.name: clip.captions for _, clip in own})
        found[f"CIDEr-D {corpus}".strip()] = float("nan") if score is None else score
    captions, _ = caption_all(captioner, labelled)
    for title, count in (("single named, %", 1), ("both of a mixture named, %", 2)):
        hits = [
            set(clip.labels) <= named_categories(normalize_caption(captions[clip.name]))
            for clip in labelled
            if len(clip.labels) == count
        ]
        found[title] = 100 * float(np.mean(hits)) if hits else float("nan")
    return found


def train_one(options: argparse.Namespace, name: str, seed: int) -> AudioCaptioner:
    """Train a captioner, or load it if an earlier call has trained it.

    Raises:
        RuntimeError: the training failed.
    """
    run_name = f"{name.replace(' ', '_')}-{seed}"
    folder = options.runs / run_name / f"{encoder_label(load_config(options.config).captioner.encoder.name)}_llama"
    if not (folder / "best").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if options.tagger:
            shutil.copyfile(options.tagger, folder / TAGGER_FILE)
        steps = str(options.steps)
        settings = {"run_name": run_name, "checkpoints_dir": str(options.runs), "seed": str(seed)}
        settings |= {"num_steps": steps, "validate_every": steps, "warmup_steps": str(max(1, options.steps // 10))}
        given = [word for key, value in settings.items() for word in (f"--training.{key}", value)]
        command = [sys.executable, str(TRAIN), "--config", str(options.config), *given, *TRAININGS[name]]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"the training of {name!r} with seed {seed} failed: see its message above.")
    return AudioCaptioner.from_pretrained(folder / "best")


def spread(values: Sequence[float], digits: int) -> str:
    """Mean with minimum and maximum, as text."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def run(options: argparse.Namespace) -> int:
    """Train, measure and write the table; returns the exit status."""
    recordings = load_split(options.recordings, "validation", 0.0, 0)
    labelled = load_split(options.labelled, "validation", 0.0, 0)[:: options.every]
    results: dict[str, list[dict[str, float]]] = {name: [] for name in [*TRAININGS, *SEARCHES]}
    for seed in options.seeds:
        for name in TRAININGS:
            captioner = train_one(options, name, seed)
            results[name].append(measure(captioner, recordings, labelled))
            if name == WHOLE:
                own = captioner.config
                for other, changes in SEARCHES.items():
                    tags = replace(own.decoding.tags, **changes)
                    captioner.config = replace(own, decoding=replace(own.decoding, tags=tags))
                    results[other].append(measure(captioner, recordings, labelled))
            logger.info("seed %d, %s: %s", seed, name, results[name][-1])
    columns = list(results[WHOLE][0])
    rows = [
        [name, *(spread([one[key] for one in found], 1 if key.endswith("%") else 3) for key in columns)]
        for name, found in results.items()
    ]
    publish(markdown_table(["recipe", *columns], rows), options.output, results)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks ablations", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="configuration of the whole recipe")
    parser.add_argument("--recordings", required=True, help="data set of captioned clips with a validation split")
    parser.add_argument("--labelled", required=True, help="folder written by python -m data.labelled.mixtures")
    parser.add_argument(
        "--every", type=int, default=4, help="use every N-th labelled validation clip (default: 4)", metavar="N"
    )
    parser.add_argument(
        "--tagger", type=Path, help="tagger.safetensors of a run; default: each training fine-tunes one"
    )
    parser.add_argument("--steps", type=int, default=500, help="training steps of each training (default: 500)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="random seeds (default: 0 1 2)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/ablations"), help="folder of the trainings (default: runs/ablations)"
    )
    add_output(parser, "the results of each seed")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

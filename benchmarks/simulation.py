r"""Tag scores of real recordings compared with those of simulated audio.

    python -m benchmarks simulation --config configs/any_sound.yaml --ckpt_path checkpoints/any_sound \
        --output benchmarks/results/simulation.md

A decoder trained on simulated audio relies on the tagger as much as the simulation resembles recordings. For recordings with
captions (both splits of the configuration's data set) and for captions without audio of the same style: the share of classes
named among those whose score lies in an interval, for speech and for all other classes that are not wide ones, and quantiles of
scores. Scores are the highest of a clip and its thirds, by the checkpoint's own encoder; a recording counts once per caption.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import add_output, markdown_table, publish
from configs.commands import command_parser, run_command
from configs.loading import load_config
from data.clotho import Clip
from models.captioner import AudioCaptioner
from training.datasets import load_clips
from training.features import FrozenFeatures
from training.text_only.captions import TextClip, sources_of
from training.text_only.simulation import Simulator, style_durations
from training.text_only.sound_bank import build_sound_bank
from vocabulary.audioset import tag_ids, wide_tags
from vocabulary.words import classes_of

logger = logging.getLogger(__name__)

BOUNDS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
MIN_SCORES = 5  # scores in an interval for which a share is given


@torch.no_grad()
def tag_scores(captioner: AudioCaptioner, embeddings: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Tag scores (N, C) of clips from their embeddings (T, E)."""
    rows = [torch.from_numpy(frames)[None].to(captioner.device) for frames in embeddings]
    scores = [captioner.tag_scores(row, torch.tensor([row.shape[1]], device=row.device))[0] for row in rows]
    return torch.stack(scores).double().cpu().numpy()


def named_shares(scores: NDArray[np.float64], named: NDArray[np.bool_]) -> list[str]:
    """Share of named classes, in percent, among those with a score between two BOUNDS; both arrays have the same shape."""
    interval = np.clip(np.digitize(scores, BOUNDS) - 1, 0, len(BOUNDS) - 2)
    groups = [named[interval == number] for number in range(len(BOUNDS) - 1)]
    return [f"{100 * group.mean():.0f}" if len(group) >= MIN_SCORES else "n/a" for group in groups]


def quantiles(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """QUANTILES of values, as text."""
    return [f"{value:.2f}" for value in np.quantile(values, QUANTILES)] if len(values) else ["n/a"] * len(QUANTILES)


def compare(name: str, scores: NDArray[np.float64], captions: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the two tables for captions and the scores (N, C) of their audio."""
    speech = tag_ids()["Speech"]
    named = np.zeros(scores.shape, dtype=bool)
    for row, caption in enumerate(captions):
        named[row, list(classes_of(caption))] = True
    others = np.array([number not in wide_tags() and number != speech for number in range(scores.shape[1])])
    shares = [
        [name, "speech", *named_shares(scores[:, speech], named[:, speech])],
        [name, "others", *named_shares(scores[:, others], named[:, others])],
    ]
    things = [
        float(scores[row, own].max())
        for row, caption in enumerate(captions)
        for source in sources_of(caption)
        if speech not in source.classes and (own := [number for number in source.classes if others[number]])
    ]
    unnamed = np.where(others & ~named, scores, 0.0).max(axis=1)
    spread = [
        [name, "speech where it is named", *quantiles(scores[named[:, speech], speech])],
        [name, "speech where it is not", *quantiles(scores[~named[:, speech], speech])],
        [name, "other things named", *quantiles(things)],
        [name, "the highest not named", *quantiles(unnamed)],
    ]
    return shares, spread


def run(options: argparse.Namespace) -> int:
    """Compare simulated with real audio; returns the exit status."""
    config = load_config(options.config)
    captioner = AudioCaptioner.from_pretrained(options.ckpt_path)
    encoder = captioner.encoder
    encoder.set_trained(False)
    embed = FrozenFeatures(encoder, captioner.config.captioner.encoder, cache=None)
    tables_alone = replace(config.data.texts, composed=0, labelled_style="")  # no composed and no template captions
    clips = load_clips(replace(config.data, texts=tables_alone), config.training.seed)
    texts_config = config.data.texts
    source_clips = tqdm(clips.source_clips, desc="source clips", unit="clip")
    bank = build_sound_bank(source_clips, embed, encoder, texts_config.simulation, config.training.seed)
    simulate = Simulator(bank, encoder.frame_rate_hz, texts_config.simulation, style_durations(texts_config))
    recorded: list[Clip] = [clip for clip in [*clips.train, *clips.validation] if not isinstance(clip, TextClip)]
    shares, spread = [], []
    for style in dict.fromkeys(table.style for table in texts_config.tables):
        real = [clip for clip in recorded if clip.style == style]
        texts = [clip for clip in clips.train if isinstance(clip, TextClip) and clip.style == style]
        generator = np.random.default_rng(config.training.seed)
        drawn = [texts[int(row)] for row in generator.choice(len(texts), min(options.texts, len(texts)), replace=False)]
        simulated = tag_scores(captioner, [simulate(text, generator) for text in tqdm(drawn, desc=style, unit="text")])
        sounds = [(f"{style}, {len(drawn)} simulated", simulated, [text.captions[0] for text in drawn])]
        if real:
            recorded_scores = tag_scores(captioner, [embed(clip) for clip in tqdm(real, desc=style, unit="clip")])
            repeated = np.repeat(recorded_scores, [len(clip.captions) for clip in real], axis=0)
            sounds.insert(
                0, (f"{style}, {len(real)} recordings", repeated, [text for clip in real for text in clip.captions])
            )
        for name, scores, captions in sounds:
            rows = compare(name, scores, captions)
            shares += rows[0]
            spread += rows[1]
    intervals = [f"named at {low} to {high}, %" for low, high in zip(BOUNDS, BOUNDS[1:], strict=False)]
    text = markdown_table(["sound", "classes", *intervals], shares)
    text += "\n" + markdown_table(["sound", "scores of", *(f"quantile {level}" for level in QUANTILES)], spread)
    publish(text, options.output)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks simulation", __doc__)
    parser.add_argument("--config", type=Path, required=True, help="configuration with data.texts")
    parser.add_argument("--ckpt_path", required=True, help="checkpoint whose encoder and tagger are used")
    parser.add_argument("--texts", type=int, default=1000, help="number of captions to simulate per style")
    add_output(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

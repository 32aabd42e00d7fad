"""Functions shared by the benchmarks: command lines, captions of clips and tables of results."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from configs.atomic_files import write_file
from data.clotho import Clip, FileClip
from models.captioner import AudioCaptioner
from vocabulary.words import main_classes


def add_output(parser: argparse.ArgumentParser, details: str = "") -> None:
    """Add --output; `details` describes the data written as JSON beside the table."""
    beside = f"; {details} are written beside it as JSON" if details else ""
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"Markdown file to write the table to{beside}")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device, whose value `captioning.options.choose_device` takes; results of devices differ by rounding."""
    parser.add_argument("--device", default="cpu", help="device: cpu (default), auto, cuda, cuda:N or mps")


def clip_style(captioner: AudioCaptioner, clip: Clip, style: str = "") -> int:
    """Style number in which a clip is captioned.

    Args:
        captioner: captioner with or without named styles.
        clip: clip whose `style` is its corpus, or empty.
        style: style for all clips; empty for the corpus of each clip, or the checkpoint's style where the captioner does
            not know that corpus.
    """
    known = captioner.config.captioner.styles
    return captioner.style_number(style or (clip.style if clip.style in known else captioner.config.decoding.style))


@torch.no_grad()
def caption_texts(captioner: AudioCaptioner, clips: Sequence[Clip], style: str = "", batch_size: int = 8) -> list[str]:
    """Best caption of each clip, in the style given by `clip_style`."""
    captions: list[str] = []
    for start in tqdm(range(0, len(clips), batch_size), desc="captioning", unit="batch"):
        part = clips[start : start + batch_size]
        encoded = captioner.encode_clips([clip.load(captioner.sample_rate, captioner.max_duration_s) for clip in part])
        styles = torch.tensor([clip_style(captioner, clip, style) for clip in part], device=encoded.lengths.device)
        found = captioner.caption_embeddings(encoded.embeddings, encoded.lengths, styles=styles)
        captions += [best.text for best, *_ in found]
    return captions


def agreed_classes(clip: FileClip) -> set[int]:
    """AudioSet classes that at least two reference captions of a clip name."""
    counts = Counter(number for reference in clip.captions for number in main_classes(reference))
    return {number for number, count in counts.items() if count >= 2}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format cells as a Markdown table; every line ends with a line break."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def write_text(path: Path, text: str) -> None:
    """Write a file of results, creating its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, text)


def publish(table: str, output: Path | None, details: Any = None) -> None:
    """Print a table; with `output`, also write it to that file, and `details` as JSON beside it."""
    print(table, end="")
    if output:
        write_text(output, table)
    if output and details is not None:
        write_text(output.with_suffix(".json"), json.dumps(details, indent=1))

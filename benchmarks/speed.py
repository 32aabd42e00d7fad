"""Time from a file to its caption, and the beam search compared with that of transformers.

    python -m benchmarks speed checkpoints/any_sound --clips datasets/captioned/clips --output benchmarks/results/speed.md

Each clip is read, encoded and captioned by all checkpoints in turn, so that other load of the machine affects all of them; the
table gives medians. "Search" is the beam search alone, by the decoder and by transformers' `generate` with the same prefix and
the same logits processors; which of them runs first alternates between clips, and the ratio is the median of the clips' ratios.
Loading time excludes imports.

`--parts` adds tables: "batches" (1, 8 and 32 clips at once), "start" (whole commands compared with importing torch),
"training" (a training step of the decoder of `--config`, without the encoder, compared with the seed's: a padded row per
caption with its own copy of the prefix, and logits of all positions) and "generation" (the first and each further token of a
decoder of the seed's size, compared with the seed's way and with the machine's memory reads; with `--output`, also a picture
beside the table). The last two need neither checkpoints nor clips. Processor time hardly depends on other load.
"""

import argparse
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from tqdm import tqdm

from benchmarks.common import add_device, add_output, markdown_table, publish
from benchmarks.reference import as_transformers, by_transformers
from benchmarks.speed_of_generation import HEADING as GENERATION_HEADING
from benchmarks.speed_of_generation import draw, measure_generation
from benchmarks.speed_of_parts import batch_rows, start_rows, training_rows
from captioning.options import choose_device
from configs.commands import command_parser, run_command
from data.audio import find_audio_files, load_audio
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)

HEADING = ("checkpoint", "load, s", "read, ms", "encode, ms", "decode, ms", "file to caption, ms",
           "search, ms", "transformers', ms", "search / transformers'")  # fmt: skip
BATCH_HEADING = ("checkpoint", "clips at once", "ms per clip", "processor time per clip, ms", "clips per second")
START_HEADING = (
    "command", "seconds", "processor time, s", "seconds / import torch", "processor time / import torch",
)  # fmt: skip
TRAINING_HEADING = ("training step", "seconds", "processor time, s", "clips per second", "peak memory, GB")


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a function and its run time in milliseconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, 1000 * (time.perf_counter() - started)


def _each(search: Callable[..., Any], searches: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [search(*arguments) for arguments in searches]


class Stopwatch:
    """Run times of one checkpoint by part, in milliseconds."""

    def __init__(self, path: Path, device: str) -> None:
        self.name = path.name
        self.captioner, self.load_ms = timed(lambda: AudioCaptioner.from_pretrained(path, device))
        self.network = as_transformers(self.captioner.decoder.llama)
        self.parts: dict[str, list[float]] = {part: [] for part in ("read", "encode", "decode", "ours", "transformers")}

    def caption(self, path: Path, seconds: float) -> None:
        """Read, encode and caption the beginning of a file, then repeat the search in both ways."""
        captioner, decoder = self.captioner, self.captioner.decoder
        longest_s = min(seconds, captioner.max_duration_s)
        waveform, read = timed(lambda: load_audio(path, captioner.sample_rate, max_duration_s=longest_s))
        encoded, encode = timed(lambda: captioner.encode_clips([waveform]))
        with patch.object(decoder, "generate", wraps=decoder.generate) as watched:
            _, decode = timed(lambda: captioner.caption_embeddings(encoded.embeddings, encoded.lengths))
        searches = [call.args for call in watched.call_args_list]
        times = {}
        ways = (("ours", decoder.generate), ("transformers", partial(by_transformers, decoder, llama=self.network)))
        for name, search in ways if len(self.parts["read"]) % 2 else reversed(ways):
            _, times[name] = timed(partial(_each, search, searches))
        times.update(read=read, encode=encode, decode=decode)
        for part, values in self.parts.items():
            values.append(times[part])

    def cells(self) -> list[str]:
        """A row of the table; the first clip, a warm-up, is left out."""
        parts = {part: values[1:] for part, values in self.parts.items()}
        whole = [sum(values) for values in zip(parts["read"], parts["encode"], parts["decode"], strict=True)]
        ratios = [ours / other for ours, other in zip(parts["ours"], parts["transformers"], strict=True)]
        columns = (parts["read"], parts["encode"], parts["decode"], whole, parts["ours"], parts["transformers"])
        return [
            f"`{self.name}`",
            f"{self.load_ms / 1000:.2f}",
            *(f"{median(values):.0f}" for values in columns),
            f"{median(ratios):.2f}",
        ]


def run(options: argparse.Namespace) -> int:
    """Time every checkpoint on every clip, and the parts; returns the exit status."""
    if options.repeats < 1 or options.tokens < 2:
        raise ValueError(
            f"found --repeats {options.repeats} and --tokens {options.tokens}: expected at least 1 and at least 2."
        )
    options.device = str(choose_device(options.device))
    if options.threads:
        torch.set_num_threads(options.threads)
    tables = _of_checkpoints(options) if options.checkpoints or {"batches", "start"} & set(options.parts) else []
    if "training" in options.parts:
        tables.append(markdown_table(TRAINING_HEADING, training_rows(options.config, options.device)))
    if "generation" in options.parts:
        ways, limits = measure_generation(options.device, options.tokens, options.repeats)
        tables += [
            markdown_table(GENERATION_HEADING, [way.cells() for way in ways]),
            f"{_where(options.device)}. {limits}",
        ]
    if not tables:
        raise ValueError("found neither checkpoints nor --parts: give at least one of them.")
    publish("\n".join(tables), options.output)
    if "generation" in options.parts and options.output:
        draw(ways, options.output.with_suffix(".png"))
    return 0


def _of_checkpoints(options: argparse.Namespace) -> list[str]:
    """Tables that need checkpoints and clips."""
    if not (options.checkpoints and options.clips):
        raise ValueError("found no checkpoint or no --clips: only --parts training and generation do without both.")
    clips = find_audio_files(options.clips)[: options.num_clips]
    if len(clips) < 2:
        raise ValueError(
            f"{options.clips} has {len(clips)} sound files: give two or more, since the first is a warm-up."
        )
    watches = [Stopwatch(path, options.device) for path in options.checkpoints]
    for clip in tqdm(clips, desc="captioning", unit="clip"):
        for watch in watches:
            watch.caption(clip, options.seconds)
    tables = [
        markdown_table(HEADING, [watch.cells() for watch in watches]),
        f"{len(clips) - 1} clips of at most {options.seconds:g} s, {_where(options.device)}.\n",
    ]
    if "batches" in options.parts:
        tables.append(_batches(watches, clips, options.seconds))
    if "start" in options.parts:
        tables.append(markdown_table(START_HEADING, start_rows(clips[0], options.repeats)))
    return tables


def _where(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"


def _batches(watches: Sequence[Stopwatch], clips: Sequence[Path], seconds: float) -> str:
    """The table of batches, of 32 clips or as many as there are."""
    rows = []
    for watch in watches:
        rate = watch.captioner.sample_rate
        waveforms = [load_audio(clip, rate, max_duration_s=seconds) for clip in clips[:32]]
        rows += batch_rows(watch.name, watch.captioner, waveforms)
    return markdown_table(BATCH_HEADING, rows)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks speed", __doc__)
    parser.add_argument("checkpoints", type=Path, nargs="*", help="checkpoint folders that decode by beam search")
    parser.add_argument("--clips", type=Path, help="folder of sound files; the first is a warm-up")
    parser.add_argument("--num_clips", type=int, default=30, help="maximum number of files (default: 30)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="seconds of each file to caption, above 0 (default: 10)"
    )
    add_device(parser)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: 0, torch's number)")
    parser.add_argument(
        "--parts",
        nargs="*",
        choices=("batches", "start", "training", "generation"),
        default=[],
        help="additional tables",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="repeats in the tables of starts and of generation (default: 5)"
    )
    parser.add_argument("--tokens", type=int, default=30, help="tokens of generated captions, 2 or more (default: 30)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("configs/cnn14_llama.yaml"),
        help="experiment of the table of training steps",
    )
    add_output(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

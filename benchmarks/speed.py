"""How long a captioner takes from a file to its caption, and what its own way of searching saves.

    python -m benchmarks.speed checkpoints/any_sound --clips datasets/captioned/clips --output benchmarks/results/speed.md

Each clip is read, heard and captioned by each checkpoint in turn, so that what else the machine does falls on all of them
alike; medians are told. "Search" is the beam search alone, as the decoder makes it and as transformers' `generate` makes it
after the same prefix with the same rules, one after the other for each clip, each first in turn; the ratio is the median of the
clips' ratios. Loading is reading the checkpoint once Python has imported what it needs.
"""

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

from benchmarks.tables import markdown_table, publish
from configs.commands import run_command
from data.audio import find_audio_files, load_audio
from models.captioner import AudioCaptioner
from models.decoder.llama import LlamaDecoder
from models.decoder.network import Llama
from models.decoder.search import Rule, SearchSettings

logger = logging.getLogger(__name__)

HEADING = ("checkpoint", "load, s", "read, ms", "hear, ms", "write, ms", "file to caption, ms",
           "search, ms", "transformers', ms", "search / transformers'")  # fmt: skip


@torch.no_grad()
def by_transformers(
    decoder: LlamaDecoder, prefix: Tensor, lengths: Tensor, settings: SearchSettings, rules: Sequence[Rule] = ()
) -> Tensor:
    """Token ids (B * num_return_sequences, L) that transformers' own `generate` finds where `LlamaDecoder.generate` looks."""
    llama = as_transformers(decoder.llama)
    embeddings, mask = decoder.begin(prefix, lengths)
    search = dataclasses.asdict(settings)
    sampling = {name: search.pop(name) for name in ("temperature", "top_k", "top_p")}
    marks = {f"{mark}_token_id": decoder.token_ids[mark] for mark in ("pad", "bos", "eos")}
    found: Tensor = llama.generate(
        inputs_embeds=embeddings,
        attention_mask=mask,
        generation_config=GenerationConfig(**search, **(sampling if settings.do_sample else {}), **marks),
        logits_processor=LogitsProcessorList(rules),
    )
    return found


def as_transformers(llama: Any) -> Any:
    """A network as transformers has it, with the same weights; pretrained decoders are such networks already."""
    if not isinstance(llama, Llama):
        # A published checkpoint's own settings of sampling and penalties would fill in what a search leaves open.
        network = llama.get_base_model() if hasattr(llama, "get_base_model") else llama
        network.generation_config = GenerationConfig()
        return llama
    sizes = dataclasses.asdict(llama.config)
    theirs = LlamaForCausalLM(LlamaConfig(**sizes, num_key_value_heads=llama.config.num_key_value_heads)).eval()
    theirs.load_state_dict(llama.state_dict())
    return theirs


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and the milliseconds that it took."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    result = function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, 1000 * (time.perf_counter() - began)


def _each(search: Callable[..., Any], searches: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [search(*arguments) for arguments in searches]


class Stopwatch:
    """The times of one checkpoint, by part, in milliseconds."""

    def __init__(self, path: Path, device: str) -> None:
        self.name = path.name
        self.captioner, self.load_ms = timed(lambda: AudioCaptioner.from_pretrained(path, device))
        self.parts: dict[str, list[float]] = {part: [] for part in ("read", "hear", "write", "ours", "theirs")}

    def caption(self, path: Path, seconds: float) -> None:
        """Read, hear and caption a file's beginning, then search once more in either way."""
        captioner, decoder = self.captioner, self.captioner.decoder
        longest_s = min(seconds, captioner.max_duration_s)
        waveform, read = timed(lambda: load_audio(path, captioner.sample_rate, max_duration_s=longest_s))
        heard, hear = timed(lambda: captioner.encode_clips([waveform]))
        with patch.object(decoder, "generate", wraps=decoder.generate) as watched:
            _, write = timed(lambda: captioner.caption_embeddings(heard.embeddings, heard.lengths))
        searches = [call.args for call in watched.call_args_list]
        times = {}
        ways = (("ours", decoder.generate), ("theirs", partial(by_transformers, decoder)))
        for name, search in ways if len(self.parts["read"]) % 2 else reversed(ways):
            _, times[name] = timed(partial(_each, search, searches))
        times.update(read=read, hear=hear, write=write)
        for part, values in self.parts.items():
            values.append(times[part])

    def cells(self) -> list[str]:
        """A row of the table, without the first clip: it finds nothing in memory yet."""
        parts = {part: values[1:] for part, values in self.parts.items()}
        whole = [sum(values) for values in zip(parts["read"], parts["hear"], parts["write"], strict=True)]
        ratios = [ours / theirs for ours, theirs in zip(parts["ours"], parts["theirs"], strict=True)]
        columns = (parts["read"], parts["hear"], parts["write"], whole, parts["ours"], parts["theirs"])
        return [
            f"`{self.name}`",
            f"{self.load_ms / 1000:.2f}",
            *(f"{median(values):.0f}" for values in columns),
            f"{median(ratios):.2f}",
        ]


def run(options: argparse.Namespace) -> int:
    """Caption every clip by every checkpoint; returns the exit status."""
    clips = find_audio_files(options.clips)[: options.num_clips]
    if len(clips) < 2:
        raise ValueError(
            f"{options.clips} has {len(clips)} sound file(s): give two or more, the first one is not counted."
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    watches = [Stopwatch(path, options.device) for path in options.checkpoints]
    for clip in tqdm(clips, desc="captioning", unit="clip"):
        for watch in watches:
            watch.caption(clip, options.seconds)
    where = (
        torch.cuda.get_device_name() if options.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    )
    table = markdown_table(HEADING, [watch.cells() for watch in watches])
    publish(f"{table}\n{len(clips) - 1} clips of at most {options.seconds:g} s, {where}.\n", options.output)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders of captioners that search by beams")
    parser.add_argument("--clips", type=Path, required=True, help="folder of sound files, the first one to warm up")
    parser.add_argument("--num_clips", type=int, default=30, help="how many of them at most")
    parser.add_argument("--seconds", type=float, default=10.0, help="heard of each clip")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 takes torch's own number")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

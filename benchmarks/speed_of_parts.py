"""Times of parts for `benchmarks.speed`: batches of clips, the start of commands, and a training step of the decoder."""

import argparse
import importlib.util
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from configs.loading import load_config
from models.captioner import AudioCaptioner
from models.decoder.llama import LlamaDecoder
from models.decoder.projection import Projection

ROOT = Path(__file__).parents[1]
BATCH_SIZES = (1, 8, 32)
TOKENS = {"pad": 0, "bos": 1, "eos": 2}
WAYS = ("seed's", "ours", "ours, bf16")


def batch_rows(name: str, captioner: AudioCaptioner, clips: Sequence[NDArray[np.float32]]) -> list[list[str]]:
    """Milliseconds per clip and clips per second of a captioner in batches; each size captions all clips.

    Vectors of retrieved captions are forgotten before each size, so that all sizes compute them for new clips.
    """
    rows = []
    captioner.caption(clips[:2])
    for size in BATCH_SIZES:
        if captioner.search.store is not None:
            captioner.search.store.vector.cache_clear()
        wall, cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(clips), size):
            captioner.caption(clips[start : start + size])
        wall, cpu = (time.perf_counter() - wall) / len(clips), (time.process_time() - cpu) / len(clips)
        rows.append([f"`{name}`", str(size), f"{1000 * wall:.0f}", f"{1000 * cpu:.0f}", f"{1 / wall:.1f}"])
    return rows


def start_rows(sound: Path, repeats: int) -> list[list[str]]:
    """Seconds and processor time of whole commands, run in turn, and both as multiples of importing torch.

    The app is started without a display, until its captioner is loaded, if its libraries are installed.
    """
    commands = {
        'python -c "import torch"': ["-c", "import torch"],
        "inference.py FILE": ["inference.py", str(sound.resolve())],
        "evaluate.py --help": ["evaluate.py", "--help"],
        "train.py --help": ["train.py", "--help"],
    }
    if importlib.util.find_spec("PyQt6") is not None:
        commands["UI_Code.py"] = ["-m", "benchmarks.app_start"]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, arguments in commands.items():
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            found[name].append((time.perf_counter() - began, cpu))
    of_torch = next(iter(found.values()))
    rows = []
    for name, times in found.items():
        ratios = [
            median(own[kind] / reference[kind] for own, reference in zip(times, of_torch, strict=True))
            for kind in (0, 1)
        ]
        rows.append([f"`{name}`", *(f"{value:.2f}" for value in (*map(median, zip(*times, strict=True)), *ratios))])
    return rows


def training_rows(config: Path, device: str) -> list[list[str]]:
    """Processor time, seconds and memory of a decoder's training step; each implementation runs in a separate process."""
    rows = []
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.speed_of_parts", str(config), "--way", way, "--device", device]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ})
        wall, cpu, clips, peak = (float(value) for value in done.stdout.split())
        rows.append([way, f"{wall:.2f}", f"{cpu:.2f}", f"{clips / wall:.1f}", f"{peak:.2f}"])
    return rows


def training_step(config_path: Path, way: str, device: str) -> tuple[float, float, int, float]:
    """Time three training steps on random embeddings.

    Clips have 15 to 30 s and two captions of 8 to 24 tokens each, as in Clotho with mixup of both captions.

    Returns:
        Median seconds and processor seconds of a step, number of clips, and increase of the peak memory in gigabytes.
    """
    config = load_config(config_path)
    torch.manual_seed(0)
    clips, width = config.data.batch_size, 2048
    decoder = LlamaDecoder(config.captioner.decoder, config.captioner.tokenizer.vocab_size, TOKENS).to(device)
    projection = Projection(config.captioner.projection, width, decoder.width).to(device)
    lengths = torch.randint(47, 95, (clips,))
    embeddings = torch.randn(clips, int(lengths.max()), width)
    counts = torch.randint(8, 25, (2 * clips,))
    ids = torch.randint(3, decoder.vocab_size, (2 * clips, int(counts.max())))
    clip_index = torch.arange(2 * clips) // 2
    embeddings, lengths, ids, counts, clip_index = (
        part.to(device) for part in (embeddings, lengths, ids, counts, clip_index)
    )
    network = _seeds_network(decoder) if way == "seed's" else decoder
    network.train()
    optimizer = torch.optim.AdamW([*projection.parameters(), *network.parameters()], lr=1e-4)

    def step() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=way.endswith("bf16")):
            prefix, prefix_lengths = projection(embeddings, lengths)
            if way == "seed's":
                from benchmarks.reference import padded_loss

                loss = padded_loss(network, prefix, prefix_lengths, ids, counts, clip_index)
            else:
                logits = decoder(prefix, prefix_lengths, ids[:, :-1], clip_index, counts - 1).float()
                used = torch.arange(ids.shape[1] - 1, device=device) < counts[:, None] - 1
                loss = torch.nn.functional.cross_entropy(logits, ids[:, 1:][used], reduction="sum")
        (loss / counts.sum()).backward()
        optimizer.step()
        optimizer.zero_grad()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = [_timed(step) for _ in range(3)]
    wall, cpu = (median(values) for values in zip(*times, strict=True))
    if device.startswith("cuda"):
        return wall, cpu, clips, torch.cuda.max_memory_allocated() / 1e9
    return wall, cpu, clips, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9


def _seeds_network(decoder: LlamaDecoder) -> torch.nn.Module:
    from benchmarks.reference import as_transformers

    network: torch.nn.Module = as_transformers(decoder.llama)
    return network


def _timed(step: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time one implementation of a training step, for benchmarks.speed.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--way", choices=WAYS, required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(*training_step(options.config, options.way, options.device))

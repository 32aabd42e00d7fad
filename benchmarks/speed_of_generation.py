"""Time of each generated token of a decoder of the seed's size, compared with limits of the machine, for `benchmarks.speed`.

The limit of a token is the time to read the matrices that it needs once, as numbers of two bytes: a token of one caption reads
every weight for one multiplication. The seed's way computes all tokens again for each new one. Repeats of all ways alternate, so
that other load of the machine affects all of them; figures are medians, and ratios medians of the repeats' ratios.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

from configs.schema import DecoderConfig
from generation.engine import SearchSettings
from models.decoder.llama import LlamaDecoder

SEED_SIZE = DecoderConfig(num_layers=12, num_heads=12, width=768, intermediate_width=2048, tie_embeddings=False)
VOCAB_SIZE = 30522  # of bert-base-uncased, the seed's tokenizer
TOKEN_IDS = {"pad": 0, "bos": 101, "eos": 102}
BATCH_SIZES = (1, 8, 32)
BEAMS = (1, 4)
MOST_RECOMPUTED = 8  # clips at once in the seed's way: 32 take a minute for each repeat
READ_BYTES = 2**28  # larger than the caches
PRODUCT_WIDTH = 1024
HEADING = ("clips", "way", "first token, ms", "each further token, ms", "clips x tokens per second", "further token / limit",
           "further token / greedy")  # fmt: skip


@dataclass(frozen=True)
class Way:
    """Measured times of one way of generating captions.

    Attributes:
        clips: number of clips at once.
        name: the way.
        first_ms: milliseconds of the prefix and the first token.
        further_ms: milliseconds of each further token.
        of_limit: time of a further token as a multiple of the limit.
        of_greedy: the same as a multiple of greedy decoding of as many clips.
    """

    clips: int
    name: str
    first_ms: float
    further_ms: float
    of_limit: float
    of_greedy: float

    def cells(self) -> list[str]:
        """A row of the table."""
        rate = f"{1000 * self.clips / self.further_ms:.0f}"
        numbers = [f"{value:.2f}" for value in (self.of_limit, self.of_greedy)]
        return [str(self.clips), self.name, f"{self.first_ms:.1f}", f"{self.further_ms:.1f}", rate, *numbers]


def measure_generation(device: str, tokens: int, repeats: int) -> tuple[list[Way], str]:
    """Times of the seed's way, greedy decoding and beam search in batches, and a sentence with the limits.

    Args:
        device: torch device.
        tokens: tokens of each caption, at least 2.
        repeats: number of repeats.
    """
    torch.manual_seed(0)
    decoder = LlamaDecoder(SEED_SIZE, VOCAB_SIZE, TOKEN_IDS).to(device).eval()
    decoder.rounds_weights = True
    matrices = sum(
        parameter.numel() for name, parameter in decoder.named_parameters() if not name.endswith("embed_tokens.weight")
    )
    memory, square = (
        torch.randn(READ_BYTES // 4, device=device),
        torch.randn(PRODUCT_WIDTH, PRODUCT_WIDTH, device=device),
    )
    read, product = partial(torch.sum, memory), partial(torch.mm, square, square)
    searches = {}
    for clips in BATCH_SIZES:
        prefix, lengths = (
            torch.randn(clips, 1, decoder.width, device=device),
            torch.ones(clips, dtype=torch.long, device=device),
        )
        if clips <= MOST_RECOMPUTED:
            searches[clips, "seed's"] = partial(recompute, decoder, *decoder.begin(prefix, lengths))
        for beams in BEAMS:
            name = f"{beams} beams" if beams > 1 else "greedy"
            searches[clips, name] = partial(_search, decoder, prefix, lengths, beams)
    measured: dict[tuple[int, str], list[tuple[float, float]]] = {key: [] for key in searches}
    reads, products = [], []
    with torch.no_grad():
        for _ in tqdm(range(repeats), desc="generating", unit="repeat"):
            products.append(_timed(product, device))
            reads.append(_timed(read, device))
            for key, search in searches.items():
                first, whole = (_timed(partial(search, count), device) for count in (1, tokens))
                measured[key].append((first, (whole - first) / (tokens - 1)))
    limits = [2 * matrices * seconds / READ_BYTES for seconds in reads]
    further = {key: [pair[1] for pair in pairs] for key, pairs in measured.items()}
    ways = [
        Way(
            clips,
            name,
            1000 * median(pair[0] for pair in measured[clips, name]),
            1000 * median(further[clips, name]),
            median(own / limit for own, limit in zip(further[clips, name], limits, strict=True)),
            median(own / greedy for own, greedy in zip(further[clips, name], further[clips, "greedy"], strict=True)),
        )
        for clips, name in searches
    ]
    sentence = (
        f"{sum(parameter.numel() for parameter in decoder.parameters()) / 1e6:.0f} million parameters, of which a token reads "
        f"{matrices / 1e6:.0f} million; {tokens} tokens, medians of {repeats} repeats. Limits measured between them: memory "
        f"reads {READ_BYTES / median(reads) / 1e9:.1f} GB/s, so {1000 * median(limits):.1f} ms a token with two bytes for each "
        f"weight; matrix products in float32 {2 * PRODUCT_WIDTH**3 / median(products) / 1e9:.0f} GFLOP/s.\n"
    )
    return ways, sentence


@torch.no_grad()
def recompute(decoder: LlamaDecoder, embeddings: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """Greedy decoding that computes all positions and their logits again for each token, as the seed does.

    Args:
        decoder: the decoder; captions do not end.
        embeddings: (B, T, D) of prefix and begin token.
        mask: (B, T) int64; all ones, since the seed has one prefix token for each clip.
        tokens: number of tokens L.

    Returns:
        Token ids (B, L) int64.
    """
    lengths = mask.sum(dim=1) - 1
    ids = torch.full((len(mask), 1), decoder.token_ids["bos"], device=mask.device)
    for _ in range(tokens):
        scores = decoder(embeddings[:, :-1], lengths, ids)[:, -1]  # (B, V), of all (B, L, V)
        scores[:, decoder.token_ids["eos"]] = -torch.inf
        ids = torch.cat([ids, scores.argmax(dim=1, keepdim=True)], dim=1)
    return ids[:, 1:]


def draw(ways: list[Way], path: Path) -> None:
    """Write a bar chart of the milliseconds for each further token, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure, axes = pyplot.subplots(figsize=(7.0, 3.6))
    names = list(dict.fromkeys(way.name for way in ways))
    sizes = list(dict.fromkeys(way.clips for way in ways))
    for number, name in enumerate(names):
        own = {way.clips: way.further_ms for way in ways if way.name == name}
        places = [place + 0.8 * (number + 0.5) / len(names) - 0.4 for place, size in enumerate(sizes) if size in own]
        bars = axes.bar(places, list(own.values()), 0.75 / len(names), label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    limit_ms = ways[0].further_ms / ways[0].of_limit
    axes.axhline(limit_ms, color="black", linestyle="--", linewidth=1, label="limit by memory reads")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(sizes)), [f"{size} clip{'s' * (size > 1)} at once" for size in sizes])
    axes.set_ylabel("ms for each further token")
    axes.legend(fontsize=8, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _search(decoder: LlamaDecoder, prefix: Tensor, lengths: Tensor, beams: int, tokens: int) -> Tensor:
    settings = SearchSettings(max_new_tokens=tokens, min_new_tokens=tokens, num_beams=beams)
    return decoder.generate(prefix, lengths, settings)[0]


def _timed(function: Callable[[], object], device: str) -> float:
    """Seconds of a function; on a CPU, processor time of each thread, which hardly depends on other load."""
    if not device.startswith("cuda"):
        started = time.process_time()
        function()
        return (time.process_time() - started) / torch.get_num_threads()
    torch.cuda.synchronize()
    started = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - started

r"""Weighted mean of captioners that were fine-tuned from one another or from the same checkpoint.

    python -m tools.average_checkpoints runs/mean runs/first/mobilenet_llama/best runs/second/mobilenet_llama/last \
        --weights 0.4 0.6

The mean of fine-tuned weights and their starting point is often better than each of them (Wortsman et al., Model soups, arXiv
2203.05482) and forgets less (Robust fine-tuning, arXiv 2109.01903). Weights of trainings with different initial weights cannot be
averaged.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from configs.commands import command_parser, run_command
from configs.errors import CheckpointError
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)


def average(sources: Sequence[Path], weights: Sequence[float], target: Path) -> None:
    """Write the weighted mean of `sources` to `target`; settings and tensors of other dtypes are those of the first.

    Raises:
        CheckpointError: a checkpoint is missing, there are fewer than two, weights are missing or not positive, or networks or
            tokenizers differ.
    """
    if len(sources) < 2 or len(weights) != len(sources) or min(weights) <= 0:
        raise CheckpointError(
            f"{len(sources)} checkpoint(s) and {len(weights)} weight(s) {list(weights)}: give two checkpoints or more, and a "
            "positive weight for each."
        )
    shares = [weight / sum(weights) for weight in weights]
    captioner = AudioCaptioner.from_pretrained(sources[0])
    first = captioner.owned_state()
    mean = {name: shares[0] * tensor for name, tensor in first.items() if tensor.is_floating_point()}
    for source, share in zip(sources[1:], shares[1:], strict=True):
        other = AudioCaptioner.from_pretrained(source)
        state = other.owned_state()
        if _shapes(state) != _shapes(first) or other.tokenizer.to_str() != captioner.tokenizer.to_str():
            raise CheckpointError(
                f"{source} has another network or tokenizer than {sources[0]}: average captioners with a common starting point."
            )
        for name in mean:
            mean[name] += share * state[name]
    members = [{"checkpoint": str(source), "weight": share} for source, share in zip(sources, shares, strict=True)]
    kept = {name: captioner.metadata[name] for name in ("data",) if name in captioner.metadata}
    captioner.metadata = kept  # metrics and calibration of the first do not apply to the mean
    captioner.save_pretrained(target, {"mean_of": members}, {**first, **mean})


def _shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m tools.average_checkpoints", __doc__)
    parser.add_argument("target", type=Path, help="checkpoint folder to write")
    parser.add_argument("sources", type=Path, nargs="+", help="two or more checkpoint folders")
    parser.add_argument("--weights", type=float, nargs="+", help="weights of the checkpoints, above 0 (default: equal)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Average; returns the exit status."""
    average(options.sources, options.weights or [1.0] * len(options.sources), options.target)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

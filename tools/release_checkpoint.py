"""Copy a checkpoint to ship it: the decoder in half precision, nothing that only training needs.

    python -m tools.release_checkpoint checkpoints/any_sound/mobilenet_llama/best checkpoints/any_sound --licence "CC \
        BY-NC 4.0 ..."

The encoder stays in single precision: its running variances and first layers are sensitive, and it is small.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from configs.commands import run_command
from models.captioner import AudioCaptioner
from models.errors import CheckpointError

logger = logging.getLogger(__name__)


def release(source: Path, target: Path, licence: str) -> None:
    """Write `target` from the checkpoint `source`.

    Raises:
        CheckpointError: no checkpoint there, or one whose encoder is only named, so that it cannot be shipped.
    """
    captioner = AudioCaptioner.from_pretrained(source)
    if captioner.encoder_is_published:
        raise CheckpointError(
            f"{source} only names its encoder's published file: a captioner that ships holds its own."
        )
    state = {
        name: tensor.half() if tensor.is_floating_point() and not name.startswith("encoder.") else tensor
        for name, tensor in captioner.owned_state().items()
    }
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    if not finite:
        raise CheckpointError(f"{source} has values that half precision cannot hold: ship it as it is.")
    captioner.save_pretrained(target, {"licence": licence}, state)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--licence", required=True, help="what the metadata says of the weights' terms")
    return parser


def run(options: argparse.Namespace) -> int:
    """Release; returns the exit status."""
    release(options.source, options.target, options.licence)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

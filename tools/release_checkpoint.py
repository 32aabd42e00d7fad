r"""Copy a checkpoint for release: with the decoder in half precision, without the training state.

    python -m tools.release_checkpoint checkpoints/any_sound/mobilenet_llama/best checkpoints/any_sound --licence "CC \
        BY-NC 4.0 ..."

The encoder stays in float32: its running variances and first layers are sensitive, and it is small.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from configs.commands import command_parser, run_command
from configs.errors import CheckpointError
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)


def release(source: Path, target: Path, licence: str) -> None:
    """Write the released checkpoint `target` from the checkpoint `source`.

    Args:
        source: checkpoint folder to read.
        target: checkpoint folder to write.
        licence: terms of the weights, stored in the metadata.

    Raises:
        CheckpointError: the checkpoint is missing, does not contain its encoder, or has values beyond half precision.
    """
    captioner = AudioCaptioner.from_pretrained(source)
    if captioner.encoder_is_published:
        raise CheckpointError(
            f"{source} does not contain its encoder's weights: release a checkpoint with a trained encoder."
        )
    state = {
        name: tensor.half() if tensor.is_floating_point() and not name.startswith("encoder.") else tensor
        for name, tensor in captioner.owned_state().items()
    }
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    if not finite:
        raise CheckpointError(f"{source} has values beyond the range of half precision: release it unchanged.")
    captioner.save_pretrained(target, {"licence": licence}, state)


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m tools.release_checkpoint", __doc__)
    parser.add_argument("source", type=Path, help="checkpoint folder to read")
    parser.add_argument("target", type=Path, help="checkpoint folder to write")
    parser.add_argument("--licence", required=True, help="terms of the weights, stored in the metadata")
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

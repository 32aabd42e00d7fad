"""Copy a checkpoint to ship it: the decoder in half precision, nothing that only training needs.

    python -m models.release checkpoints/any_sound/mobilenet_llama/best checkpoints/any_sound --licence "CC BY-NC 4.0 ..."

The encoder stays in single precision: its running variances and first layers are sensitive, and it is small.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.captioner import AudioCaptioner
from models.errors import CheckpointError

logger = logging.getLogger(__name__)


def release(source: Path, target: Path, licence: str) -> None:
    """Write `target` from the checkpoint `source`.

    Raises:
        CheckpointError: no checkpoint there, or one whose encoder is only named, so that it cannot be shipped.
    """
    captioner = AudioCaptioner.from_pretrained(source)
    if captioner.encoder_is_borrowed:
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


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--licence", required=True, help="what the metadata says of the weights' terms")
    options = parser.parse_args(arguments)
    try:
        release(options.source, options.target, options.licence)
    except CheckpointError as error:
        logger.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Export a captioner for ONNX Runtime, which captions without torch and transformers.

    python export.py checkpoints/any_sound --output any_sound.onnx
    python inference.py rain.wav --engine onnx --ckpt_path any_sound.onnx

The folder has the networks (encoder, prefix, decoder), tokenizer, caption store and settings. Captioners with the encoder
mobilenet and a decoder trained here can be exported.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.checkpoint_files import DECODER_NETWORK
from configs.commands import command_parser, run_command

logger = logging.getLogger("export")


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser("python export.py", __doc__)
    parser.add_argument("ckpt_path", help="checkpoint folder or Hub id")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    parser.add_argument("--encoder_weights", help="file with the encoder's published weights")
    return parser


def run(options: argparse.Namespace) -> int:
    """Export the captioner of the options; return the exit status."""
    if options.output.exists() and not is_exported(options.output):
        raise ValueError(f"--output {options.output} exists and is not an exported captioner: choose another folder.")
    from models.captioner import AudioCaptioner  # slow to import
    from models.checkpoints.onnx_files import export

    export(AudioCaptioner.from_pretrained(options.ckpt_path, "cpu", options.encoder_weights), options.output)
    logger.info("wrote %s", options.output)
    return 0


def is_exported(folder: Path) -> bool:
    """Return whether a folder is an exported captioner, which may be replaced."""
    return (folder / DECODER_NETWORK).is_file()


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

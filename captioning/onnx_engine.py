"""`inference.py --engine onnx`: an exported captioner on ONNX Runtime, without torch."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.captioner import OnnxCaptioner


def check_onnx(options: argparse.Namespace) -> None:
    """Raise an error for options that an exported captioner does not support.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if options.engine != "onnx":
        return
    if options.device not in ("auto", "cpu"):
        raise ValueError(f"--engine onnx runs on the CPU, found --device {options.device}: use --engine local.")
    if options.tagger != "own" or options.encoder_weights:
        raise ValueError(
            "--tagger and --encoder_weights need torch: use --engine local, or export with --encoder_weights."
        )
    if options.rerank:
        raise ValueError("--rerank compares captions with CLAP, which needs torch: use --engine local.")
    if options.method == "sample":
        raise ValueError(
            "--engine onnx has beam search and greedy decoding, found --method sample: use --engine local."
        )


def load_onnx(options: argparse.Namespace) -> "OnnxCaptioner":
    """Load the exported captioner given on the command line.

    Raises:
        ValueError: an option is not supported.
        CheckpointError: the folder is no exported captioner, or damaged.
    """
    check_onnx(options)
    from runtime.captioner import OnnxCaptioner

    return OnnxCaptioner(options.ckpt_path, getattr(options, "num_threads", 0))

"""Options of `inference.py --engine` and of its cluster."""

import argparse

from captioning.cluster.object_storage import is_url

_FORMATS = ("jsonl", "parquet")


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the engine and its cluster."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "--engine",
        choices=("local", "ray", "onnx"),
        default="local",
        help="local (default): this machine; ray: a Ray cluster; onnx: this machine, an exported captioner without torch",
    )
    group.add_argument(
        "--ray_address", metavar="HOST:PORT", help="address of a Ray cluster, or auto (default: this machine)"
    )
    group.add_argument(
        "--stall_s",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="stop a cluster run after this time without progress",
    )


def check_cluster(options: argparse.Namespace) -> None:
    """Raise an error for options that the cluster engine does not support.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if options.engine != "ray":
        if urls := [name for name in options.inputs if is_url(name)]:
            raise ValueError(f"{urls[0]} is on object storage, which needs --engine ray (`bash env.sh --scale`).")
        return
    if options.output is None:
        raise ValueError("--engine ray writes to a folder: give --output.")
    if options.output.exists() and not options.output.is_dir():
        raise ValueError(f"--output {options.output} is a file: --engine ray writes to a folder.")
    if wrong := [name for name in options.formats if name not in _FORMATS]:
        raise ValueError(f"--engine ray writes --format jsonl or parquet, found {', '.join(wrong)}.")
    if options.per_recording or options.rerank or options.split:
        raise ValueError("--per_recording, --rerank and --split need --engine local.")
    if not options.stall_s > 0:
        raise ValueError(f"--stall_s takes seconds above 0, found {options.stall_s:g}.")

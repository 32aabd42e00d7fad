"""Options of `inference.py --engine` and of its cluster."""

import argparse
import re

from captioning.cluster.object_storage import check_folder_url, is_url


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
    group.add_argument(
        "--copy_to",
        metavar="URL",
        help="copy the output folder to object storage, such as s3://bucket/captions, at the end",
    )


def check_cluster(options: argparse.Namespace) -> None:
    """Raise an error for options that the cluster engine does not support.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", str(options.output)):  # a path has one slash of a URL
        raise ValueError(
            f"--output {options.output} is on object storage: name a path of this machine, and with --engine ray --copy_to."
        )
    if options.engine != "ray":
        if urls := [name for name in options.inputs if is_url(name)]:
            raise ValueError(f"{urls[0]} is on object storage, which needs --engine ray (`bash env.sh --scale`).")
        if options.copy_to:
            raise ValueError("--copy_to needs --engine ray (`bash env.sh --scale`).")
        return
    if options.output is None:
        raise ValueError("--engine ray writes to a folder: give --output.")
    if options.output.exists() and not options.output.is_dir():
        raise ValueError(f"--output {options.output} is a file: --engine ray writes to a folder.")
    if options.rerank:
        raise ValueError("--rerank reads each recording a second time, which only --engine local does.")
    if options.copy_to:
        check_folder_url(options.copy_to)
    if not options.stall_s > 0:
        raise ValueError(f"--stall_s takes seconds above 0, found {options.stall_s:g}.")

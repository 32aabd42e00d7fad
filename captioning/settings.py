"""What decides about captions, so that those of one manifest fit together."""

import argparse
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from captioning.options import choose_decoding
from configs.schema import Config, DecodingConfig


def checkpoint_path(ckpt_path: str) -> Path:
    """The checkpoint folder, or file, that a path names: of a run the best one."""
    folder = Path(ckpt_path)
    return folder / "best" if not (folder / "metadata.json").exists() and (folder / "best").is_dir() else folder


def caption_settings(options: argparse.Namespace, config: Config | None) -> dict[str, Any]:
    """All that decides about captions, as JSON values.

    A checkpoint folder is told by its list of checksums, a file by its own checksum, and a hub id by its name. Device, batch
    size and the number of processes change captions only by rounding; they are not among these.

    Args:
        options: the command line's.
        config: the checkpoint's, where it is known.
    """
    if config:
        decoding = choose_decoding(config.decoding, options, config.captioner.styles)
    else:
        decoding = choose_decoding(DecodingConfig(), options)
    given = {
        name: str(value)
        for name in ("encoder_weights", "tagger", "rerank", "clap_weights", "candidates")
        if (value := getattr(options, name)) is not None and (options.rerank or not name.startswith(("clap", "cand")))
    }
    return {
        "checkpoint": Path(options.ckpt_path).name,
        "checkpoint_sha256": checkpoint_sha256(options.ckpt_path),
        "decoding": dataclasses.asdict(decoding),
        "timeline_s": options.timeline,
        "track": options.track,
        **given,
    }


def checkpoint_sha256(ckpt_path: str) -> str:
    """First digits of a checkpoint's checksum, as `caption_settings` has it; empty for a hub id."""
    path = checkpoint_path(ckpt_path)
    file = path / "metadata.json" if path.is_dir() else path
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]

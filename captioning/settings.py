"""The settings that determine captions, so that all captions of a manifest are consistent."""

import argparse
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from captioning.options import choose_decoding
from configs.schema import Config, DecodingConfig


def checkpoint_path(ckpt_path: str) -> Path:
    """Return the checkpoint folder or file of a path; for the folder of a run, its best checkpoint."""
    folder = Path(ckpt_path)
    return folder / "best" if not (folder / "metadata.json").exists() and (folder / "best").is_dir() else folder


def caption_settings(options: argparse.Namespace, config: Config | None) -> dict[str, Any]:
    """Return all settings that determine captions, as JSON values.

    A checkpoint folder is identified by its list of checksums, a file by its checksum, and a Hub id by its name. Device, batch
    size and number of processes change captions only by rounding and are not included.

    Args:
        options: options of the command line.
        config: configuration of the checkpoint, if known.
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
    """Return the first digits of a checkpoint's checksum, as in `caption_settings`; empty for a Hub id."""
    path = checkpoint_path(ckpt_path)
    file = path / "metadata.json" if path.is_dir() else path
    if not file.is_file():
        return ""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]

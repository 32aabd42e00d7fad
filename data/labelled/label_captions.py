"""Short template captions and AudioSet classes of labels, from `sound_phrases.yaml` and `label_captions.yaml`."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data.labelled.caption_templates import phrases, plainest_clause, short_template
from vocabulary.audioset import named_tags, tag_ids
from vocabulary.words import fold_words


@cache
def _entries() -> tuple[tuple[re.Pattern[str], dict[str, Any]], ...]:
    text = Path(__file__).with_name("label_captions.yaml").read_text(encoding="utf-8")
    return tuple((re.compile(entry["labels"]), entry) for entry in yaml.safe_load(text))


@cache
def _entry(label: str) -> dict[str, Any] | None:
    """Return the entry of a label: a similar sound of `sound_phrases.yaml`, or captions and tags; None if there is none."""
    if label in phrases():
        return {"like": label}
    text = fold_words(label)
    return next((entry for pattern, entry in _entries() if pattern.fullmatch(text)), None)


def label_tags(label: str) -> tuple[int, ...]:
    """Return the AudioSet classes of a label, 0 to 526, the main one first; empty for a label without an entry."""
    entry = _entry(label)
    if entry is None:
        return ()
    if "like" in entry:
        return tuple(tag_ids()[name] for name in phrases()[entry["like"]]["tags"])
    return named_tags(entry["tags"])


def like_sound(label: str) -> str:
    """Return the category of `sound_phrases.yaml` that is equal or similar to a label; empty if there is none."""
    return str((_entry(label) or {}).get("like", ""))


def has_captions(label: str) -> bool:
    """Return whether a label has an entry."""
    return _entry(label) is not None


def caption_label(label: str, generator: np.random.Generator, plainest: bool = False) -> str:
    """Return a short template caption, in lower case, that only names the sound of a label.

    Args:
        label: label for which `has_captions` returns True.
        generator: random generator.
        plainest: whether to use the first phrases of a category of `sound_phrases.yaml` instead of random ones.
    """
    entry = _entry(label)
    if entry is None:
        raise ValueError(f"no captions for {label!r}: neither sound_phrases.yaml nor label_captions.yaml has it.")
    if "like" in entry:
        like: str = entry["like"]
        return plainest_clause(like, generator) if plainest else short_template([like], "", generator)
    captions: list[str] = entry["captions"]
    return captions[int(generator.integers(len(captions)))]

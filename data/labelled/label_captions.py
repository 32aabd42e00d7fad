"""Short template captions and classes of labels: `sound_phrases.yaml` and `label_captions.yaml`."""

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
    """The tables' entry of a label: the similar sound of `sound_phrases.yaml`, or captions and tags."""
    if label in phrases():
        return {"like": label}
    text = fold_words(label)
    return next((entry for pattern, entry in _entries() if pattern.fullmatch(text)), None)


def label_tags(label: str) -> tuple[int, ...]:
    """AudioSet classes of a label, 0 to 526, by the tables, the main one first; empty for other labels."""
    entry = _entry(label)
    if entry is None:
        return ()
    if "like" in entry:
        return tuple(tag_ids()[name] for name in phrases()[entry["like"]]["tags"])
    return named_tags(entry["tags"])


def like_sound(label: str) -> str:
    """The sound of `sound_phrases.yaml` that a label names or is similar to; empty for other labels."""
    return str((_entry(label) or {}).get("like", ""))


def has_captions(label: str) -> bool:
    """Whether the tables have a label."""
    return _entry(label) is not None


def caption_label(label: str, generator: np.random.Generator, plainest: bool = False) -> str:
    """A short template caption of a label, in lower case, which names the label's sound and nothing else.

    Args:
        label: one that `has_captions`.
        generator: draws the words.
        plainest: take the first words for a sound of `sound_phrases.yaml`.
    """
    entry = _entry(label)
    if entry is None:
        raise ValueError(f"no captions for {label!r}: neither sound_phrases.yaml nor label_captions.yaml has it.")
    if "like" in entry:
        like: str = entry["like"]
        return plainest_clause(like, generator) if plainest else short_template([like], "", generator)
    captions: list[str] = entry["captions"]
    return captions[int(generator.integers(len(captions)))]

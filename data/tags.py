"""AudioSet's tags, and the ones that a clip's labels stand for."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from data.sound_captions import phrases


@cache
def tag_names() -> tuple[str, ...]:
    """Display names of AudioSet's 527 classes in the order of PANNs' and EfficientAT's outputs.

    Source: Gemmeke et al., "Audio Set", ICASSP 2017; `class_labels_indices.csv` (CC BY 4.0).
    """
    return tuple(Path(__file__).with_name("audioset_tags.txt").read_text(encoding="utf-8").splitlines())


@cache
def tag_ids() -> dict[str, int]:
    """Number of each tag, 0 to 526, by name."""
    return {name: number for number, name in enumerate(tag_names())}


def tags_of(labels: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the tags that labels stand for, ascending.

    Args:
        labels: names of AudioSet classes, or of sounds in `sound_phrases.yaml`; others stand for none.
    """
    found: set[int] = set()
    for label in labels:
        names = [label] if label in tag_ids() else phrases().get(label, {}).get("tags", [])
        found.update(tag_ids()[name] for name in names)
    return tuple(sorted(found))

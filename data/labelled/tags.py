"""AudioSet classes (tags) of labels."""

from collections.abc import Sequence

from data.labelled.caption_templates import phrases
from data.labelled.label_captions import label_tags
from vocabulary.audioset import tag_ids
from vocabulary.words import classes_of


def tags_of(labels: Sequence[str]) -> tuple[int, ...]:
    """Return the tags of labels, 0 to 526, in ascending order.

    Args:
        labels: names of AudioSet classes or of categories in `sound_phrases.yaml`; other labels are ignored.
    """
    found: set[int] = set()
    for label in labels:
        names = [label] if label in tag_ids() else phrases().get(label, {}).get("tags", [])
        found.update(tag_ids()[name] for name in names)
    return tuple(sorted(found))


def tags_of_any(label: str) -> tuple[int, ...]:
    """Return the tags of a label of any collection, 0 to 526, the main one first; empty for an unknown label.

    The first available source is used: the AudioSet class of the same name, the tags in `label_captions.yaml`, or the first class
    that the words of the label name.
    """
    if label in tag_ids():
        return (tag_ids()[label],)
    return label_tags(label) or classes_of(label)[:1]

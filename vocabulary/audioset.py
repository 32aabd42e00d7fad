"""AudioSet's 527 classes, which PANNs' and EfficientAT's taggers predict."""

from functools import cache
from pathlib import Path

# Classes of recording conditions, and classes so general that captions need not name them.
WIDE = (
    "Inside, small room", "Inside, large room or hall", "Inside, public space", "Outside, urban or manmade",
    "Outside, rural or natural", "Environmental noise", "Silence", "Noise", "Sound effect", "Animal",
    "Domestic animals, pets", "Livestock, farm animals, working animals", "Wild animals", "Vehicle",
    "Motor vehicle (road)", "Rail transport", "Musical instrument", "Mechanisms", "Tools", "Reverberation", "Echo",
    "Static", "Wood", "Liquid", "Hands",
)  # fmt: skip


@cache
def tag_names() -> tuple[str, ...]:
    """Display names of the classes in the order of tagger outputs.

    Source: Gemmeke et al., "Audio Set", ICASSP 2017; `class_labels_indices.csv` (CC BY 4.0).
    """
    return tuple(Path(__file__).with_name("audioset_tags.txt").read_text(encoding="utf-8").splitlines())


@cache
def tag_ids() -> dict[str, int]:
    """Class indices, 0 to 526, by name."""
    return {name: number for number, name in enumerate(tag_names())}


def named_tags(names: str) -> tuple[int, ...]:
    """Class indices from names separated by ";", in the same order."""
    return tuple(tag_ids()[name.strip()] for name in names.split(";"))


@cache
def speech_tags() -> frozenset[int]:
    """Indices of the classes of speech."""
    others = ("Conversation", "Narration, monologue")
    return frozenset(number for name, number in tag_ids().items() if "speech" in name.lower() or name in others)


@cache
def wide_tags() -> frozenset[int]:
    """Indices of the classes in WIDE."""
    return frozenset(tag_ids()[name] for name in WIDE)

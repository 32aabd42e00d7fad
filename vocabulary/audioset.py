"""AudioSet's 527 classes, which PANNs' and EfficientAT's taggers know."""

from functools import cache
from pathlib import Path

# Classes that say where or how a sound was recorded, or that are so wide that a sentence need not name them.
WIDE = (
    "Inside, small room", "Inside, large room or hall", "Inside, public space", "Outside, urban or manmade",
    "Outside, rural or natural", "Environmental noise", "Silence", "Noise", "Sound effect", "Animal",
    "Domestic animals, pets", "Livestock, farm animals, working animals", "Wild animals", "Vehicle",
    "Motor vehicle (road)", "Rail transport", "Musical instrument", "Mechanisms", "Tools", "Reverberation", "Echo",
    "Static", "Wood", "Liquid", "Hands",
)  # fmt: skip


@cache
def tag_names() -> tuple[str, ...]:
    """Display names of the classes in the order of the taggers' outputs.

    Source: Gemmeke et al., "Audio Set", ICASSP 2017; `class_labels_indices.csv` (CC BY 4.0).
    """
    return tuple(Path(__file__).with_name("audioset_tags.txt").read_text(encoding="utf-8").splitlines())


@cache
def tag_ids() -> dict[str, int]:
    """Number of each class, 0 to 526, by name."""
    return {name: number for number, name in enumerate(tag_names())}


def named_tags(names: str) -> tuple[int, ...]:
    """Numbers of classes in their order, from names with ";" between them, as the tables write them."""
    return tuple(tag_ids()[name.strip()] for name in names.split(";"))


@cache
def speech_tags() -> frozenset[int]:
    """Numbers of the classes that are kinds of speech."""
    others = ("Conversation", "Narration, monologue")
    return frozenset(number for name, number in tag_ids().items() if "speech" in name.lower() or name in others)


@cache
def wide_tags() -> frozenset[int]:
    """Numbers of the classes in WIDE."""
    return frozenset(tag_ids()[name] for name in WIDE)

"""The metrics: their titles, explanations and dependencies."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A metric of captions.

    Attributes:
        title: name in tables.
        meaning: explanation in one sentence.
        top: maximum value; None if unbounded.
        better: 1 if higher is better, -1 if lower is better, 0 if neither.
        needs: keys of the metrics that it is computed from.
        shared_words: whether it compares words and needs only Java.
    """

    title: str
    meaning: str
    top: float | None = 1.0
    better: int = 1
    needs: tuple[str, ...] = ()
    shared_words: bool = False


MEASURES: dict[str, Measure] = {
    "bleu_1": Measure("BLEU-1", "Share of the caption's words that also occur in a reference.", shared_words=True),
    "bleu_2": Measure("BLEU-2", "The same for sequences of one and two words.", shared_words=True),
    "bleu_3": Measure("BLEU-3", "The same for sequences of up to three words.", shared_words=True),
    "bleu_4": Measure("BLEU-4", "The same for sequences of up to four words.", shared_words=True),
    "rouge_l": Measure("ROUGE-L", "Longest common subsequence of words with a reference.", shared_words=True),
    "meteor": Measure(
        "METEOR",
        "Words matched by form, stem, synonym or paraphrase, with a penalty for their order.",
        shared_words=True,
    ),
    "cider_d": Measure(
        "CIDEr-D", "Phrases shared with the references, weighted by their rarity.", top=10.0, shared_words=True
    ),
    "spice": Measure("SPICE", "Objects, attributes and relations shared with the references."),
    "spider": Measure(
        "SPIDEr", "Mean of CIDEr-D and SPICE, the usual main metric of audio captioning.", 5.5, 1, ("cider_d", "spice")
    ),
    "fer": Measure("Fluency error rate", "Share of captions in which a model detects a fluency error.", 1.0, -1),
    "spider_fl": Measure(
        "SPIDEr-FL",
        "SPIDEr, reduced to a tenth for captions with a fluency error.",
        5.5,
        1,
        ("spider", "cider_d", "spice", "fer"),
    ),
    "sbert_sim": Measure("Sentence similarity", "Similarity of meaning to the references, by a sentence model."),
    "fense": Measure(
        "FENSE",
        "Sentence similarity by its own model, reduced to a tenth for captions with a fluency error.",
        1.0,
        1,
        ("sbert_sim", "fer"),
    ),
    "invented": Measure("Invented sounds", "Share of captions that name a sound which no reference names.", 1.0, -1),
    "wrong_speakers": Measure(
        "Wrong speakers",
        "Share of captions that name a man, woman or child speaking where references name others.",
        1.0,
        -1,
    ),
    "vocabulary": Measure("Vocabulary", "Number of different words in all captions.", None, 0),
    "words": Measure("Words per caption", "Mean number of words per caption.", None, 0),
}

COUNTED = ("invented", "wrong_speakers", "vocabulary", "words")

# Names of groups that --metrics accepts besides the keys.
GROUPS: dict[str, tuple[str, ...]] = {
    "bleu": ("bleu_1", "bleu_2", "bleu_3", "bleu_4"),
    "offline": (*(key for key, measure in MEASURES.items() if measure.shared_words), *COUNTED),
    "all": tuple(MEASURES),
}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Keys of metrics, in the order of MEASURES, from keys and group names.

    Raises:
        ValueError: a name is unknown.
    """
    keys: set[str] = set()
    for name in names:
        if name not in MEASURES and name not in GROUPS:
            raise ValueError(f"unknown metric {name!r}: choose from {', '.join([*GROUPS, *MEASURES])}.")
        keys |= set(GROUPS.get(name, (name,)))
    return tuple(key for key in MEASURES if key in keys)


def needed(keys: Iterable[str]) -> set[str]:
    """The keys and those of the metrics that they are computed from."""
    return {part for key in keys for part in (key, *MEASURES[key].needs)}

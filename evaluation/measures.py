"""The measures: what they are called, what they say to a newcomer, which of them need which."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A measure of captions.

    Attributes:
        title: its name in tables.
        meaning: what it measures, in one sentence.
        top: largest value it can have; None without one.
        better: 1 where more is better, -1 where less is, 0 where neither is.
        needs: keys of the measures that it is made of.
        shared_words: whether it is one of the five that need no more than Java.
    """

    title: str
    meaning: str
    top: float | None = 1.0
    better: int = 1
    needs: tuple[str, ...] = ()
    shared_words: bool = False


MEASURES: dict[str, Measure] = {
    "bleu_1": Measure("BLEU-1", "Share of its words that a reference has too.", shared_words=True),
    "bleu_2": Measure("BLEU-2", "The same for words and pairs of words.", shared_words=True),
    "bleu_3": Measure("BLEU-3", "The same up to three words in a row.", shared_words=True),
    "bleu_4": Measure("BLEU-4", "The same up to four words in a row.", shared_words=True),
    "rouge_l": Measure("ROUGE-L", "Longest run of words, gaps allowed, shared with a reference.", shared_words=True),
    "meteor": Measure(
        "METEOR", "Words matched by form, stem, synonym or paraphrase, and their order.", shared_words=True
    ),
    "cider_d": Measure(
        "CIDEr-D", "Phrases shared with the references, rare ones counting more.", top=10.0, shared_words=True
    ),
    "spice": Measure("SPICE", "Things, their properties and relations that the references name too."),
    "spider": Measure("SPIDEr", "Mean of CIDEr-D and SPICE: the field's main score.", 5.5, 1, ("cider_d", "spice")),
    "fer": Measure("Fluency error rate", "Share of captions that a model finds broken as sentences.", 1.0, -1),
    "spider_fl": Measure(
        "SPIDEr-FL", "SPIDEr, of which a broken sentence keeps a tenth.", 5.5, 1, ("spider", "cider_d", "spice", "fer")
    ),
    "sbert_sim": Measure("Sentence similarity", "Likeness in meaning to the references, by a sentence model."),
    "fense": Measure(
        "FENSE", "The same by its own model, broken sentences keeping a tenth.", 1.0, 1, ("sbert_sim", "fer")
    ),
    "invented": Measure("Invented sounds", "Share of captions that name a sound which no reference names.", 1.0, -1),
    "vocabulary": Measure("Vocabulary", "Different words in all captions together.", None, 0),
    "words": Measure("Words a caption", "Mean length of a caption.", None, 0),
}

# Names that --metrics takes besides the keys, for measures that go together.
GROUPS: dict[str, tuple[str, ...]] = {
    "bleu": ("bleu_1", "bleu_2", "bleu_3", "bleu_4"),
    "offline": (*(key for key, measure in MEASURES.items() if measure.shared_words), "invented", "vocabulary", "words"),
    "all": tuple(MEASURES),
}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Keys, in the order of MEASURES, for keys and names of groups.

    Raises:
        ValueError: an unknown name.
    """
    keys: set[str] = set()
    for name in names:
        if name not in MEASURES and name not in GROUPS:
            raise ValueError(f"found the measure {name!r}, expected some of {', '.join([*GROUPS, *MEASURES])}.")
        keys |= set(GROUPS.get(name, (name,)))
    return tuple(key for key in MEASURES if key in keys)


def needed(keys: Iterable[str]) -> set[str]:
    """The keys with those of the measures that they are made of."""
    return {part for key in keys for part in (key, *MEASURES[key].needs)}

"""Captions composed of human captions, to balance the frequencies of sound classes and pairs of classes.

The distribution of classes in human captions is skewed: half of them mention speech, one in thousands a saw, and most pairs of
sounds never occur. Composed captions join short human captions such that all classes are equally likely, alone or in pairs.
Labelled clips are paired with human captions of the same sounds.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from data.captions import normalize_caption
from data.clotho import FileClip
from data.labelled.caption_templates import named_categories, phrases
from data.labelled.label_captions import caption_label, like_sound
from data.labelled.mixtures import Mixture
from data.labelled.tags import tags_of_any
from training.text_only.captions import TextClip
from vocabulary.words import classes_of

MAX_PART_WORDS = 8  # maximum number of words of a short caption
MIN_CLASS_CAPTIONS = 8  # minimum distinct short captions of a class in composed captions
MIN_WRITERS = 2  # minimum occurrences of a common caption
MIN_COMMON_CAPTIONS = 3  # minimum distinct common captions of a label
MAX_REPEATS = 3  # maximum draws of one short caption
P_SINGLE = 0.4  # fraction of composed captions with a single sound

_JOINED = re.compile(r"\b(?:followed|then|while|as|before|after)\b")  # indicates a further sound of an unknown class
# Patterns by the type of the second part: "while" can precede a clause ("a dog barks"), but not a phrase ("a dog barking").
_PATTERNS = {
    ("sequence", "clause"): ("{a} and then {b}", "{a}, then {b}", "{a} before {b}", "{a} and {b}"),
    ("sequence", "phrase"): ("{a} followed by {b}",),
    ("overlay", "clause"): ("{a} while {b}", "{a} as {b}", "{a} as {b}", "{a} and {b}"),
    ("overlay", "phrase"): ("{a} with {b}", "{a} and {b}"),
}


def short_captions(texts: Sequence[TextClip]) -> dict[int, Counter[str]]:
    """Return counts of normalised captions of at most MAX_PART_WORDS words that name a single sound, by AudioSet class."""
    pools: dict[int, Counter[str]] = {}
    for text in texts:
        words = normalize_caption(text.captions[0])
        if len(words.split()) <= MAX_PART_WORDS and len(text.sources) == 1 and not _JOINED.search(words):
            pools.setdefault(text.sources[0].classes[0], Counter())[words] += 1
    return pools


def join(first: str, second: str, is_clause: bool, order: str, generator: np.random.Generator) -> str:
    """Join two captions.

    Args:
        first: first caption.
        second: second caption.
        is_clause: whether the second caption is a clause ("a dog barks") rather than a phrase ("a dog barking").
        order: "sequence" for successive sounds, "overlay" for simultaneous ones.
        generator: random generator.
    """
    patterns = _PATTERNS[order, "clause" if is_clause else "phrase"]
    return patterns[int(generator.integers(len(patterns)))].format(a=first, b=second)


class CommonCaptions:
    """Short human captions that occur at least MIN_WRITERS times; rarer captions are often unusual.

    Args:
        texts: human captions.
    """

    def __init__(self, texts: Sequence[TextClip]) -> None:
        self._by_class = {
            number: {text: n for text, n in sorted(pool.items()) if n >= MIN_WRITERS}
            for number, pool in short_captions(texts).items()
        }
        self._by_category: dict[str, dict[str, int]] = {category: {} for category in phrases()}
        for pool in self._by_class.values():
            for text, n in pool.items():
                named = named_categories(text)
                category = next(iter(named)) if len(named) == 1 else None
                if category and set(classes_of(text)) & set(tags_of_any(category)):  # excludes "a gun fires" for fire
                    self._by_category[category][text] = n
        self._by_label: dict[str, list[str]] = {}

    def for_label(self, label: str) -> list[str]:
        """Return the common captions of a label, repeated by frequency; empty if there are fewer than MIN_COMMON_CAPTIONS."""
        if label not in self._by_label:
            self._by_label[label] = self._find(label)
        return self._by_label[label]

    def _find(self, label: str) -> list[str]:
        found = self._by_category.get(like_sound(label))
        if found is None:
            found = {text: n for number in tags_of_any(label)[:1] for text, n in self._by_class.get(number, {}).items()}
        return list(Counter(found).elements()) if len(found) >= MIN_COMMON_CAPTIONS else []


def give_human_captions(
    clips: Sequence[FileClip | Mixture],
    texts: Sequence[TextClip],
    is_clause: Callable[[str], bool],
    style: str,
    seed: int,
    fill_with_templates: bool = True,
) -> list[FileClip | Mixture]:
    """Return labelled clips and mixtures with human captions of the same sounds.

    Args:
        clips: clips with template captions (`caption_with_templates`); the number of captions of each clip is preserved.
        texts: human captions.
        is_clause: function that returns whether a caption is a clause ("a dog barks") rather than a phrase ("a dog barking").
        style: style of the returned clips.
        seed: seed of the draws.
        fill_with_templates: whether sounds without common captions get the plainest template caption; if False, their clips
            are omitted.
    """
    common = CommonCaptions(texts)

    def draw(label: str, generator: np.random.Generator) -> str:
        options = common.for_label(label)
        if not options:
            return caption_label(label, generator, plainest=True)
        return options[int(generator.integers(len(options)))]

    def draw_pair(mixture: Mixture, generator: np.random.Generator) -> str:
        first, second = (draw(label, generator) for label in mixture.labels)
        from_template = not common.for_label(mixture.labels[1])  # templates are clauses
        return join(first, second, from_template or is_clause(second), mixture.order, generator)

    captioned: list[FileClip | Mixture] = []
    for number, clip in enumerate(clips):
        if not fill_with_templates and not all(common.for_label(label) for label in clip.labels):
            continue
        generator = np.random.default_rng([seed, number])
        if isinstance(clip, Mixture):
            captions = tuple(draw_pair(clip, generator) for _ in clip.captions)
            captioned.append(replace(clip, first=replace(clip.first, style=style), given_captions=captions))
        else:
            captions = tuple(draw(clip.labels[0], generator) for _ in clip.captions)
            captioned.append(replace(clip, captions=captions, style=style))
    return captioned


def compose_captions(
    texts: Sequence[TextClip],
    is_clause: Callable[[str], bool],
    count: int,
    style: str,
    seed: int,
) -> list[TextClip]:
    """Compose captions of one or two sounds; all classes with unused captions are equally likely.

    Args:
        texts: human captions, of which the short ones that name a single sound are used.
        is_clause: function that returns whether a caption is a clause ("a dog barks") rather than a phrase ("a dog barking").
        count: maximum number of captions; fewer are returned if there are too few short captions.
        style: style of the returned captions.
        seed: seed of the draws.
    """
    generator = np.random.default_rng(seed)
    left = {
        number: list(generator.permutation(sorted(pool) * MAX_REPEATS))
        for number, pool in sorted(short_captions(texts).items())
        if len(pool) >= MIN_CLASS_CAPTIONS
    }
    composed = []
    for number in range(count):
        classes = [number for number, pool in left.items() if pool]
        if len(classes) < 2:
            break
        first = classes[int(generator.integers(len(classes)))]
        others = [number for number in classes if number != first]
        second = others[int(generator.integers(len(others)))]
        caption = str(left[first].pop())
        if generator.random() >= P_SINGLE:
            other = str(left[second].pop())
            order = ("sequence", "overlay")[int(generator.integers(2))]
            caption = join(caption, other, is_clause(other), order, generator)
        composed.append(TextClip(f"composed/{number}", (caption,), style))
    return composed

"""Captions put together from people's captions, so that rare sounds and unusual pairs of sounds are said as often as others.

People's captions name what their collections hold: speech in every second one, a saw in one of thousands, and of all pairs of
sounds only few. Here each class is as likely as any other, alone or beside any other, in words that people wrote; and labelled
clips get captions in the style of people's.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from data.captions import normalize_caption
from data.clotho import FileClip
from data.labelled.caption_templates import named_categories, phrases
from data.labelled.label_captions import caption_label, like_sound
from data.labelled.mixtures import Mixture
from data.labelled.tags import tags_of_any
from training.text_only.captions import TextClip
from vocabulary.words import classes_of

MOST_WORDS = 8  # of a part
FEWEST = 8  # captions that a class needs to be drawn
FEWEST_USUAL = 3  # captions that two people or more wrote of a label's sound, for it to be told in people's words
MOST_REPEATS = 3  # how often one caption is drawn: few would be learnt by heart
SINGLES = 0.4  # share of captions that are left alone

_JOINED = re.compile(r"\b(?:followed|then|while|as|before|after)\b")  # it speaks of more, of no known class
# By what may stand at the second place: "a dog barks" behind "while", not "a dog barking" or "barking dogs".
_PATTERNS = {
    ("sequence", "clause"): ("{a} and then {b}", "{a}, then {b}", "{a} before {b}", "{a} and {b}"),
    ("sequence", "phrase"): ("{a} followed by {b}",),
    ("overlay", "clause"): ("{a} while {b}", "{a} as {b}", "{a} as {b}", "{a} and {b}"),
    ("overlay", "phrase"): ("{a} with {b}", "{a} and {b}"),
}


def short_captions(texts: Sequence[TextClip]) -> dict[int, Counter[str]]:
    """The short captions of one sound, by its class, and how often each was written."""
    pools: dict[int, Counter[str]] = {}
    for text in texts:
        words = normalize_caption(text.captions[0])
        if len(words.split()) <= MOST_WORDS and len(text.sources) == 1 and not _JOINED.search(words):
            pools.setdefault(text.sources[0].classes[0], Counter())[words] += 1
    return pools


def join(first: str, second: str, finite: bool, order: str, generator: np.random.Generator) -> str:
    """Two captions as one, of sounds one after the other ("sequence") or at once ("overlay"); is the second one a clause?"""
    patterns = _PATTERNS[order, "clause" if finite else "phrase"]
    return patterns[int(generator.integers(len(patterns)))].format(a=first, b=second)


def usual_captions(texts: Sequence[TextClip]) -> Callable[[str], list[str]]:
    """For a label the short captions that two people or more wrote of such a sound, each as often as it was written.

    The list is empty where there are fewer than FEWEST_USUAL different ones: what one person alone wrote is odd, and would be
    learnt by heart.
    """
    written = {
        number: {text: n for text, n in sorted(pool.items()) if n >= 2}
        for number, pool in short_captions(texts).items()
    }
    by_sound: dict[str, dict[str, int]] = {label: {} for label in phrases()}
    for pool in written.values():
        for text, n in pool.items():
            label = next(iter(named)) if len(named := named_categories(text)) == 1 else None
            if label and set(classes_of(text)) & set(tags_of_any(label)):  # not a gun that fires for a fire
                by_sound[label][text] = n

    @cache
    def usual(label: str) -> list[str]:
        found = by_sound.get(like_sound(label))
        if found is None:
            found = {text: n for number in tags_of_any(label)[:1] for text, n in written.get(number, {}).items()}
        return list(Counter(found).elements()) if len(found) >= FEWEST_USUAL else []

    return usual


def caption_as_people_do(
    clips: Sequence[FileClip | Mixture],
    texts: Sequence[TextClip],
    is_clause: Callable[[str], bool],
    style: str,
    seed: int,
    every: bool = True,
) -> list[FileClip | Mixture]:
    """Labelled clips and mixtures under captions that people wrote of such sounds.

    Args:
        clips: with short captions of their own, as `caption_briefly` gives, which say how many each has.
        texts: people's captions.
        is_clause: whether a caption is a clause, "a dog barks", and no phrase, "a dog barking".
        style: of the result.
        seed: decides.
        every: tell sounds without usual captions in the plainest words of our own, in the simple present as well; without,
            clips of such sounds stay out.
    """
    usual = usual_captions(texts)

    def draw(label: str, generator: np.random.Generator) -> str:
        options = usual(label)
        return (
            options[int(generator.integers(len(options)))]
            if options
            else caption_label(label, generator, plainest=True)
        )

    def two(mixture: Mixture, generator: np.random.Generator) -> str:
        first, second = (draw(label, generator) for label in mixture.labels)
        finite = is_clause(second) or not usual(mixture.labels[1])
        return join(first, second, finite, mixture.order, generator)

    said: list[FileClip | Mixture] = []
    for number, clip in enumerate(clips):
        if not every and not all(usual(label) for label in clip.labels):
            continue
        generator = np.random.default_rng([seed, number])
        if isinstance(clip, Mixture):
            captions = tuple(two(clip, generator) for _ in clip.captions)
            said.append(replace(clip, first=replace(clip.first, style=style), said=captions))
        else:
            captions = tuple(draw(clip.labels[0], generator) for _ in clip.captions)
            said.append(replace(clip, captions=captions, style=style))
    return said


def compose_texts(
    texts: Sequence[TextClip],
    is_clause: Callable[[str], bool],
    count: int,
    style: str,
    seed: int,
) -> list[TextClip]:
    """Captions of one sound, or of two joined, by classes drawn alike as long as they have captions left.

    Args:
        texts: captions to take parts from: the short ones that name one sound.
        is_clause: whether a caption is a clause, "a dog barks", and no phrase, "a dog barking".
        count: how many to make; fewer come where the captions do not suffice.
        style: of the captions made.
        seed: decides the draw.
    """
    generator = np.random.default_rng(seed)
    left = {
        number: list(generator.permutation(sorted(pool) * MOST_REPEATS))
        for number, pool in sorted(short_captions(texts).items())
        if len(pool) >= FEWEST
    }
    made = []
    for number in range(count):
        starts = [number for number, pool in left.items() if pool]
        if not starts:
            break
        first = starts[int(generator.integers(len(starts)))]
        others = [number for number, pool in left.items() if pool and number != first]
        if not others:
            break
        second = others[int(generator.integers(len(others)))]
        caption = str(left[first].pop())
        if generator.random() >= SINGLES:
            other = str(left[second].pop())
            order = ("sequence", "overlay")[int(generator.integers(2))]
            caption = join(caption, other, is_clause(other), order, generator)
        made.append(TextClip(f"composed/{number}", (caption,), style))
    return made

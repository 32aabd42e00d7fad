"""Captions put together from people's captions, so that rare sounds and unusual pairs of sounds are said as often as others.

People's captions name what their collections hold: speech in every second one, a saw in one of thousands, and of all pairs of
sounds only few. Here each class is as likely as any other, alone or beside any other, in words that people wrote.
"""

import re
from collections.abc import Sequence

import numpy as np

from data.caption_texts import TextClip
from data.captions import normalize_caption

MOST_WORDS = 8  # of a part
FEWEST, MOST_REPEATS = (
    8,
    3,
)  # captions that a class needs to be drawn; how often one caption is: few would be learnt by heart
SINGLES = 0.4  # share of captions that are left alone

_FINITE = re.compile(r"\b(?:is|are|was|were|has|have|can)\b|^(?:an?|the|another|one) [a-z]+ [a-z]+[^s\W]s\b")
# "a dog barks" may stand behind "while"; "a dog barking" and "barking dogs" may not.
_CLAUSES = ("{a} while {b}", "{a} as {b}", "{a} and {b}", "{a} and then {b}", "{a}, then {b}", "{a} before {b}")
_PHRASES = ("{a} followed by {b}", "{a} followed by {b}", "{a} with {b}", "{a} and {b}")


def compose_texts(texts: Sequence[TextClip], count: int, style: str, seed: int) -> list[TextClip]:
    """Captions of one sound, or of two joined, by classes drawn alike as long as they have captions left.

    Args:
        texts: captions to take parts from: the short ones that name one sound.
        count: how many to make; fewer come where the captions do not suffice.
        style: of the captions made.
        seed: decides the draw.
    """
    pools: dict[int, list[str]] = {}
    for text in texts:
        if len(text.sources) != 1:
            continue
        words = normalize_caption(text.captions[0])
        if len(words.split()) <= MOST_WORDS:
            pools.setdefault(text.sources[0].classes[0], []).append(words)
    generator = np.random.default_rng(seed)
    left = {
        number: list(generator.permutation(sorted(set(pool)) * MOST_REPEATS))
        for number, pool in sorted(pools.items())
        if len(set(pool)) >= FEWEST
    }

    def pick(options: Sequence[str]) -> str:
        return options[int(generator.integers(len(options)))]

    made = []
    for number in range(count):
        classes = [number for number, pool in left.items() if pool]
        if len(classes) < 2:
            break
        first, second = (classes[int(row)] for row in generator.choice(len(classes), size=2, replace=False))
        caption = str(left[first].pop())
        if generator.random() >= SINGLES:
            other = str(left[second].pop())
            pattern = pick(_CLAUSES if _FINITE.search(other) else _PHRASES)
            caption = pattern.format(a=caption, b=other)
        made.append(TextClip(f"composed/{number}", (caption,), style))
    return made

"""Settings that contradict each other or lie outside their range, told before anything is computed."""

import math
from collections.abc import Sequence

from configs.schema import DecodingConfig


def check_style(style: str, styles: Sequence[str]) -> None:
    """Refuse a style that a captioner does not have; an empty one is its first.

    Raises:
        ValueError: found, expected and remedy in one sentence.
    """
    if style and style not in styles:
        expected = f"one of {', '.join(styles)}" if styles else "none, as this captioner has one style only"
        raise ValueError(
            f"found style {style!r}, expected {expected}: choose another, or leave it out for the usual one."
        )


def check_decoding(decoding: DecodingConfig, styles: Sequence[str] | None = None) -> None:
    """Refuse decoding settings that cannot be searched with.

    Args:
        decoding: the settings.
        styles: those of the captioner; None leaves the style unchecked.

    Raises:
        ValueError: the first that does not fit; found, expected and remedy in one sentence.
    """
    tags = decoding.tags
    for name, number, least in (
        ("num_beams", decoding.num_beams, 1),
        ("num_captions", decoding.num_captions, 1),
        ("max_tokens", decoding.max_tokens, 1),
        ("min_tokens", decoding.min_tokens, 0),
        ("top_k", decoding.top_k, 0),
    ):
        if number < least:
            raise ValueError(f"found {name} {number}, expected {least} or more: raise it.")
    if decoding.min_tokens > decoding.max_tokens:
        raise ValueError(
            f"found min_tokens {decoding.min_tokens}, expected at most max_tokens, which is {decoding.max_tokens}: "
            "lower the first or raise the second."
        )
    if not math.isfinite(decoding.length_penalty):
        raise ValueError(
            f"found length_penalty {decoding.length_penalty}, expected a finite number: 1 compares means over tokens."
        )
    if not (math.isfinite(decoding.temperature) and decoding.temperature > 0):
        raise ValueError(
            f"found temperature {decoding.temperature}, expected a finite number above 0: "
            "1 leaves the probabilities as they are, and method greedy takes the most probable token."
        )
    if not 0 < decoding.top_p <= 1:
        raise ValueError(f"found top_p {decoding.top_p}, expected above 0 and at most 1: 1 keeps all tokens.")
    for name, weight in (
        ("word_bonus", tags.word_bonus),
        ("coverage_weight", tags.coverage_weight),
        ("consensus_weight", tags.consensus_weight),
    ):
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"found tags.{name} {weight}, expected a finite number of 0 or more: 0 switches it off.")
    if not 0 <= tags.min_score <= 1:
        raise ValueError(f"found tags.min_score {tags.min_score}, expected 0 to 1: 0 lets captions name every sound.")
    if styles is not None:
        check_style(decoding.style, styles)

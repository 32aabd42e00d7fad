"""Decoding settings that do not fit are told in one sentence."""

import math
from dataclasses import replace
from typing import Any

import pytest

from configs.checks import check_decoding
from configs.schema import DecodingConfig, TagDecodingConfig


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"num_beams": 0}, "num_beams 0, expected 1 or more"),
        ({"num_captions": 0}, "num_captions 0, expected 1 or more"),
        ({"max_tokens": 0, "min_tokens": 0}, "max_tokens 0, expected 1 or more"),
        ({"min_tokens": -1}, "min_tokens -1, expected 0 or more"),
        ({"min_tokens": 60}, "min_tokens 60, expected at most max_tokens, which is 40"),
        ({"top_k": -1}, "top_k -1, expected 0 or more"),
        ({"top_p": 0.0}, "top_p 0.0, expected above 0 and at most 1"),
        ({"top_p": 1.5}, "top_p 1.5, expected above 0 and at most 1"),
        ({"top_p": math.nan}, "top_p nan, expected above 0 and at most 1"),
        ({"length_penalty": math.nan}, "length_penalty nan, expected a finite number"),
        ({"length_penalty": -math.inf}, "length_penalty -inf, expected a finite number"),
        ({"temperature": 0.0}, "temperature 0.0, expected a finite number above 0"),
        ({"temperature": math.inf}, "temperature inf, expected a finite number above 0"),
        ({"style": "verse"}, "style 'verse', expected one of short, long"),
        ({"tags": TagDecodingConfig(word_bonus=-1.0)}, "tags.word_bonus -1.0, expected a finite number of 0 or more"),
        ({"tags": TagDecodingConfig(coverage_weight=math.nan)}, "tags.coverage_weight nan, expected a finite number"),
        ({"tags": TagDecodingConfig(consensus_weight=-0.1)}, "tags.consensus_weight -0.1, expected a finite number"),
        ({"tags": TagDecodingConfig(min_score=1.1)}, "tags.min_score 1.1, expected 0 to 1"),
        ({"tags": TagDecodingConfig(min_score=-0.1)}, "tags.min_score -0.1, expected 0 to 1"),
    ],
)
def test_what_does_not_fit_is_told(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_decoding(replace(DecodingConfig(), **settings), ("short", "long"))
    message = str(caught.value)
    assert message.startswith(f"found {found}") and ": " in message and message.endswith(".") and "\n" not in message


def test_what_fits_passes() -> None:
    check_decoding(DecodingConfig(), ())
    check_decoding(DecodingConfig(style="long", min_tokens=40, top_p=1.0, length_penalty=-1.0), ("short", "long"))
    check_decoding(DecodingConfig(tags=TagDecodingConfig(1.0, 1.0, 1.0, 1.0)))
    check_decoding(DecodingConfig(style="verse"))  # of a captioner that is not known yet


def test_a_captioner_without_styles_says_so() -> None:
    with pytest.raises(ValueError, match="found style 'verse', expected none, as this captioner has one style only"):
        check_decoding(DecodingConfig(style="verse"), ())

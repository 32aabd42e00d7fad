"""Wrong settings are reported together, in one sentence."""

import dataclasses
import math
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from configs.checks import RANGES, Range, check_config, check_decoding
from configs.loading import load_config
from configs.schema import CaptionTable, Config, DecodingConfig, TagDecodingConfig

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"num_beams": 0}, "num_beams 0 (expected 1 or more)"),
        ({"num_captions": 0}, "num_captions 0 (expected 1 or more)"),
        ({"max_tokens": 0, "min_tokens": 0}, "max_tokens 0 (expected 1 or more)"),
        ({"min_tokens": -1}, "min_tokens -1 (expected 0 or more)"),
        ({"min_tokens": 60}, "min_tokens 60 (expected at most max_tokens, 40)"),
        ({"top_k": -1}, "top_k -1 (expected 0 or more)"),
        ({"top_p": 0.0}, "top_p 0.0 (expected above 0 and at most 1)"),
        ({"top_p": 1.5}, "top_p 1.5 (expected above 0 and at most 1)"),
        ({"top_p": math.nan}, "top_p nan (expected a finite number, above 0 and at most 1)"),
        ({"length_penalty": math.nan}, "length_penalty nan (expected a finite number)"),
        ({"length_penalty": -math.inf}, "length_penalty -inf (expected a finite number)"),
        ({"temperature": 0.0}, "temperature 0.0 (expected above 0)"),
        ({"temperature": math.inf}, "temperature inf (expected a finite number, above 0)"),
        ({"style": "verse"}, "style 'verse' (expected one of short, long)"),
        ({"tags": TagDecodingConfig(word_bonus=-1.0)}, "tags.word_bonus -1.0 (expected 0 or more)"),
        (
            {"tags": TagDecodingConfig(coverage_weight=math.nan)},
            "tags.coverage_weight nan (expected a finite number, 0 or more)",
        ),
        ({"tags": TagDecodingConfig(consensus_weight=-0.1)}, "tags.consensus_weight -0.1 (expected 0 or more)"),
        ({"tags": TagDecodingConfig(min_score=1.1)}, "tags.min_score 1.1 (expected 0 to 1)"),
        ({"tags": TagDecodingConfig(min_score=-0.1)}, "tags.min_score -0.1 (expected 0 to 1)"),
    ],
)
def test_a_wrong_decoding_setting_is_reported(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_decoding(replace(DecodingConfig(), **settings), ("short", "long"))
    assert str(caught.value) == f"found {found}: change this setting."


def test_all_wrong_settings_are_in_one_sentence() -> None:
    wrong = DecodingConfig(top_p=0.0, length_penalty=math.nan, min_tokens=60, style="verse")
    with pytest.raises(ValueError) as caught:
        check_decoding(wrong, ("short", "long"))
    assert str(caught.value) == (
        "found length_penalty nan (expected a finite number), top_p 0.0 (expected above 0 and at most 1), min_tokens 60 "
        "(expected at most max_tokens, 40) and style 'verse' (expected one of short, long): change these settings."
    )


def test_valid_decoding_settings_pass() -> None:
    check_decoding(DecodingConfig(), ())
    check_decoding(DecodingConfig(style="long", min_tokens=40, top_p=1.0, length_penalty=-1.0), ("short", "long"))
    check_decoding(DecodingConfig(tags=TagDecodingConfig(1.0, 1.0, 1.0, 1.0)))
    check_decoding(DecodingConfig(style="verse"))  # the captioner's styles are not known


def test_a_captioner_without_styles_accepts_no_style() -> None:
    with pytest.raises(ValueError, match="style 'verse' .expected none, since this captioner has no named styles"):
        check_decoding(DecodingConfig(style="verse"), ())


def with_value(settings: Any, name: str, value: Any) -> Any:
    first, _, rest = name.partition(".")
    return replace(settings, **{first: with_value(getattr(settings, first), rest, value) if rest else value})


def numbers(settings: type, prefix: str = "") -> list[str]:
    """Dotted names of the settings that are numbers, or numbers or None."""
    found = []
    for item in dataclasses.fields(settings):
        kinds = typing.get_args(item.type) or (item.type,)
        if dataclasses.is_dataclass(item.type):
            found += numbers(typing.cast(type, item.type), f"{prefix}{item.name}.")
        elif any(kind in (int, float) for kind in kinds) and typing.get_origin(item.type) is not tuple:
            found.append(f"{prefix}{item.name}")
    return found


def test_every_number_has_a_range_and_is_checked() -> None:
    names = numbers(Config)
    assert len(names) > 60 and set(names) - {"decoding.seed"} == set(RANGES)
    for name, allowed in RANGES.items():
        wrong = math.nan if allowed == Range(-math.inf) else allowed.low - 1
        with pytest.raises(ValueError, match=rf"^found .*{name} {wrong:g} \(expected "):
            check_config(with_value(Config(), name, wrong))


def test_wrong_settings_of_a_configuration_are_in_one_sentence() -> None:
    config = Config()
    for name, value in {
        "training.learning_rate": math.nan,
        "decoding.top_p": 0.0,
        "decoding.min_tokens": 60,
        "decoding.style": "verse",
        "captioner.decoder.width": 100,
        "captioner.projection.kind": "none",
        "training.betas": (0.9, 1.0),
        "data.texts.tables": (CaptionTable("a.csv", "ode", (9.0, 3.0)),),
        "data.texts.simulation.background_db": (0.0, -9.0),
    }.items():
        config = with_value(config, name, value)
    with pytest.raises(ValueError) as caught:
        check_config(config)
    assert str(caught.value) == (
        "found training.learning_rate nan (expected a finite number, 0 or more), decoding.top_p 0.0 (expected above 0 and at "
        "most 1), captioner.decoder.width 100 (expected a multiple of num_heads, 8), captioner.projection.kind none (expected "
        "another with captioner.tags.num_tags 0), training.betas [0.9, 1.0] (expected two numbers, 0 or more and below 1), "
        "decoding.min_tokens 60 (expected at most max_tokens, 40), decoding.style 'verse' (expected none, since this "
        "captioner has no named styles), data.texts.tables[0].style 'ode' (expected none, since this captioner has no named "
        "styles), data.texts.tables[0].duration_s [9.0, 3.0] (expected shortest and longest, in seconds) and "
        "data.texts.simulation.background_db [0.0, -9.0] (expected lowest and highest, in decibels): change these settings."
    )


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_configurations_of_the_repository_pass(path: Path) -> None:
    check_config(load_config(path))

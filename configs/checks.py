"""Checks of all settings before anything is computed: allowed ranges, and settings that contradict each other."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.schema import CaptionTable, Config, DecodingConfig, SimulationConfig


@dataclass(frozen=True)
class Range:
    """Allowed finite values of a setting.

    Attributes:
        low: lower bound.
        high: upper bound; infinity for none.
        low_open: whether the lower bound itself is excluded.
        high_open: whether the upper bound itself is excluded.
    """

    low: float
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        if self.low == -math.inf:
            return "a finite number"
        if not self.low_open and not self.high_open and self.high < math.inf:
            return f"{self.low:g} to {self.high:g}"
        low = f"above {self.low:g}" if self.low_open else f"{self.low:g} or more"
        if self.high == math.inf:
            return low
        return f"{low} and {'below' if self.high_open else 'at most'} {self.high:g}"


ANY, COUNT, POSITIVE_COUNT, POSITIVE = Range(-math.inf), Range(0), Range(1), Range(0, low_open=True)
SHARE, PROBABILITY, OPEN_SHARE = Range(0, 1), Range(0, 1, high_open=True), Range(0, 1, low_open=True, high_open=True)

MOST_BEAMS = 1000  # more do not fit in memory
MOST_WIDTH = 8.0  # twice the width of EfficientAT's largest network
LONGEST_CLIP_S = 3600.0

DECODING_RANGES: Mapping[str, Range] = {
    "num_beams": POSITIVE_COUNT,
    "num_captions": POSITIVE_COUNT,
    "max_tokens": POSITIVE_COUNT,
    "min_tokens": COUNT,
    "length_penalty": ANY,
    "temperature": POSITIVE,
    "top_k": COUNT,
    "top_p": Range(0, 1, low_open=True),
    "tags.word_bonus": COUNT,
    "tags.coverage_weight": COUNT,
    "tags.min_score": SHARE,
    "tags.consensus_weight": COUNT,
}

# Every other number of the configuration; None values are not checked.
RANGES: Mapping[str, Range] = {
    "captioner.encoder.sample_rate": POSITIVE_COUNT,
    "captioner.encoder.width": Range(0, MOST_WIDTH, low_open=True),
    "captioner.encoder.train_from_step": COUNT,
    "captioner.encoder.frozen_layers": COUNT,
    "captioner.encoder.branch_weight": SHARE,
    "captioner.encoder.max_duration_s": Range(0, LONGEST_CLIP_S, low_open=True),
    "captioner.projection.pool": POSITIVE_COUNT,
    "captioner.projection.dropout": PROBABILITY,
    "captioner.projection.clip_dropout": SHARE,
    "captioner.tags.num_tags": Range(0, 527),
    "captioner.tags.dropout": PROBABILITY,
    "captioner.decoder.num_layers": POSITIVE_COUNT,
    "captioner.decoder.num_heads": POSITIVE_COUNT,
    "captioner.decoder.width": POSITIVE_COUNT,
    "captioner.decoder.intermediate_width": POSITIVE_COUNT,
    "captioner.decoder.dropout": PROBABILITY,
    "captioner.decoder.max_positions": POSITIVE_COUNT,
    "captioner.decoder.lora_rank": COUNT,
    "captioner.decoder.rms_norm_eps": POSITIVE,
    "captioner.tokenizer.vocab_size": POSITIVE_COUNT,
    "data.validation_share": OPEN_SHARE,
    "data.mixtures": COUNT,
    "data.batch_size": POSITIVE_COUNT,
    "data.num_workers": COUNT,
    "data.worker_timeout_s": COUNT,
    "data.augment.mixup_alpha": COUNT,
    "data.augment.time_masks": COUNT,
    "data.augment.time_mask_share": SHARE,
    "data.augment.band_masks": COUNT,
    "data.augment.band_mask_share": SHARE,
    "data.augment.gain_db": COUNT,
    "data.augment.crop_s": COUNT,
    "data.texts.composed": COUNT,
    "data.texts.simulation.mix_slope": COUNT,
    "data.texts.simulation.mix_gain": POSITIVE,
    "data.texts.simulation.detection_threshold": SHARE,
    "data.texts.simulation.max_label_rank": COUNT,
    "data.texts.simulation.min_clips": COUNT,
    "data.texts.simulation.min_synthetic": COUNT,
    "data.texts.simulation.synthetic_frames": POSITIVE_COUNT,
    "data.texts.simulation.synthetic_steps": COUNT,
    "data.texts.simulation.min_peak_score": SHARE,
    "data.texts.simulation.num_candidates": POSITIVE_COUNT,
    "data.texts.simulation.score_weight": ANY,
    "data.texts.simulation.p_any_clip": SHARE,
    "data.texts.simulation.speech_gain_db": ANY,
    "data.texts.simulation.level_deviation_db": COUNT,
    "data.texts.simulation.p_partial": SHARE,
    "data.texts.simulation.p_partial_speech": SHARE,
    "data.texts.simulation.p_early_onset": SHARE,
    "data.texts.simulation.p_background": SHARE,
    "data.texts.simulation.p_unmentioned_speech": SHARE,
    "data.texts.simulation.p_missing": SHARE,
    "data.texts.labelled_mixtures": COUNT,
    "data.texts.labelled_repeats": POSITIVE_COUNT,
    "data.texts.human_caption_repeats": POSITIVE_COUNT,
    "training.seed": COUNT,
    "training.num_steps": COUNT,
    "training.max_minutes": COUNT,
    "training.learning_rate": COUNT,
    "training.encoder_learning_rate": COUNT,
    "training.weight_decay": COUNT,
    "training.label_smoothing": PROBABILITY,
    "training.tag_loss": COUNT,
    "training.warmup_steps": COUNT,
    "training.gradient_clip": COUNT,
    "training.accumulation": POSITIVE_COUNT,
    "training.ema_decay": PROBABILITY,
    "training.validate_every": POSITIVE_COUNT,
    "training.max_validation_captions": COUNT,
    "training.keep": COUNT,
    "training.tagger.num_steps": COUNT,
    "training.tagger.pool": POSITIVE_COUNT,
    "training.tagger.batch_size": POSITIVE_COUNT,
    "training.tagger.learning_rate": COUNT,
    "training.tagger.weight_decay": COUNT,
    "training.tagger.distillation": COUNT,
    "training.tagger.max_duration_s": POSITIVE,
    "training.tagger.members": POSITIVE_COUNT,
    "training.tagger.blend": SHARE,
    "training.self_critical.num_steps": COUNT,
    "training.self_critical.learning_rate": COUNT,
    "training.self_critical.batch_size": POSITIVE_COUNT,
    "training.self_critical.num_beams": Range(2),
    **{f"decoding.{name}": allowed for name, allowed in DECODING_RANGES.items()},
}


def refuse(problems: Sequence[str]) -> None:
    """Report all wrong settings in one sentence.

    Args:
        problems: one entry per setting, "NAME VALUE (expected ...)".

    Raises:
        ValueError: there is at least one problem.
    """
    if problems:
        found = f"{', '.join(problems[:-1])} and {problems[-1]}" if len(problems) > 1 else problems[0]
        raise ValueError(f"found {found}: change {'these settings' if len(problems) > 1 else 'this setting'}.")


def outside(name: str, value: float, allowed: Range) -> list[str]:
    """Describe a value outside its range, as a list for `refuse` that is empty for an allowed value."""
    if value in allowed:
        return []
    expected = str(allowed) if math.isfinite(value) or allowed.low == -math.inf else f"a finite number, {allowed}"
    return [f"{name} {value} (expected {expected})"]


def check_style(style: str, styles: Sequence[str]) -> None:
    """Refuse a style that a captioner does not have; an empty name means its first style.

    Raises:
        ValueError: the style is unknown.
    """
    refuse(style_problems("style", style, styles))


def check_decoding(decoding: DecodingConfig, styles: Sequence[str] | None = None) -> None:
    """Refuse decoding settings that are out of range or contradict each other.

    Args:
        decoding: decoding settings.
        styles: styles of the captioner; None leaves the style unchecked.

    Raises:
        ValueError: one sentence that names every wrong setting.
    """
    refuse(decoding_problems(decoding, styles))


def check_config(config: Config) -> None:
    """Refuse a configuration with settings that are out of range or contradict each other.

    Raises:
        ValueError: one sentence that names every wrong setting.
    """
    problems = _outside_ranges(config, RANGES)
    decoder, parts = config.captioner.decoder, config.captioner
    if decoder.num_heads > 0 and decoder.width % decoder.num_heads:
        problems.append(
            f"captioner.decoder.width {decoder.width} (expected a multiple of num_heads, {decoder.num_heads})"
        )
    if len(set(parts.styles)) < len(parts.styles):
        problems.append(f"captioner.styles {list(parts.styles)} (expected each name once)")
    if parts.tags.num_tags and parts.encoder.output != "frames":
        problems.append("captioner.encoder.output clip (expected frames with captioner.tags.num_tags above 0)")
    if not parts.tags.num_tags and parts.projection.kind == "none":
        problems.append("captioner.projection.kind none (expected another with captioner.tags.num_tags 0)")
    betas = config.training.betas
    if not all(beta in PROBABILITY for beta in betas):
        problems.append(f"training.betas {list(betas)} (expected two numbers, {PROBABILITY})")
    problems += _contradictions(config.decoding, "decoding.")
    problems += style_problems("decoding.style", config.decoding.style, parts.styles)
    problems += style_problems("data.texts.labelled_style", config.data.texts.labelled_style, parts.styles)
    for number, table in enumerate(config.data.texts.tables):
        problems += _table_problems(f"data.texts.tables[{number}]", table, parts.styles)
    problems += _simulation_problems(config.data.texts.simulation)
    refuse(problems)


def decoding_problems(decoding: DecodingConfig, styles: Sequence[str] | None = None) -> list[str]:
    """Problems of decoding settings; arguments as for `check_decoding`."""
    problems = _outside_ranges(decoding, DECODING_RANGES) + _contradictions(decoding)
    return problems if styles is None else problems + style_problems("style", decoding.style, styles)


def style_problems(name: str, style: str, styles: Sequence[str]) -> list[str]:
    """Describe an unknown style, as a list for `refuse`; an empty name means the default style."""
    if not style or style in styles:
        return []
    expected = f"one of {', '.join(styles)}" if styles else "none, since this captioner has no named styles"
    return [f"{name} {style!r} (expected {expected})"]


def _simulation_problems(simulation: SimulationConfig) -> list[str]:
    """Problems of settings that consist of several numbers."""
    problems, name = [], "data.texts.simulation"
    if not simulation.class_weights or not all(weight in POSITIVE for weight in simulation.class_weights):
        problems.append(f"{name}.class_weights {list(simulation.class_weights)} (expected numbers above 0)")
    if not all(value in POSITIVE for value in simulation.synthetic_beta):
        problems.append(f"{name}.synthetic_beta {list(simulation.synthetic_beta)} (expected two numbers above 0)")
    for setting in ("background_db", "unmentioned_speech_db"):
        low, high = getattr(simulation, setting)
        if low not in ANY or high not in ANY or low > high:
            problems.append(f"{name}.{setting} {[low, high]} (expected lowest and highest, in decibels)")
    return problems


def _table_problems(name: str, table: CaptionTable, styles: Sequence[str]) -> list[str]:
    problems = style_problems(f"{name}.style", table.style, styles)
    shortest, longest = table.duration_s
    if shortest not in POSITIVE or longest not in POSITIVE or shortest > longest:
        problems.append(f"{name}.duration_s {list(table.duration_s)} (expected shortest and longest, in seconds)")
    return problems


def _contradictions(decoding: DecodingConfig, prefix: str = "") -> list[str]:
    problems = [
        f"{prefix}{name} {value} (expected at most {MOST_BEAMS})"
        for name in ("num_beams", "num_captions")
        if (value := getattr(decoding, name)) > MOST_BEAMS
    ]
    if decoding.min_tokens <= decoding.max_tokens:
        return problems
    return [*problems, f"{prefix}min_tokens {decoding.min_tokens} (expected at most max_tokens, {decoding.max_tokens})"]


def _outside_ranges(settings: Any, ranges: Mapping[str, Range]) -> list[str]:
    problems = []
    for name, value in _numbers(settings):
        if name in ranges:
            problems += outside(name, value, ranges[name])
    return problems


def _numbers(settings: Any, prefix: str = "") -> list[tuple[str, float]]:
    """Dotted name and value of every number in a dataclass and in its nested dataclasses."""
    found: list[tuple[str, float]] = []
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if dataclasses.is_dataclass(value):
            found += _numbers(value, f"{prefix}{item.name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append((f"{prefix}{item.name}", value))
    return found

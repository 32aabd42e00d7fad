"""Tables of `benchmarks.yardstick`, as sections of Markdown."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.common import markdown_table
from benchmarks.judging import LabelRates, Pairing, SoundRates, difference, mean_rate
from evaluation.measures import MEASURES
from evaluation.scores import Comparison, Score

logger = logging.getLogger(__name__)

PERCENT = ("invented", "wrong_speakers")  # measures shown in percent


@dataclass(frozen=True)
class Texts:
    """Captions of labelled clips by one checkpoint.

    Attributes:
        sounds: captions of single sounds and mixtures.
        collections: captions of the clips of each collection.
    """

    sounds: list[str]
    collections: dict[str, list[str]]


def heading(half: str, limit: int | None) -> str:
    """First line of the report, which names the clips."""
    clips = "all clips" if half == "all" else f"the half of the clips named {half!r}"
    limited = f", at most {limit} of each labelled collection, of single sounds and of mixtures" if limit else ""
    return f"Measured on {clips}{limited}; 95 % bootstrap intervals over clips.\n"


def cell(score: Score | Comparison | None, percent: bool = False, signed: bool = False) -> str:
    """A value with its interval."""
    value = None if score is None else score.difference if isinstance(score, Comparison) else score.value
    if score is None or value is None:
        return "n/a"
    sign = "+" if signed else ""

    def shown(number: float) -> str:
        return f"{100 * number:{sign}.1f}" if percent else f"{number:{sign}.3f}"

    if score.low is None or score.high is None:
        return shown(value)
    return f"{shown(value)} ({shown(score.low)} to {shown(score.high)})"


def log_missing(scores: Mapping[str, Mapping[str, Mapping[str, Score]]]) -> None:
    """Log the reason for each measure that has no value in any row, since its column is left out."""
    found = [score for group in scores.values() for score in group.values()]
    for key in found[0] if found else ():
        if all(score[key].value is None for score in found):
            logger.info("no %s: %s", MEASURES[key].title, found[0][key].reason)


def _title(key: str, suffix: str = "") -> str:
    return f"{MEASURES[key].title}{suffix}{', %' if key in PERCENT else ''}"


def captioned_table(scores: Mapping[str, Mapping[str, Mapping[str, Score]]]) -> str:
    """Section of scores by group and system; measures without any value have no column."""
    found = [score for group in scores.values() for score in group.values()]
    keys = [key for key in (found[0] if found else ()) if any(score[key].value is not None for score in found)]
    rows = []
    for group, systems in scores.items():
        for system, own in systems.items():
            per_clip = own["invented"].per_clip
            count = 0 if per_clip is None else len(per_clip)
            rows.append([f"{count} {group}", system, *(cell(own[key], key in PERCENT) for key in keys)])
    return f"## Captioned clips\n\n{markdown_table(['clips', 'system', *map(_title, keys)], rows)}"


def peer_table(pairs: Mapping[str, Mapping[str, Pairing]], peer: str) -> str:
    """Section of differences from a peer by group and system; positive where the system's value is higher."""
    found = [pair for group in pairs.values() for pair in group.values()]
    keys = list(dict.fromkeys(key for pair in found for key in pair.differences))
    rows = [
        [
            f"{pair.num_clips} {group}",
            system,
            cell(pair.cider_d_ratio),
            *(cell(pair.differences.get(key), key in PERCENT, signed=True) for key in keys),
        ]
        for group, systems in pairs.items()
        for system, pair in systems.items()
    ]
    header = ["clips", "system", "CIDEr-D ratio", *(_title(key, " difference") for key in keys)]
    return f"## Compared with {peer}, paired\n\n{markdown_table(header, rows)}"


def sounds_table(rates: Mapping[str, SoundRates], labels: Sequence[tuple[str, ...]]) -> str:
    """Section of naming rates of labelled sounds by system."""
    rows = [
        [
            system,
            *(cell(score, percent=True) for score in (found.single, found.single_only, found.invented, found.both)),
        ]
        for system, found in rates.items()
    ]
    header = ["system", "single named, %", "nothing else named, %", "invented, %", "both of a mixture named, %"]
    counts = (
        f"{sum(len(own) == 1 for own in labels)} single sounds, {sum(len(own) == 2 for own in labels)} mixtures of two."
    )
    return f"## Sounds\n\n{counts}\n\n{markdown_table(header, rows)}"


def labelled_table(judged: Mapping[str, Mapping[str, LabelRates]], left_out: Sequence[str]) -> str:
    """Section of naming rates by system and collection, with means over all and over left-out collections."""
    rows = []
    for system, collections in judged.items():
        for name, rates in collections.items():
            trained = "left out" if name in left_out else ""
            counts = [name, trained, str(rates.num_clips)]
            rows.append([system, *counts, cell(rates.named, percent=True), cell(rates.only, percent=True)])
        with_clips = {name: rates for name, rates in collections.items() if rates.num_clips}
        for title, names in (("mean", list(with_clips)), ("mean of left out", left_out)):
            chosen = [with_clips[name] for name in names if name in with_clips]
            if chosen:
                means = [mean_rate([getattr(rates, key) for rates in chosen]) for key in ("named", "only")]
                count = str(sum(rates.num_clips for rates in chosen))
                rows.append([system, title, "", count, *(cell(mean, percent=True) for mean in means)])
    header = ["system", "collection", "training", "clips", "label named, %", "nothing else named, %"]
    return f"## Labelled clips\n\n{markdown_table(header, rows)}"


def choice_table(choices: Mapping[str, tuple[list[int], Score]], num_clips: Sequence[int]) -> str:
    """Section of choice scores by system, with differences from the first system that captions all clips.

    Args:
        choices: number of captioned clips of each group, and the score, by system.
        num_clips: number of clips of each group.
    """
    whole = [system for system, (counts, _) in choices.items() if counts == list(num_clips)]
    rows = []
    for system, (counts, score) in choices.items():
        compared = system in whole[1:]
        change = cell(difference(score, choices[whole[0]][1]), signed=True) if compared else ""
        rows.append([system, f"{sum(counts)} of {sum(num_clips)}", cell(score), change])
    header = ["system", "clips", "choice score", f"difference from {whole[0]}" if whole else "difference"]
    note = "Higher is better; only scores on the same clips are comparable."
    return f"## Choice score\n\n{note}\n\n{markdown_table(header, rows)}"

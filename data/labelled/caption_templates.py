"""Template captions for labelled sounds, in the style of Clotho's captions.

The phrases of each sound are in `sound_phrases.yaml`. Captions mention counts, pauses and trends only if `measure` detects them in
the waveform.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

FRAME_S = 0.02  # envelope resolution, in seconds
GAP_S = 0.18  # bursts closer than this, in seconds, are merged
_ACTIVE_DB = -28.0  # threshold of active frames, relative to the loudest frames
_STEADY_DB = -20.0  # a clip whose quiet frames exceed this level has no detectable pauses

_TIMES = {1: ["once", "a single time"], 2: ["twice", "two times"], 3: ["three times"], 4: ["four times"]}
_MANY = ["several times", "again and again", "repeatedly", "over and over"]


@dataclass(frozen=True)
class SoundShape:
    """Temporal envelope of a recording.

    Attributes:
        bursts: number of separate bursts of sound; 0 if there are none or they cannot be separated (silence, constant noise).
        active_share: fraction of frames with sound, 0 to 1.
        trend_db: level of the last third of the active part relative to its first third, in decibels.
        lead_s: duration of the silence before the first sound, in seconds.
        tail_s: duration of the silence after the last sound, in seconds.
        floor_db: level of the quiet parts relative to the loud ones, in decibels; 0 if no part is quiet.
    """

    bursts: int
    active_share: float
    trend_db: float
    lead_s: float
    tail_s: float
    floor_db: float


def envelope_db(waveform: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """Return the level of each 20 ms frame, in decibels relative to the 95th percentile of all frames."""
    frame = max(1, int(FRAME_S * sample_rate))
    count = max(1, len(waveform) // frame)
    padded = np.zeros(count * frame)
    padded[: min(len(waveform), count * frame)] = waveform[: count * frame]
    power = np.square(padded).reshape(count, frame).mean(axis=1)  # (count,)
    if not (power > 0).any():
        return np.full(count, -120.0)
    loud = max(float(np.percentile(power[power > 0], 95)), 1e-12)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-12) / loud)
    return levels


def _floor_db(levels: NDArray[np.float64]) -> float:
    return float(np.percentile(levels, 10))


def _is_steady(levels: NDArray[np.float64]) -> bool:
    """Return whether the quiet frames are too loud for pauses to be detected."""
    return _floor_db(levels) >= _STEADY_DB


def active_frames(levels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the frames with sound.

    A frame is active if its level exceeds both -28 dB and the midpoint, in decibels, of the quiet and the loud frames. Gaps of at
    most `GAP_S` seconds are closed. If the quiet frames are less than 20 dB below the loud ones, as for a fire or a stream, all
    frames are active.
    """
    threshold = -60.0 if _is_steady(levels) else max(_ACTIVE_DB, _floor_db(levels) / 2)
    active = levels > threshold
    if not (levels > -100).any():
        return np.zeros(len(levels), dtype=bool)  # digital silence
    gap = int(GAP_S / FRAME_S)
    sounding = np.flatnonzero(active)
    for before, after in zip(sounding[:-1], sounding[1:], strict=True):
        if 1 < after - before <= gap:
            active[before:after] = True
    return active


def measure(waveform: NDArray[np.float32], sample_rate: int) -> SoundShape:
    """Measure the envelope of a waveform (S,)."""
    levels = envelope_db(waveform, sample_rate)
    active = active_frames(levels)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(int)))
    runs = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= 2]
    if not runs:
        return SoundShape(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    first, last = runs[0][0], runs[-1][1]
    inner = levels[first:last][active[first:last]]
    third = max(1, len(inner) // 3)
    quiet = levels[~active]
    return SoundShape(
        bursts=0 if _is_steady(levels) else len(runs),
        active_share=float(active.mean()),
        trend_db=float(inner[-third:].mean() - inner[:third].mean()),
        lead_s=float(first * FRAME_S),
        tail_s=float((len(levels) - last) * FRAME_S),
        floor_db=float(quiet.mean()) if len(quiet) > 5 else 0.0,
    )


@cache
def phrases() -> dict[str, dict[str, Any]]:
    """Return the table of `sound_phrases.yaml`, with the patterns `names` compiled."""
    path = Path(__file__).with_name("sound_phrases.yaml")
    table: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entry in table.values():
        entry["names"] = re.compile(entry["names"])
    return table


def named_categories(caption: str) -> set[str]:
    """Return the categories of the table that a normalised caption names."""
    return {category for category, entry in phrases().items() if entry["names"].search(caption)}


Pick = Callable[[list[Any]], Any]


def _picker(generator: np.random.Generator) -> Pick:
    return lambda options: options[int(generator.integers(len(options)))]


def _how_often(category: str, shape: SoundShape, pick: Pick) -> str:
    """Return an adverb of number or continuity consistent with the waveform; sometimes empty, as in human captions."""
    counted = phrases()[category]["counted"]
    if counted is None or not shape.active_share or (counted and not shape.bursts):
        return ""
    if counted:
        return pick(_TIMES[shape.bursts]) if shape.bursts in _TIMES else pick(_MANY)
    if shape.active_share > 0.9:
        return pick(["continuously", "steadily", "without a pause", "the whole time", "constantly", ""])
    if shape.bursts >= 4:
        return pick(["on and off", "again and again", "with short pauses", "in short bursts", ""])
    if shape.bursts in (2, 3):
        return pick(["with a pause in between", "stopping and starting again", "on and off", ""])
    return pick(["briefly", "for a short while", ""]) if shape.active_share < 0.4 else ""


def _tails(category: str, shape: SoundShape) -> list[str]:
    """Return sentence endings consistent with the waveform, including the empty one."""
    tails = [""]
    if shape.tail_s > 1.2:
        tails += [
            ", and then there is silence",
            ", and then it is quiet",
            ", followed by silence",
            " before silence sets in",
        ]
    if shape.trend_db > 6:
        tails += [", growing louder", ", getting louder", ", becoming louder as time goes on"]
    elif shape.trend_db < -6:
        tails += [", fading away", ", getting quieter", ", slowly fading out"]
    if shape.floor_db < -45:
        tails += [" in an otherwise quiet space", ", with nothing else to be heard", " against silence"]
    elif shape.floor_db > -22 and shape.active_share < 0.85:
        tails += [" over a steady background noise", ", with some noise in the background"]
    if shape.active_share > 0.9 and abs(shape.trend_db) < 2 and phrases()[category]["counted"] is False:
        tails += [" at an even level", " at a constant level", " without letting up"]
    return tails


def _join(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return text[:1].upper() + text[1:]


def clause(category: str, finite: bool, pick: Pick) -> str:
    """Return a subject and verb, finite ("a dog barks") or as a participle ("a dog barking")."""
    group = pick(phrases()[category]["clauses"])
    verb = pick(group["verbs"])
    return f"{pick(group['subjects'])} {verb[0 if finite else 1]}"


def plainest_clause(category: str, generator: np.random.Generator) -> str:
    """Return a clause of the first subject and verb in the table: "a dog barks", not "a lone dog gives a sharp bark"."""
    group = _picker(generator)(phrases()[category]["clauses"])
    return f"{group['subjects'][0]} {group['verbs'][0][0]}"


def _thing(category: str, pick: Pick) -> tuple[str, str]:
    """Return a noun phrase and the form of "to be" that agrees with it, "is" or "are"."""
    thing = pick(phrases()[category]["things"])
    return (thing[1:], "are") if thing.startswith("*") else (thing, "is")


def _single(category: str, shape: SoundShape, pick: Pick) -> str:
    often, tail = _how_often(category, shape, pick), pick(_tails(category, shape))
    if often.startswith(("with", "without")) and "with" in tail:
        tail = ""
    skeleton = pick(["clause", "clause", "clause", "thing", "heard", "there", "front", "later"])
    if skeleton == "thing":
        thing, be = _thing(category, pick)
        heard = pick(
            [
                f"{be} heard",
                "can be heard",
                f"{be} captured up close",
                "comes through clearly" if be == "is" else "come through clearly",
            ]
        )
        text = _join(thing, heard, often)
    elif skeleton == "heard":
        text = _join(clause(category, False, pick), "can be heard", often)
    elif skeleton == "there":
        thing, be = _thing(category, pick)
        text = _join("there", be, thing)
    elif skeleton == "front" and often and "paus" not in often and "stopping" not in often:
        text = _join(f"{often},", clause(category, True, pick))
    elif skeleton == "later" and shape.lead_s > 0.6:
        text = _join(pick(["after a moment of silence", "after a short silence"]), clause(category, True, pick), often)
    else:
        text = _join(clause(category, True, pick), often)
    return text + tail


def _distinct(make: Callable[[], str], count: int) -> list[str]:
    found: list[str] = []
    for _ in range(60 * count):
        text = re.sub(r"\s+", " ", make()).strip() + "."
        if text not in found and 5 <= len(text.split()) <= 26:
            found.append(text)
        if len(found) == count:
            return found
    raise ValueError(f"the phrase table gives only {len(found)} distinct captions: add words to sound_phrases.yaml.")


def describe(category: str, shape: SoundShape, generator: np.random.Generator, count: int = 5) -> list[str]:
    """Return distinct captions of one sound.

    Args:
        category: key of the phrase table.
        shape: envelope from `measure`.
        generator: random generator.
        count: number of captions.
    """
    pick = _picker(generator)
    wanted = int(generator.integers(7, 10))  # human captions mostly have at least eight words

    def make() -> str:
        return max((_single(category, shape, pick) for _ in range(2)), key=lambda text: min(wanted, len(text.split())))

    return _distinct(make, count)


_AFTER = [
    "{A}, and then {b}",
    "{A}, then {b}",
    "{A} before {b}",
    "{A}, followed by {B_ing}",
    "{A}, after which {b}",
    "First {a}, then {b}",
    "{A} and afterwards {b}",
    "After {a_thing}, {b}",
    "{A}, and after that {b}",
    "{A_thing} {a_be} followed by {b_thing}",
]
_OVER = [
    "{A} while {b}",
    "{A} as {b}",
    "{A} and {b} at the same time",
    "{A} with {b_ing}",
    "{A}, and at the same time {b}",
    "While {a}, {b}",
    "{A_thing} and {b_thing} can be heard together",
    "{A} along with {b_thing}",
    "{A} together with {b_thing}",
]
_BEHIND = ["{A} while {b} in the background", "{A} with {b_thing} in the background", "{A} over {b_thing}",
           "In the background {b} while {a}", "{A} as {b} quietly", "{A} with {b_ing} in the background"]  # fmt: skip


def describe_mixture(
    first: tuple[str, SoundShape],
    second: tuple[str, SoundShape],
    order: str,
    gain_db: float,
    generator: np.random.Generator,
    count: int = 5,
) -> list[str]:
    """Return distinct captions of two sounds.

    Args:
        first: category and shape of the first sound.
        second: category and shape of the second sound.
        order: "sequence" for successive sounds, "overlay" for simultaneous ones.
        gain_db: level of the second sound relative to the first, in decibels. If it is above 3 or below -3, captions may place the
            quieter sound "in the background".
        generator: random generator.
        count: number of captions.
    """
    pick = _picker(generator)

    def make() -> str:
        a, b = first, second
        if order == "sequence":
            pattern = pick(_AFTER)
        else:
            apart = abs(gain_db) > 3
            if gain_db > 3 if apart else pick([True, False]):
                a, b = b, a  # name the louder sound first
            pattern = pick(_BEHIND + _OVER if apart else _OVER)
        return _fill(pattern, a, b, pick)

    return _distinct(make, count)


def _fill(pattern: str, a: tuple[str, SoundShape], b: tuple[str, SoundShape], pick: Pick) -> str:
    words: dict[str, str] = {}
    for letter, (category, shape) in (("a", a), ("b", b)):
        often = _how_often(category, shape, pick) if phrases()[category]["counted"] else ""
        often = often if pick([True, False]) else ""
        thing, be = _thing(category, pick)
        finite = clause(category, True, pick)
        words[letter] = f"{finite} {often}".strip() if "quietly" not in pattern else finite
        words[f"{letter}_ing"] = clause(category, False, pick)
        words[f"{letter}_thing"], words[f"{letter}_be"] = thing, be
    words["A"], words["A_thing"] = words["a"], words["a_thing"]
    words["A_ing"], words["B_ing"] = words["a_ing"], words["b_ing"]
    return _join(pattern.format(**words))


def short_template(labels: Sequence[str], order: str, generator: np.random.Generator) -> str:
    """Return a short template caption, of the length of AudioCaps' captions, that only names the sounds.

    Args:
        labels: one or two categories.
        order: order of two categories, "sequence" or "overlay".
        generator: random generator.
    """
    pick = _picker(generator)
    if len(labels) == 1:
        return clause(labels[0], True, pick)
    (first, first_ongoing), (second, second_ongoing) = (
        (clause(label, True, pick), clause(label, False, pick)) for label in labels
    )
    patterns = {
        "sequence": (
            f"{first} followed by {second_ongoing}", f"{first} and then {second}", f"{first} before {second}",
            f"{first}, then {second}",
        ),
        "overlay": (
            f"{first} while {second}", f"{second} while {first}", f"{first} as {second}", f"{first} and {second}",
            f"{second} and {first}", f"{first} with {second_ongoing}", f"{second} with {first_ongoing} in the background",
        ),
    }[order]  # fmt: skip
    return patterns[int(generator.integers(len(patterns)))]

"""Sound labels in the pauses between the lines of existing subtitles.

Only the pauses between lines are captioned, so that dialogue is not labelled as a sound; a window whose caption names speech
gets no label. A continuing sound is labelled once, and again only after it has been absent for REPEAT_AFTER_S seconds of
captioned audio, regardless of the dialogue in between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from captioning.sound_labels import MOST_SOUNDS, Sound, format_label, names_speech, sounds_of
from data.caption_formats import SILENCE, CaptionRecord

SHORTEST_LABEL_S = 1.0
LONGEST_LABEL_S = 5.0
MARGIN_S = 0.1  # gap between a label and a line: two frames, so that they appear as separate subtitles
REPEAT_AFTER_S = 10.0

Span = tuple[float, float]  # (start, end) in seconds


@dataclass(frozen=True)
class Label:
    """A sound label to add as a subtitle.

    Attributes:
        start_s: start time in seconds.
        end_s: end time in seconds.
        text: text in brackets; lines are joined by line feeds.
    """

    start_s: float
    end_s: float
    text: str


def pauses(lines: Iterable[Span], duration_s: float) -> list[Span]:
    """Return the spans of a recording outside all lines, with a margin, that are long enough for a label.

    Args:
        lines: (start, end) of each line in seconds, in any order; they may overlap.
        duration_s: duration of the recording in seconds.
    """
    found: list[Span] = []
    free_from_s = 0.0
    for start_s, end_s in sorted([*((start_s - MARGIN_S, end_s + MARGIN_S) for start_s, end_s in lines if end_s > start_s),
                                  (duration_s, duration_s)]):  # fmt: skip
        if min(start_s, duration_s) - free_from_s >= SHORTEST_LABEL_S:
            found.append((free_from_s, min(start_s, duration_s)))
        free_from_s = max(free_from_s, end_s)
    return found


def windows(free: Iterable[Span], window_s: float) -> list[Span]:
    """Split pauses into windows of `window_s` seconds; a remainder too short for a label is joined to the window before."""
    found: list[Span] = []
    for start_s, end_s in free:
        while end_s - start_s >= window_s + SHORTEST_LABEL_S:
            found.append((start_s, start_s + window_s))
            start_s += window_s
        found.append((start_s, end_s))
    return found


def place_labels(records: Sequence[CaptionRecord]) -> tuple[list[Label], int]:
    """Create labels for captioned windows.

    A label starts with its window and lasts while its sounds continue without a line in between, for at most
    LONGEST_LABEL_S seconds, and no longer than until the next label.

    Args:
        records: captions of windows, in chronological order.

    Returns:
        The labels, and the number of windows without a label because their caption names speech.
    """
    labels: list[Label] = []
    going_on: list[tuple[Sound, float]] = []  # each sound, and its absence so far in captioned seconds
    num_speech = 0
    last_end_s, last_sounds = 0.0, list[Sound]()  # end of the last label, while it can be extended
    for record in records:
        if record.captions != SILENCE and names_speech(record.caption):
            num_speech += 1
            last_sounds = []
            continue
        sounds = [] if record.captions == SILENCE else sounds_of(record.caption)
        new = [sound for sound in sounds if not _contains((known for known, _ in going_on), sound)][:MOST_SOUNDS]
        length_s = record.end_s - record.start_s
        aged = [(known, 0.0 if _contains(sounds, known) else absent_s + length_s) for known, absent_s in going_on]
        going_on = [entry for entry in aged if entry[1] < REPEAT_AFTER_S]
        if new and length_s >= SHORTEST_LABEL_S:
            labels.append(Label(record.start_s, min(record.end_s, record.start_s + LONGEST_LABEL_S), format_label(new)))
            going_on += [(sound, 0.0) for sound in new]
            last_end_s, last_sounds = record.end_s, new
        elif (
            last_sounds
            and record.start_s - last_end_s < MARGIN_S
            and all(_contains(sounds, sound) for sound in last_sounds)
        ):
            last_end_s = record.end_s
            labels[-1] = replace(labels[-1], end_s=min(last_end_s, labels[-1].start_s + LONGEST_LABEL_S))
        else:
            last_sounds = []
    return labels, num_speech


def _contains(sounds: Iterable[Sound], sound: Sound) -> bool:
    return any(sound.is_same_as(other) for other in sounds)

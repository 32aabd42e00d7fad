"""Labels of sounds between the lines of given subtitles, and never over one of these.

Only the pauses between lines are captioned, so that what somebody says in a line is not heard for a sound; a pause in which
the captioner hears speech all the same gets no label there. A sound is named once while it goes on: again only after
REPEAT_AFTER_S of other captioned sound, however long a dialogue lies between.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from captioning.sound_labels import MOST_SOUNDS, Sound, format_label, names_speech, sounds_of
from data.caption_formats import SILENCE, CaptionRecord

SHORTEST_LABEL_S = 1.0
LONGEST_LABEL_S = 5.0
MARGIN_S = 0.1  # between a label and a line: two frames, so that both are seen as two
REPEAT_AFTER_S = 10.0

Span = tuple[float, float]  # start and end in seconds


@dataclass(frozen=True)
class Label:
    """A line to add.

    Attributes:
        start_s: when it appears, seconds.
        end_s: when it goes.
        text: in brackets, its lines joined by line feeds.
    """

    start_s: float
    end_s: float
    text: str


def pauses(lines: Iterable[Span], duration_s: float) -> list[Span]:
    """The spans of a recording that no line covers, a margin away from every line, in which a label can be shown.

    Args:
        lines: when each line is shown, in any order; they may overlap.
        duration_s: length of the recording.
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
    """Pauses cut into windows of `window_s` seconds; a last one too short for a label belongs to the one before."""
    found: list[Span] = []
    for start_s, end_s in free:
        while end_s - start_s >= window_s + SHORTEST_LABEL_S:
            found.append((start_s, start_s + window_s))
            start_s += window_s
        found.append((start_s, end_s))
    return found


def place_labels(records: Sequence[CaptionRecord]) -> tuple[list[Label], int]:
    """Labels for captioned windows.

    A label appears with its window and stays while its sounds go on without a line between, at most LONGEST_LABEL_S, and
    until the next label.

    Args:
        records: captions of windows, in order of time.

    Returns:
        The labels, and the number of windows that have none because speech is heard in them.
    """
    labels: list[Label] = []
    going_on: list[tuple[Sound, float]] = []  # and for how many captioned seconds each has not been heard
    num_spoken = 0
    last_end_s, last_sounds = 0.0, list[Sound]()  # of the last label, while it may be prolonged
    for record in records:
        if record.captions != SILENCE and names_speech(record.caption):
            num_spoken += 1
            last_sounds = []
            continue
        sounds = [] if record.captions == SILENCE else sounds_of(record.caption)
        new = [sound for sound in sounds if not _contains((known for known, _ in going_on), sound)][:MOST_SOUNDS]
        length_s = record.end_s - record.start_s
        aged = [(known, 0.0 if _contains(sounds, known) else unheard_s + length_s) for known, unheard_s in going_on]
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
    return labels, num_spoken


def _contains(sounds: Iterable[Sound], sound: Sound) -> bool:
    return any(sound.is_same_as(other) for other in sounds)

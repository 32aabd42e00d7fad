"""Standard MIDI files from notes."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

TICKS = 480  # per quarter note, which lasts half a second by default
DRUMS = 9  # drum channel of General MIDI


class Note(NamedTuple):
    """A note.

    Attributes:
        start: start in quarter notes.
        length: length in quarter notes.
        key: MIDI key, 0 to 127; 60 is middle C; for drums each key is a different drum.
        velocity: loudness, 1 to 127.
    """

    start: float
    length: float
    key: int
    velocity: int = 100


def midi(program: int | None, notes: Iterable[Note]) -> bytes:
    """Encode notes as a standard MIDI file with one track.

    Args:
        program: General MIDI instrument, 0 to 127; None for drums.
        notes: notes in any order.
    """
    channel = DRUMS if program is None else 0
    events = []
    for start, length, key, velocity in notes:
        events.append((round(start * TICKS), bytes([0x90 | channel, key, velocity])))
        events.append((round((start + length) * TICKS), bytes([0x80 | channel, key, 0])))
    track = b"" if program is None else bytes([0, 0xC0, program])
    now = 0
    for tick, event in sorted(events):
        track += _variable_length(tick - now) + event
        now = tick
    track += b"\x00\xff\x2f\x00"  # end of the track
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def _variable_length(value: int) -> bytes:
    """Encode a number with seven bits per byte; all bytes but the last have the eighth bit set."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))

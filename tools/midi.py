"""Notes as a standard MIDI file."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

TICKS = 480  # of a quarter note, which lasts half a second where nothing is said
DRUMS = 9  # General MIDI's channel of drums


class Note(NamedTuple):
    """A key that is held.

    Attributes:
        start: in quarter notes.
        length: in quarter notes.
        key: 0 to 127; 60 is the middle C, and among drums each key is a drum of its own.
        velocity: how hard it is struck, 1 to 127.
    """

    start: float
    length: float
    key: int
    velocity: int = 100


def midi(program: int | None, notes: Iterable[Note]) -> bytes:
    """A standard MIDI file of one track.

    Args:
        program: General MIDI instrument, 0 to 127; None plays drums.
        notes: in any order.
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
    """MIDI's numbers: seven bits a byte, all but the last with the eighth bit set."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(0x80 | value & 0x7F)
    return bytes(reversed(parts))

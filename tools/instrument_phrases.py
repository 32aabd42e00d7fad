"""Short phrases for the instruments of `instrument_phrases.yaml`, drawn at random and played by fluidsynth.

Times are in quarter notes, which last half a second.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import yaml

from data.audio import Waveform, load_audio
from data.tables import DatasetError
from tools.midi import Note, midi

SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # Debian's package fluid-soundfont-gm, MIT
QUARTER_S = 0.5
SLOT = 16.0  # between the starts of two phrases
SHORTEST, LONGEST = 4.0, 10.0  # length of a phrase
QUICK, SLOW = (0.3, 0.45, 0.6, 0.9), (1.0, 1.4, 2.0)  # length of a step
RING_S = 0.8  # decay after the end of a phrase
FADE_S = 0.05
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 3, 5, 7, 9, 10))


@dataclass(frozen=True)
class Instrument:
    """An entry of `instrument_phrases.yaml`.

    Attributes:
        label: name of the instrument.
        tags: AudioSet classes of the instrument.
        program: General MIDI program, 0 to 127; None for drums.
        keys: MIDI keys that it can play, 0 to 127.
        patterns: names in PATTERNS to draw from.
        slow: whether its notes are long.
        drone: key that sounds throughout a phrase; None for none.
        count: number of phrases.
    """

    label: str
    tags: tuple[str, ...]
    program: int | None
    keys: tuple[int, ...]
    patterns: tuple[str, ...]
    slow: bool = False
    drone: int | None = None
    count: int = 10


@cache
def instruments() -> tuple[Instrument, ...]:
    """Entries of the table, in its order."""
    found = []
    for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")):
        low, high = entry.pop("range", (0, -1))
        entry = {"program": None, "keys": range(low, high + 1)} | entry
        found.append(Instrument(**entry | {name: tuple(entry[name]) for name in ("tags", "keys", "patterns")}))
    return tuple(found)


def _held(random: Random, keys: Sequence[int], _step: float, length: float) -> list[Note]:
    """A single note, usually long."""
    return [Note(0.0, random.choice((length, length, 1.5)), random.choice(keys))]


def _scale(random: Random, keys: Sequence[int], step: float, _length: float) -> list[Note]:
    """Eight keys up, down, or both."""
    first = random.randrange(len(keys) - 7)
    up = list(keys[first : first + 8])
    return [Note(n * step, step, key) for n, key in enumerate(random.choice((up, up[::-1], up + up[::-1])))]


def _chords(random: Random, keys: Sequence[int], step: float, length: float) -> list[Note]:
    """Chords of three or four keys, together or strummed."""
    notes = []
    strum = random.choice((0.0, 0.0, 0.04, 0.08))
    for n in range(round(length / (2 * step))):
        root = random.randrange(len(keys) - 7)
        shape = random.choice(((0, 2, 4), (0, 2, 4, 7), (0, 3, 5), (0, 2, 5, 7)))
        for place, degree in enumerate(shape):
            notes.append(Note(2 * step * n + strum * place, 2 * step, keys[root + degree]))
    return notes


def _melody(random: Random, keys: Sequence[int], step: float, length: float) -> list[Note]:
    """A random walk over neighbouring keys."""
    notes: list[Note] = []
    place, now = random.randrange(len(keys)), 0.0
    while now < length:
        lasting = step * random.choice((1, 1, 1, 0.5, 1.5, 2))
        notes.append(Note(now, lasting * random.choice((0.95, 0.95, 0.6)), keys[place]))
        place = min(max(place + random.choice((-3, -2, -1, -1, 1, 1, 2, 3)), 0), len(keys) - 1)
        now += lasting
    return notes


def _strikes(random: Random, keys: Sequence[int], step: float, length: float) -> list[Note]:
    """One strike, or several at mostly regular intervals."""
    now, key = 0.0, random.choice(keys)
    notes = [Note(now, 2.0, key)]
    if random.random() < 0.2:
        return notes
    step *= random.choice((1, 1, 2))
    while (now := now + step * random.choice((1, 1, 1, 1, 0.5, 2))) < length:
        key = random.choice((key, random.choice(keys)))
        notes.append(Note(now, min(step, 2.0), key))
    return notes


def _beat(random: Random, keys: Sequence[int], step: float, length: float) -> list[Note]:
    """A drum kit pattern in four-four time."""
    bass, snare, closed, opened, ride = keys
    pattern = [n == 0 or random.random() < 0.3 for n in range(8)]
    time = random.choice((closed, closed, ride))
    notes = []
    for n in range(round(length / step)):
        struck = [opened if n % 16 == 15 else time] + [bass] * pattern[n % 8] + [snare] * (n % 4 == 2)
        notes += [Note(n * step, step, key) for key in struck]
    return notes


PATTERNS: dict[str, Callable[[Random, Sequence[int], float, float], list[Note]]] = {
    "held": _held, "scale": _scale, "chords": _chords, "melody": _melody, "strikes": _strikes, "beat": _beat,
}  # fmt: skip


def draw_phrase(instrument: Instrument, random: Random) -> list[Note]:
    """Draw a random phrase of 2 to 5 s for an instrument."""
    length = random.uniform(SHORTEST, LONGEST)
    scale, root = random.choice(SCALES), random.randrange(12)
    keys = [key for key in instrument.keys if instrument.program is None or (key - root) % 12 in scale]
    step = random.choice(SLOW if instrument.slow else QUICK)
    notes = PATTERNS[random.choice(instrument.patterns)](random, keys, step, length)
    if instrument.drone is not None:
        notes.append(Note(0.0, length, instrument.drone))
    velocity = random.randint(60, 115)
    return [
        Note(start, min(lasting, length - start), key, velocity + random.randint(-12, 12))
        for start, lasting, key, _ in notes
        if start < length
    ]


def draw_phrases(instrument: Instrument, seed: int = 0) -> list[list[Note]]:
    """Draw all phrases of an instrument, each starting at 0; equal seeds give equal phrases."""
    random = Random(f"{seed} {instrument.label}")
    return [draw_phrase(instrument, random) for _ in range(instrument.count)]


def play_phrases(instrument: Instrument, sample_rate: int, seed: int = 0) -> Iterator[Waveform]:
    """Play an instrument's phrases.

    Yields:
        (S,) float32 at `sample_rate`, at most 6 s, peak 0.17 to 0.7.

    Raises:
        DatasetError: fluidsynth failed.
    """
    phrases = draw_phrases(instrument, seed)
    random = Random(f"{seed} {instrument.label} room")
    with tempfile.TemporaryDirectory() as folder:
        score, raw = Path(folder) / "score.mid", Path(folder) / "raw.wav"
        notes = [note._replace(start=note.start + n * SLOT) for n, phrase in enumerate(phrases) for note in phrase]
        score.write_bytes(midi(instrument.program, notes))
        command = ["fluidsynth", "-ni", "-q", "-r", str(sample_rate), "-g", "0.6", "-C", "0", "-R", random.choice("01")]
        command += ["-o", "synth.dynamic-sample-loading=1", "-F", str(raw), str(SOUND_FONT), str(score)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode or not raw.is_file():
            raise DatasetError(f"fluidsynth failed on {instrument.label}: {done.stderr.strip()[-200:]}")
        sound = load_audio(raw, sample_rate)
    for n, phrase in enumerate(phrases):
        start_s = n * SLOT * QUARTER_S
        end_s = start_s + max(note.start + note.length for note in phrase) * QUARTER_S + RING_S
        clip = sound[round(start_s * sample_rate) : round(end_s * sample_rate)]
        peak = float(np.abs(clip).max())
        clip = clip[: np.flatnonzero(np.abs(clip) > 0.002 * peak)[-1] + 1]
        clip *= 0.35 * 2 ** random.uniform(-1, 1) / peak
        fade = min(len(clip), round(FADE_S * sample_rate))
        clip[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        yield clip

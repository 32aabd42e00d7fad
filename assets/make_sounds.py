"""Make the sounds of this folder by synthesis; recordings of others stay out of the project.

    python assets/make_sounds.py [FOLDER]

Each sound comes from a few lines of arithmetic with a fixed seed, so that running this again gives the same samples: an
alarm clock (beeps of a square wave), a church bell (partials that die away, in an echoing square), a ticking clock (bursts
of a few resonances), a siren (swept harmonics), sea waves (slowly swelling noise), and two pairs in which one sound
follows another. The files are 16-bit FLAC at 32 kHz.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

SAMPLE_RATE = 32000  # hertz
BIT_DEPTH = "PCM_16"
Sound = NDArray[np.float64]  # shape (S,), within -1..1

# Partials of a church bell, as multiples of the perceived pitch (the nominal is at twice it), with loudness and decay in
# seconds. Hum, prime, tierce (a minor third), quint, nominal and above. Source: N. H. Fletcher, T. D. Rossing, "The
# Physics of Musical Instruments", chapter on bells.
BELL_PARTIALS = (
    (0.5, 0.5, 5.0),
    (1.0, 0.8, 3.0),
    (1.2, 0.9, 2.6),
    (1.5, 0.3, 1.8),
    (2.0, 1.0, 1.6),
    (2.5, 0.35, 1.0),
    (2.67, 0.35, 0.9),
    (3.0, 0.5, 0.8),
    (4.0, 0.35, 0.5),
    (5.33, 0.2, 0.3),
)


def _time(seconds: float) -> Sound:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _band(noise: Sound, low_hz: float, high_hz: float) -> Sound:
    filtered: Sound = sosfilt(butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
    return filtered


def _peak(sound: Sound, level: float = 0.5) -> Sound:
    return sound * level / np.abs(sound).max()


def _add(sound: Sound, part: Sound, start_s: float) -> None:
    """Add `part` to `sound` at `start_s` seconds, in place; it is truncated at the end of `sound`."""
    start = int(start_s * SAMPLE_RATE)
    end = min(len(sound), start + len(part))
    sound[start:end] += part[: end - start]


def _echo(sound: Sound, generator: np.random.Generator, level: float, decay_s: float = 0.35) -> Sound:
    """Add reverberation, with decaying noise as the impulse response."""
    time = _time(1.2)
    response = generator.standard_normal(len(time)) * np.exp(-time / decay_s)
    response /= np.sqrt(np.square(response).sum())
    return sound + level * fftconvolve(sound, response)[: len(sound)]


def _then(first: Sound, second: Sound, rms: float = 0.08) -> Sound:
    """Concatenate two sounds at the same RMS level, with fades."""
    parts = []
    for sound in (first, second):
        ramp = np.minimum(1, np.arange(len(sound)) / (0.05 * SAMPLE_RATE))
        parts.append(sound * ramp * ramp[::-1] * rms / np.sqrt(np.square(sound).mean()))
    return np.concatenate(parts)


def alarm_clock(generator: np.random.Generator, seconds: float = 5.0) -> Sound:
    """Groups of four short beeps, once a second."""
    time = _time(seconds)
    beeping = ((time % 1.0) < 0.5) & ((time % 0.125) < 0.07)
    tone = np.sign(np.sin(2 * np.pi * 2048 * time))
    return _peak(_band(tone * beeping, 1000, 9000) + 0.0005 * generator.standard_normal(len(time)), 0.4)


def church_bell(generator: np.random.Generator, seconds: float = 6.0) -> Sound:
    """Three strokes of one bell, each ringing into the next."""
    time = _time(seconds)
    sound = 0.0005 * _band(generator.standard_normal(len(time)), 60, 2000)
    for start_s, loudness in ((0.2, 1.0), (2.2, 0.85), (4.2, 0.95)):
        stroke = np.zeros_like(time)
        for ratio, level, decay_s in BELL_PARTIALS:
            # A bell is never quite round: each partial is a pair that beats slowly.
            for detune in (-0.0006, 0.0006):
                phase = 2 * np.pi * (600 * ratio * (1 + detune) * time + generator.random())
                stroke += level / 2 * np.exp(-time / decay_s) * np.sin(phase)
        clapper = _band(generator.standard_normal(len(time)) * np.exp(-time / 0.01), 800, 6000)
        attack = 1 - np.exp(-time / 0.002)
        _add(sound, loudness * (attack * stroke + 0.8 * clapper), start_s)
    return _peak(_echo(sound, generator, 0.7), 0.5)


def clock_tick(generator: np.random.Generator, seconds: float = 5.0) -> Sound:
    """A clock that ticks and tocks, two beats a second, in a quiet room."""
    time = _time(seconds)
    sound = 0.001 * _band(generator.standard_normal(len(time)), 60, 3000)
    beat_time = _time(0.12)
    for number in range(int(seconds * 2)):
        tick = np.zeros_like(beat_time)
        # The escapement's catch, then its drop a few milliseconds later; tick and tock differ in pitch.
        pitch = 1.0 if number % 2 == 0 else 0.82
        for delay_s, level in ((0.0, 0.5), (0.009, 1.0), (0.021, 0.4)):
            click = np.zeros_like(beat_time)
            for hertz, loudness, decay_s in (
                (2300, 1.0, 0.004),
                (3900, 0.8, 0.003),
                (6100, 0.5, 0.002),
                (850, 0.5, 0.010),
            ):
                ring = np.exp(-beat_time / decay_s) * np.sin(2 * np.pi * hertz * pitch * beat_time)
                click += loudness * ring
            click += 0.6 * _band(generator.standard_normal(len(beat_time)) * np.exp(-beat_time / 0.0015), 1500, 9000)
            _add(tick, level * click, delay_s)
        _add(sound, tick * generator.uniform(0.9, 1.1), 0.25 + number * 0.5)
    return _peak(sound, 0.4)


def siren(generator: np.random.Generator, seconds: float = 5.0) -> Sound:
    """An emergency vehicle's wail: harmonics swept between 600 and 1,350 Hz."""
    time = _time(seconds)
    pitch = 975 + 375 * np.sin(2 * np.pi * 0.3 * time - np.pi / 2)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tone = sum(np.sin(number * phase) / number**1.2 for number in range(1, 7))
    return _peak(tone + 0.02 * _band(generator.standard_normal(len(time)), 100, 4000), 0.4)


def sea_waves(generator: np.random.Generator, seconds: float = 6.0) -> Sound:
    """Noise that swells and falls back, its hiss brightest when the wave breaks."""
    time = _time(seconds)
    swell = (0.5 - 0.5 * np.cos(2 * np.pi * time / 3.0)) ** 2
    low = _band(generator.standard_normal(len(time)), 80, 900)
    high = _band(generator.standard_normal(len(time)), 900, 7000)
    return _peak((0.25 + swell) * low + 0.7 * swell**1.5 * high + 0.05 * high, 0.4)


def make_all() -> dict[str, Sound]:
    """Return all sounds by name: single sounds, then pairs."""
    makers: list[Callable[[np.random.Generator], Sound]] = [alarm_clock, siren, sea_waves, church_bell, clock_tick]
    sounds = {maker.__name__: maker(np.random.default_rng(number)) for number, maker in enumerate(makers)}
    sounds["siren_then_waves"] = _then(sounds["siren"][: 3 * SAMPLE_RATE], sounds["sea_waves"][: 4 * SAMPLE_RATE])
    sounds["waves_then_bell"] = _then(sounds["sea_waves"][: 4 * SAMPLE_RATE], sounds["church_bell"][: 4 * SAMPLE_RATE])
    return sounds


def main() -> None:
    """Write all sounds to the given folder, by default that of this script."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for name, sound in make_all().items():
        soundfile.write(folder / f"{name}.flac", sound, SAMPLE_RATE, subtype=BIT_DEPTH)


if __name__ == "__main__":
    main()

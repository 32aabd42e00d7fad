"""Make the sounds of this folder by synthesis; recordings of others stay out of the project.

    python assets/make_sounds.py

Each sound comes from a few lines of arithmetic with a fixed seed, so that running this again gives the same files:
an alarm clock (square-wave beeps), a siren (swept harmonics), sea waves (slowly swelling noise), and the siren with the
waves after it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 32000  # hertz
Sound = NDArray[np.float64]


def _time(seconds: float) -> Sound:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _band(noise: Sound, low_hz: float, high_hz: float) -> Sound:
    filtered: Sound = sosfilt(butter(2, [low_hz, high_hz], "bandpass", fs=SAMPLE_RATE, output="sos"), noise)
    return filtered


def _peak(sound: Sound, level: float = 0.5) -> Sound:
    return sound * level / np.abs(sound).max()


def alarm_clock(generator: np.random.Generator, seconds: float = 5.0) -> Sound:
    """Groups of four short beeps, once a second."""
    time = _time(seconds)
    beeping = ((time % 1.0) < 0.5) & ((time % 0.125) < 0.07)
    tone = np.sign(np.sin(2 * np.pi * 2048 * time))
    return _peak(_band(tone * beeping, 1000, 9000) + 0.0005 * generator.standard_normal(len(time)), 0.4)


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


def main() -> None:
    """Write every sound, and one of two in a row."""
    folder = Path(__file__).parent
    makers: list[Callable[[np.random.Generator], Sound]] = [alarm_clock, siren, sea_waves]
    sounds = {maker.__name__: maker(np.random.default_rng(number)) for number, maker in enumerate(makers)}
    sounds["siren_then_waves"] = np.concatenate([sounds["siren"][: 4 * SAMPLE_RATE], sounds["sea_waves"]])
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.flac", sound, SAMPLE_RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()

"""Sounds of our own making for a captioner to be judged on: speech by espeak-ng, instruments by fluidsynth, tones by sox.

    apt-get install espeak-ng fluidsynth timgm6mb-soundfont sox
    python -m benchmarks.made_sounds --output datasets/made_sounds
    python -m benchmarks.unseen --labelled datasets/made_sounds --held_out 100 --ckpt_path checkpoints/any_sound \
        --output benchmarks/results/made_sounds.md

The folder has `clips/` and `clips.csv`, as `data.labelled.collections` reads it. All programs and the sound font are
free software.
"""

import argparse
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from configs.commands import run_command
from data.tables import DatasetError, write_rows
from tools.midi import Note, midi

logger = logging.getLogger(__name__)

PROGRAMS = ("espeak-ng", "fluidsynth", "sox")
SOUND_FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
SAMPLE_RATE = 32000

# Label, espeak-ng's voice, words a minute and text. Voices: https://github.com/espeak-ng/espeak-ng/blob/master/docs/voices.md
SPEECH = (
    ("man speaking", "en-us+m3", 150, "Good evening. The train to the coast leaves from platform four in ten minutes."),
    ("woman speaking", "en-gb+f3", 150, "Please mind the gap, and keep your belongings with you at all times."),
    ("whispering", "en-us+whisper", 130, "Do not wake the others, they have only just gone to sleep."),
    ("fast speech", "en-gb+m1", 280, "And they are off, and round the corner comes the favourite, closely followed by the rest."),
    ("slow counting", "en-us+f2", 90, "One. Two. Three. Four. Five. Six."),
)  # fmt: skip
# Label, General MIDI program (0 to 127; None for drums) and notes.
SCALE = tuple(Note(step, 1.0, key) for step, key in enumerate((60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65, 64, 62)))
CHORDS = tuple(Note(2.0 * n, 2.0, key) for n, root in enumerate((48, 53, 55, 48)) for key in (root, root + 4, root + 7))
BEAT = tuple(Note(0.5 * n, 0.25, (36, 42, 38, 42)[n % 4]) for n in range(28))
HELD = (Note(0.0, 12.0, 60),)
INSTRUMENTS = (
    ("piano", 0, SCALE), ("music box", 10, SCALE), ("xylophone", 13, SCALE), ("church organ", 19, CHORDS),
    ("acoustic guitar", 24, SCALE), ("electric guitar chords", 30, CHORDS), ("violin", 40, SCALE), ("harp", 46, SCALE),
    ("string orchestra", 48, CHORDS), ("choir", 52, CHORDS), ("trumpet", 56, SCALE), ("flute", 73, SCALE),
    ("synthesizer", 81, SCALE), ("banjo", 105, SCALE), ("tubular bells", 14, SCALE[:7]), ("drum kit", None, BEAT),
    ("seashore effect", 122, HELD), ("bird effect", 123, HELD), ("telephone effect", 124, HELD),
    ("helicopter effect", 125, HELD), ("applause effect", 126, HELD),
    ("gunshot effect", 127, (Note(0.0, 4.0, 60), Note(6.0, 4.0, 60))),
)  # fmt: skip
# Label and sox's effects on silence; times in seconds, frequencies in hertz.
TONES = (
    ("steady beep", "synth 6 sine 1000"),
    ("repeated beeps", "synth 0.2 sine 2000 pad 0 0.3 repeat 10"),
    ("busy tone", "synth 0.5 sine 480 synth 0.5 sine mix 620 pad 0 0.5 repeat 5"),
    ("rising siren", "synth 1.5 sine 500:1400 repeat 4"),
    ("white noise", "synth 8 whitenoise gain -12"),
    ("low hum", "synth 8 sawtooth 60 lowpass 400"),
    ("plucked string", "synth 2 pluck E3 fade 0 2 1.5 repeat 2"),
    ("heartbeat", "synth 0.12 sine 55 fade 0 0.12 0.1 pad 0 0.15 repeat 1 pad 0 0.5 repeat 6"),
)  # fmt: skip


def speak(raw: Path, voice: str, speed: int, text: str) -> None:
    """Write a text as espeak-ng says it."""
    _run("espeak-ng", "-v", voice, "-s", str(speed), "-w", str(raw), text)


def play(raw: Path, program: int | None, notes: Sequence[Note]) -> None:
    """Write notes as the sound font plays them."""
    score = raw.with_suffix(".mid")
    score.write_bytes(midi(program, notes))
    _run("fluidsynth", "-ni", "-F", str(raw), "-r", str(SAMPLE_RATE), str(SOUND_FONT), str(score))


def sound(raw: Path, effects: str) -> None:
    """Write what sox's effects make of silence, at 48 kHz: pluck takes no lower rate."""
    _run("sox", "-r", "48000", "-n", str(raw), *effects.split())


def finish(raw: Path, target: Path) -> None:
    """One channel at the usual rate, 10 s at most, its peak 3 dB below full scale."""
    one_channel = ("remix", "-", "rate", str(SAMPLE_RATE), "trim", "0", "10", "gain", "-n", "-3")
    _run("sox", str(raw), "-b", "16", str(target), *one_channel)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except subprocess.CalledProcessError as error:
        raise DatasetError(
            f"{command[0]} failed: {(error.stderr or error.stdout).strip().splitlines()[-1:]}"
        ) from error


def run(options: argparse.Namespace) -> int:
    """Make all sounds; returns the exit status."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or not SOUND_FONT.is_file():
        raise DatasetError(
            f"{', '.join(missing) or SOUND_FONT} is missing: apt-get install espeak-ng fluidsynth timgm6mb-soundfont sox"
        )
    clips = options.output / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    families: tuple[tuple[Callable[..., None], Sequence[tuple[Any, ...]]], ...] = (
        (speak, SPEECH), (play, INSTRUMENTS), (sound, TONES),
    )  # fmt: skip
    makers = [(make, *entry) for make, entries in families for entry in entries]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.wav"
        for make, label, *settings in tqdm(makers, desc="sounds", unit="clip"):
            make(raw, *settings)
            rows.append([f"{label.replace(' ', '_')}.flac", label])
            finish(raw, clips / rows[-1][0])
    write_rows(options.output / "clips.csv", ["file_name", "label"], rows)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Captioned data sets of labelled sounds in Clotho's layout, and mixtures of two labelled sounds.

    python -m data.labelled.mixtures --root datasets/ESC-50 --output datasets/sounds50

`--root` is a folder in ESC-50's layout (K. J. Piczak, ACM Multimedia 2015: meta/esc50.csv and audio/), or one with
clips.csv (file_name, fold, category, freesound_id) and clips/. All clips of a Freesound recording are in the same fold, so that
training and validation clips, split by fold, come from different recordings.
"""

import argparse
import io
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from configs.atomic_files import write_file
from configs.commands import command_parser, run_command
from data.audio import load_audio
from data.clotho import DatasetError, FileClip
from data.labelled.caption_templates import (
    FRAME_S,
    SoundShape,
    active_frames,
    describe,
    describe_mixture,
    envelope_db,
    measure,
    phrases,
    short_template,
)
from data.labelled.collections import find_layout, fold_of
from data.labelled.label_captions import caption_label, has_captions
from data.tables import FileIndex, TableReport, read_rows, write_rows

logger = logging.getLogger(__name__)

NUM_REFERENCES = 5
MIXTURE_RATE = 32000  # sample rate of mixtures written to disk, in hertz
ANALYSIS_RATE = 16000  # sample rate for the measurement of envelopes, in hertz
_LONGEST_PART_S, _SHORTEST_PART_S = 5.0, 1.0
_FADE_S = 0.02
_TARGET_RMS = 0.08


@dataclass(frozen=True)
class LabelledSound:
    """A clip of a labelled collection.

    Attributes:
        path: path of the audio file.
        fold: number of its fold.
        category: category of its sound, a key of `sound_phrases.yaml`.
        source_id: id of the original recording.
    """

    path: Path
    fold: int
    category: str
    source_id: str


def read_collection(root: Path) -> list[LabelledSound]:
    """Read the clips of a labelled collection.

    Raises:
        DatasetError: the folder has neither layout, a column is missing, or a category has no phrases.
    """
    layout = find_layout(root)
    if layout is None:
        raise DatasetError(
            f"{root} has neither meta/esc50.csv nor clips.csv: python -m data.download esc50 downloads ESC-50."
        )
    table, folder, name = layout
    columns, records = read_rows(table, TableReport())
    source = "src_file" if "src_file" in columns else "freesound_id"
    missing = [column for column in (name, "fold", "category", source) if column not in columns]
    if missing:
        raise DatasetError(f"{table} lacks the column {missing[0]}; it has {', '.join(columns)}.")
    unknown = sorted({row["category"] for _, row in records} - set(phrases()))
    if unknown:
        raise DatasetError(
            f"{table} has the category {unknown[0]}, which is missing in data/labelled/sound_phrases.yaml."
        )
    index = FileIndex(folder)
    return [
        LabelledSound(
            index.find(row[name]) or folder / row[name], fold_of(table, line, row["fold"]), row["category"], row[source]
        )
        for line, row in records
    ]


@dataclass(frozen=True)
class Mixture:
    """Mixture of two clips, in sequence or simultaneous; the waveform is computed by `load`.

    Attributes:
        name: name, unique in its data set.
        first: first clip of a sequence, or reference clip of an overlay.
        second: second clip.
        order: "sequence" for successive clips, "overlay" for simultaneous ones.
        gain_db: level of the second clip relative to the first, in decibels.
        seed: seed of the template captions.
        given_captions: captions; if empty, five template captions in Clotho's style are drawn with `seed`.
    """

    name: str
    first: FileClip
    second: FileClip
    order: str
    gain_db: float
    seed: int
    given_captions: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Categories of both clips."""
        return self.first.labels + self.second.labels

    @property
    def style(self) -> str:
        """Style of the captions."""
        return self.first.style

    @property
    def identity(self) -> str:
        """Cache key, derived from both files and the mixing parameters."""
        return f"mixture 1|{self.first.identity}|{self.second.identity}|{self.order}|{self.gain_db:.3f}"

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """Given captions, or five template captions, which mention counts of sounds as measured in the waveforms."""
        if self.given_captions:
            return self.given_captions
        generator = np.random.default_rng(self.seed)
        parts = [(clip.labels[0], _shape(clip)) for clip in (self.first, self.second)]
        return tuple(describe_mixture(parts[0], parts[1], self.order, self.gain_db, generator, NUM_REFERENCES))

    def load(self, sample_rate: int, max_duration_s: float | None) -> NDArray[np.float32]:
        """Return the mixed waveform (S,) float32 at `sample_rate` hertz, at most 10 s and `max_duration_s` seconds long."""
        first, second = (_sounding_part(clip, sample_rate) for clip in (self.first, self.second))
        first, second = _level(first, 0.0), _level(second, self.gain_db)
        if self.order == "sequence":
            mixed = np.concatenate([first, second])
        else:
            mixed = np.zeros(max(len(first), len(second)), np.float32)
            mixed[: len(first)] += first
            start = (len(mixed) - len(second)) // 2
            mixed[start : start + len(second)] += second
        mixed = (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)
        return mixed if max_duration_s is None else mixed[: int(max_duration_s * sample_rate)]


@lru_cache(maxsize=2048)  # a training epoch mixes each clip several times; 2048 clips of 5 s are at most 1.3 GB
def _sounding_part(clip: FileClip, sample_rate: int) -> NDArray[np.float32]:
    """Return a clip (S,) without leading and trailing silence, 1 to 5 s long, with short fades."""
    waveform = clip.load(sample_rate, _LONGEST_PART_S)
    sounding = np.flatnonzero(active_frames(envelope_db(waveform, sample_rate)))
    if len(sounding):
        frame = int(FRAME_S * sample_rate)
        start, end = int(sounding[0]) * frame, (int(sounding[-1]) + 3) * frame
        start = max(0, start - 2 * frame)
        waveform = waveform[start : max(end, start + int(_SHORTEST_PART_S * sample_rate))]
    waveform = waveform.copy()
    fade = np.linspace(0, 1, min(int(_FADE_S * sample_rate), len(waveform)), dtype=np.float32)
    waveform[: len(fade)] *= fade
    waveform[len(waveform) - len(fade) :] *= fade[::-1]
    waveform.setflags(write=False)  # shared by all mixtures of this clip
    return waveform


@lru_cache(maxsize=16384)
def _shape(clip: FileClip) -> SoundShape:
    return measure(_sounding_part(clip, ANALYSIS_RATE), ANALYSIS_RATE)


def _level(waveform: NDArray[np.float32], gain_db: float) -> NDArray[np.float32]:
    """Scale a waveform (S,) so that the power of its louder half equals a common value plus `gain_db` decibels."""
    power = np.sort(np.square(waveform, dtype=np.float64))
    loud = float(np.sqrt(power[len(power) // 2 :].mean())) if len(power) else 0.0
    return waveform * np.float32(_TARGET_RMS * 10 ** (gain_db / 20) / max(loud, 1e-6))


def make_mixtures(clips: Sequence[FileClip], count: int, seed: int) -> list[Mixture]:
    """Draw mixtures of two clips of different categories: half in sequence, half simultaneous at -5 to 5 dB.

    Args:
        clips: labelled clips with one label each.
        count: number of mixtures.
        seed: seed of the draws; equal seeds give equal mixtures.

    Raises:
        DatasetError: the clips have fewer than two distinct labels.
    """
    usable = [clip for clip in clips if len(clip.labels) == 1]
    if len({clip.labels[0] for clip in usable}) < 2:
        raise DatasetError(
            "mixtures need clips of two labels or more: build the data set with python -m data.labelled.mixtures."
        )
    generator = np.random.default_rng([seed, len(usable)])
    orders = [("sequence", "overlay")[number % 2] for number in range(count)]
    return [draw_mixture(usable, order, f"{order}_{number:05d}.flac", generator) for number, order in enumerate(orders)]


def caption_with_templates(clips: Sequence[FileClip], mixtures: int, style: str, seed: int) -> list[FileClip | Mixture]:
    """Return labelled clips and mixtures of two clips, each with five short template captions.

    Args:
        clips: labelled clips; those without exactly one label in `sound_phrases.yaml` or `label_captions.yaml` are omitted.
        mixtures: number of mixtures of sounds in `sound_phrases.yaml`: half in sequence, half simultaneous.
        style: style of the captions.
        seed: seed of the draws.
    """
    single = [clip for clip in clips if len(clip.labels) == 1 and has_captions(clip.labels[0])]
    captioned: list[FileClip | Mixture] = []
    for number, clip in enumerate(single):
        generator = np.random.default_rng([seed, number])
        texts = tuple(caption_label(clip.labels[0], generator) for _ in range(NUM_REFERENCES))
        captioned.append(replace(clip, captions=texts, style=style))
    styled = [replace(clip, style=style) for clip in single if clip.labels[0] in phrases()]
    for mixture in make_mixtures(styled, mixtures, seed) if mixtures else []:
        generator = np.random.default_rng(mixture.seed)
        texts = tuple(short_template(mixture.labels, mixture.order, generator) for _ in range(NUM_REFERENCES))
        captioned.append(replace(mixture, given_captions=texts))
    return captioned


def draw_mixture(clips: Sequence[FileClip], order: str, name: str, generator: np.random.Generator) -> Mixture:
    """Draw a mixture of two clips of different categories and recordings.

    Args:
        clips: labelled clips with one label each and at least two distinct labels.
        order: "sequence", with a level difference of at most 3 dB, or "overlay", with at most 5 dB.
        name: name of the mixture.
        generator: random generator.
    """
    while True:
        first, second = (clips[int(index)] for index in generator.integers(len(clips), size=2))
        if first.labels != second.labels and (not first.source_id or first.source_id != second.source_id):
            widest = 5.0 if order == "overlay" else 3.0
            gain = float(generator.uniform(-widest, widest))
            return Mixture(name, first, second, order, gain, int(generator.integers(2**31)))


def build(root: Path, output: Path, validation_fold: int, num_mixtures: int, seed: int) -> dict[str, int]:
    """Write a data set in Clotho's layout: development and validation clips with captions and labels.

    Args:
        root: folder of the labelled collection.
        output: folder to write; must be empty or not exist.
        validation_fold: fold of the validation split. Folds above both 4 and this one are omitted, so that ESC-50's fifth fold
            remains unused by default.
        num_mixtures: number of mixtures added to the validation split.
        seed: seed of captions and mixtures.

    Returns:
        Number of clips in each split.

    Raises:
        DatasetError: the output folder is not empty, or the collection is unusable.
        FileNotWrittenError: no space, or no permission. After this and any other error the output folder is removed.
    """
    if output.exists() and any(output.iterdir()):
        raise DatasetError(f"{output} is not empty: give a new folder with --output.")
    try:
        return _write(root, output, validation_fold, num_mixtures, seed)
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)  # it was empty, and must be for the next try
        raise


def _write(root: Path, output: Path, validation_fold: int, num_mixtures: int, seed: int) -> dict[str, int]:
    sounds = [sound for sound in read_collection(root) if sound.fold <= max(4, validation_fold)]
    captions: dict[str, list[list[str]]] = {"development": [], "validation": []}
    labels: list[list[str]] = []
    validation: list[FileClip] = []
    for number, sound in enumerate(tqdm(sounds, desc="captions", unit="clip")):
        split = "validation" if sound.fold == validation_fold else "development"
        folder = output / split
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / sound.path.name
        write_file(target, sound.path.read_bytes())
        generator = np.random.default_rng([seed, number])
        shape = measure(load_audio(target, ANALYSIS_RATE), ANALYSIS_RATE)
        captions[split].append([target.name, *describe(sound.category, shape, generator, NUM_REFERENCES)])
        labels.append([split, target.name, "single", sound.category, sound.source_id])
        if split == "validation":
            validation.append(FileClip(target, (), (sound.category,), sound.source_id))
    for mixture in tqdm(
        make_mixtures(validation, num_mixtures, seed) if num_mixtures else [], desc="mixtures", unit="clip"
    ):
        content = io.BytesIO()  # soundfile's errors lack the reason of a failed write
        soundfile.write(content, mixture.load(MIXTURE_RATE, None), MIXTURE_RATE, format="WAV", subtype="PCM_16")
        write_file(output / "validation" / mixture.name, content.getvalue())
        captions["validation"].append([mixture.name, *mixture.captions])
        sources = f"{mixture.first.source_id};{mixture.second.source_id}"
        labels.append(["validation", mixture.name, mixture.order, ";".join(mixture.labels), sources])
    header = ["file_name", *(f"caption_{number}" for number in range(1, NUM_REFERENCES + 1))]
    for split, rows in captions.items():
        write_rows(output / f"clotho_captions_{split}.csv", header, rows)
    write_rows(output / "labels.csv", ["split", "file_name", "kind", "labels", "source_id"], labels)
    return {split: len(rows) for split, rows in captions.items()}


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser("python -m data.labelled.mixtures", __doc__)
    parser.add_argument("--root", type=Path, required=True, help="ESC-50, or a folder with clips.csv and clips/")
    parser.add_argument("--output", type=Path, required=True, help="new folder for the data set")
    parser.add_argument("--validation_fold", type=int, default=4, help="fold of the validation clips (default: 4)")
    parser.add_argument(
        "--mixtures", type=int, default=400, help="validation mixtures, half of them sequences (default: 400)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of captions and mixtures (default: 0)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Build the data set; return the exit status."""
    counts = build(options.root, options.output, options.validation_fold, options.mixtures, options.seed)
    logger.info("%s: %s", options.output, ", ".join(f"{count} {split} clips" for split, count in counts.items()))
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

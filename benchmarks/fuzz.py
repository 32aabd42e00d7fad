"""Damaged sound files of every format: each must give samples or one `AudioError`, in time and without output.

    python -m benchmarks fuzz --cases 3000 --seed 0

A case takes a sound file in one of the supported formats and truncates it, concatenates it with another, overwrites bytes of
its header or body, drops, repeats or zeroes a part, or replaces a size field by an extreme number. The file is then read as a
whole, in windows, and for its duration. Cases run in a subprocess, so that a crash or a hang is reported with its case number
and its file is kept; `--case N` repeats one case.
"""

import argparse
import faulthandler
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.random import Generator
from numpy.typing import NDArray

from configs.commands import command_parser, run_command
from data.audio import AudioError, audio_duration_s, load_audio, stream_audio
from data.survey.survey import survey_file

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[1]
RATE_HZ = 16_000
LONGEST_CASE_S = 30.0
_SAMPLES = 2.0  # seconds of sound in each file
_BY_SOUNDFILE = (
    "wav PCM_16", "wav FLOAT", "wav IMA_ADPCM", "w64 PCM_16", "rf64 PCM_16", "aiff PCM_24", "au PCM_16", "caf PCM_16",
    "flac PCM_16", "ogg VORBIS", "ogg OPUS", "mp3 MPEG_LAYER_III",
)  # fmt: skip
_BY_FFMPEG = (
    "m4a aac",
    "mp4 aac",
    "aac aac",
    "webm libopus",
    "mka libmp3lame",
    "mkv pcm_s16le",
    "mp2 mp2",
    "ac3 ac3",
    "3gp aac",
    "wma wmav2",
    "ts aac",
    "mpg mp2",
    "flv libmp3lame",
    "wv wavpack",
    "tta tta",
    "eac3 eac3",
)
_SIZES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFF0000, 1 << 20)


def make_sounds(folder: Path) -> list[Path]:
    """Write one file of each kind."""
    generator = np.random.default_rng(0)
    time_s = np.arange(int(_SAMPLES * RATE_HZ)) / RATE_HZ
    mono = 0.3 * np.sin(2 * np.pi * (300 + 200 * time_s) * time_s) + 0.02 * generator.normal(size=len(time_s))
    sound = np.stack([mono, 0.5 * mono], axis=1).astype(np.float32)  # (S, 2)
    paths = []
    for number, kind in enumerate(_BY_SOUNDFILE):
        suffix, subtype = kind.split()
        path = folder / f"{number:02}.{suffix}"
        soundfile.write(path, sound, RATE_HZ, subtype=subtype, format={"w64": "W64", "rf64": "RF64"}.get(suffix))
        paths.append(path)
    for number, kind in enumerate(_BY_FFMPEG, start=len(paths)):
        suffix, codec = kind.split()
        path = folder / f"{number:02}.{suffix}"
        encode(path, codec, sound)
        paths.append(path)
    return paths


def encode(path: Path, codec: str, sound: NDArray[np.float32], rate: int = 48_000) -> Path:
    """Write samples (S, C) at RATE_HZ with an encoder of FFmpeg's, at another rate."""
    layout = {1: "mono", 2: "stereo"}[sound.shape[1]]
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        if codec.startswith("wma"):
            stream.bit_rate = 128_000  # it has no default
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), format="fltp", layout=layout)
        frame.sample_rate = RATE_HZ
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def _cut(content: bytearray, others: list[bytes], generator: Generator) -> None:
    del content[int(generator.integers(0, len(content))) :]


def _flip(content: bytearray, others: list[bytes], generator: Generator) -> None:
    for place in generator.integers(0, len(content), int(generator.integers(1, 40))):
        content[place] = int(generator.integers(256))


def _damage_header(content: bytearray, others: list[bytes], generator: Generator) -> None:
    for place in generator.integers(0, min(200, len(content)), int(generator.integers(1, 6))):
        content[place] = int(generator.choice([0, 1, 0x7F, 0x80, 0xFF, int(generator.integers(256))]))


def _set_size(content: bytearray, others: list[bytes], generator: Generator) -> None:
    place = int(generator.integers(0, max(1, min(400, len(content)) - 4)))
    order = "big" if generator.random() < 0.5 else "little"
    content[place : place + 4] = int(generator.choice(_SIZES)).to_bytes(4, order)  # type: ignore[arg-type]


def _drop(content: bytearray, others: list[bytes], generator: Generator) -> None:
    begin, end = sorted(generator.integers(0, len(content), 2).tolist())
    del content[begin:end]


def _double(content: bytearray, others: list[bytes], generator: Generator) -> None:
    begin, end = sorted(generator.integers(0, len(content), 2).tolist())
    content[end:end] = content[begin:end]


def _blank(content: bytearray, others: list[bytes], generator: Generator) -> None:
    begin, end = sorted(generator.integers(0, len(content), 2).tolist())
    content[begin:end] = bytes([0 if generator.random() < 0.5 else 0xFF]) * (end - begin)


def _join(content: bytearray, others: list[bytes], generator: Generator) -> None:
    content += bytes(content) if generator.random() < 0.5 else others[int(generator.integers(len(others)))]


def _add_noise(content: bytearray, others: list[bytes], generator: Generator) -> None:
    noise = generator.integers(0, 256, int(generator.integers(1, 5000)), dtype=np.uint8).tobytes()
    place = int(generator.choice([0, len(content), int(generator.integers(len(content)))]))
    content[place:place] = noise


Mutation = Callable[[bytearray, list[bytes], Generator], None]
MUTATIONS: tuple[Mutation, ...] = (
    _cut, _flip, _flip, _damage_header, _damage_header, _set_size, _set_size, _drop, _double, _blank, _join, _add_noise,
)  # fmt: skip


def mutate(contents: list[bytes], number: int, seed: int) -> tuple[int, bytes]:
    """Return the index of the sound that a case damages, and the damaged bytes."""
    generator = np.random.default_rng([seed, number])
    chosen = number % len(contents)
    content = bytearray(contents[chosen])
    for _ in range(int(generator.integers(1, 4))):
        MUTATIONS[int(generator.integers(len(MUTATIONS)))](content, contents, generator)
        if not content:
            break
    return chosen, bytes(content)


def read_every_way(path: Path) -> str:
    """Read a file in all ways; returns "samples" or "error".

    Raises:
        AssertionError: results differ, samples are not finite, or a message does not name the file.
    """
    with path.open("rb") as file:
        survey_file(file)
    outcomes = []
    for read in (
        lambda: load_audio(path, RATE_HZ),
        lambda: np.concatenate([window for _, window in stream_audio(path, RATE_HZ, 1.0)]),
        lambda: np.full(1, audio_duration_s(path)),
    ):
        try:
            found = read()
        except AudioError as error:
            assert path.name in str(error) and "\n" not in str(error), f"message without the file name: {error!r}"
            outcomes.append("error")
        else:
            assert np.isfinite(found).all() and len(found), "samples are missing or not finite"
            outcomes.append("samples")
    assert outcomes[0] == outcomes[1], f"read as a whole: {outcomes[0]}, read in windows: {outcomes[1]}"
    return outcomes[0]


def _run_cases(folder: Path, numbers: Sequence[int], seed: int) -> None:
    """Run cases in the subprocess, with two lines per case on stdout; any output on stderr is a fault."""
    warnings.simplefilter("ignore")
    paths = sorted(path for path in folder.iterdir() if path.stem.isdigit())
    contents = [path.read_bytes() for path in paths]
    for number in numbers:
        chosen, content = mutate(contents, number, seed)
        path = folder / f"case_{number}{paths[chosen].suffix}"
        path.write_bytes(content)
        print(f"begin {number} {path.name}", flush=True)
        faulthandler.dump_traceback_later(LONGEST_CASE_S, exit=True)
        started_s = time.monotonic()
        outcome = read_every_way(path)
        faulthandler.cancel_dump_traceback_later()
        print(f"done {number} {outcome} {time.monotonic() - started_s:.3f}", flush=True)
        path.unlink()


def fuzz(numbers: Sequence[int], seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Run cases.

    Args:
        numbers: numbers of the cases.
        seed: random seed of the damage.
        folder: folder of the files; files with a fault are kept.

    Returns:
        Number of files that gave samples and errors, the slowest case's milliseconds, and one line per fault.
    """
    make_sounds(folder)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    left = list(numbers)
    while left:
        command = [sys.executable, "-c", _CHILD, str(folder), str(seed), ",".join(map(str, left))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", env=_environment())
        began = -1
        for line in done.stdout.splitlines():
            words = line.split()
            if words[:1] == ["begin"]:
                began = int(words[1])
            elif words[:1] == ["done"]:
                counts[words[2]] += 1
                counts["slowest_ms"] = max(counts["slowest_ms"], int(1000 * float(words[3])))
                left.remove(int(words[1]))
        if done.stderr.strip():
            faults.append(f"case {began} of seed {seed}: {done.stderr.strip()[-600:]}")
        if done.returncode:
            faults.append(f"case {began} of seed {seed} ended the process with status {done.returncode}")
            if began not in left:
                break
            left.remove(began)
    return counts, faults


_CHILD = (
    "import logging, sys; from pathlib import Path; from benchmarks.fuzz import _run_cases; "
    "logging.getLogger('data').setLevel(logging.CRITICAL); "
    "_run_cases(Path(sys.argv[1]), [int(number) for number in sys.argv[3].split(',')], int(sys.argv[2]))"
)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks fuzz", __doc__)
    parser.add_argument("--cases", type=int, default=300, help="number of cases (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the damage (default: 0)")
    parser.add_argument("--case", type=int, help="run only the case with this number, 0 or more")
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder of the files; files with a fault are kept (default: a temporary folder)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the cases; returns the exit status."""
    numbers = range(options.cases) if options.case is None else [options.case]
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fuzz_"))
    folder.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    counts, faults = fuzz(numbers, options.seed, folder)
    for fault in faults:
        print(fault)
    print(
        f"{len(numbers)} cases with seed {options.seed} in {time.monotonic() - started_s:.0f} s: {counts['samples']} gave "
        f"samples, {counts['error']} an error; the slowest took {counts['slowest_ms']} ms; {len(faults)} faults"
    )
    return 1 if faults else 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

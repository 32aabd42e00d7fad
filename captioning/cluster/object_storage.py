"""Recordings on object storage, given by fsspec URLs such as s3://bucket/night/*.flac."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url} cannot be opened: {error}.") from error
    return system, path


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__

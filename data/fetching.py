"""Fetch files from a server: resumed where a run ended, bounded while they flow, checked before they get their name."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tqdm import tqdm

from configs.atomic_files import open_locked, sync

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

TIMEOUT_S = 60
ATTEMPTS = 5
MAX_BYTES = 16 << 30  # of a file whose size nobody published; Clotho's largest archive has about 5 GB
RESERVE_BYTES = 64 << 20  # left free on the disk
_BLOCK_BYTES = 1 << 14  # what a broken connection may lose


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


def fetch(remote: RemoteFile, folder: Path, mirror: str | None = None) -> Path:
    """Fetch one file unless it is there already with the right checksum.

    Args:
        remote: file to fetch.
        folder: destination folder.
        mirror: server to ask in place of the file's own, such as `http://127.0.0.1:8000`.

    Raises:
        DownloadError: no connection, no space, a wrong size, or a wrong checksum; no file is left under the final name then.
    """
    path = folder / remote.name
    url = f"{mirror.rstrip('/') if mirror else remote.host}{remote.path}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and _is_published(path, remote):
            return path
        part = folder / f"{remote.name}.part"
        descriptor = open_locked(part)
    except OSError as error:
        raise DownloadError(
            f"{path} cannot be written ({error.strerror}): give another folder with --output."
        ) from error
    if descriptor is None:
        raise DownloadError(f"another download is writing {part}: wait for its end.")
    with os.fdopen(descriptor, "r+b") as file:
        try:
            _Download(remote, url, part, file).run()
        except DownloadError:
            if not file.seek(0, os.SEEK_END):
                part.unlink(missing_ok=True)
            raise
        if not _is_published(part, remote):
            part.unlink()
            raise DownloadError(
                f"{url} is not the published file (its checksum is not {remote.checksum}): nothing was kept."
            )
    os.replace(part, path)
    sync(folder)
    return path


def _is_published(path: Path, remote: RemoteFile) -> bool:
    """Whether a file has the published checksum, where there is one."""
    if remote.checksum is None:
        return True
    import pooch

    kind, expected = remote.checksum.split(":")
    return bool(pooch.file_hash(str(path), alg=kind) == expected)


def check_space(folder: Path, wanted: int, what: str) -> None:
    """Refuse what the disk cannot hold.

    Args:
        folder: destination folder.
        wanted: bytes that are still to be written.
        what: for the message.

    Raises:
        DownloadError: fewer bytes are free, or fewer than RESERVE_BYTES more.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted + RESERVE_BYTES:
        raise DownloadError(
            f"{what} needs {(wanted + RESERVE_BYTES) / 1e9:.1f} GB more and {folder} has {free / 1e9:.1f} GB free: make room, "
            "or give another folder with --output."
        )


class _Download:
    """One file on its way into `NAME.part`, which is kept when fetching fails, so that the next run goes on with it."""

    def __init__(self, remote: RemoteFile, url: str, part: Path, file: BinaryIO) -> None:
        self.remote, self.url, self.part, self.file = remote, url, part, file

    def run(self) -> None:
        """Fetch it whole, over several connections where one breaks."""
        import requests  # scores import this module, and seldom fetch

        problem: Exception | None = None
        for _ in range(ATTEMPTS):
            try:
                if self._fetch():
                    return
                problem = None
            except requests.HTTPError as error:
                status = error.response.status_code if error.response is not None else "no status"
                raise DownloadError(f"{self.url} answered {status}: try again later.") from error
            except requests.RequestException as error:
                problem = error
                logger.warning("the connection broke after %d bytes; going on.", self._have())
        reason = f" ({problem})" if problem else ""
        raise DownloadError(
            f"{self.url} could not be fetched whole{reason}: run this again, it goes on where it stopped."
        )

    def _have(self) -> int:
        return self.file.seek(0, os.SEEK_END)

    def _fetch(self) -> bool:
        """One connection; returns whether the file is whole."""
        import requests

        have, size = self._have(), self.remote.size
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:  # nothing is left to fetch
                if size is not None and have > size:
                    raise self._too_long(size)
                return size is None or have == size
            answer.raise_for_status()
            if answer.status_code != 206 or _first_byte(answer, have) != have:  # the server cannot resume, or not there
                self.file.truncate(0)
                if answer.status_code == 206:
                    return False
                have = 0
            length = answer.headers.get("Content-Length")
            promised = have + int(length) if length else None
            total = size or promised
            limit = size or MAX_BYTES
            if promised is not None and promised > limit:
                raise self._too_long(limit)
            check_space(self.part.parent, (total or have) - have, self.remote.name)
            self._receive(answer, have, total, limit)
        return total is None or self._have() == total

    def _receive(self, answer: "requests.Response", have: int, total: int | None, limit: int) -> None:
        self.file.seek(have)
        with tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=self.remote.name) as bar:
            for block in answer.iter_content(_BLOCK_BYTES):
                have += len(block)
                if have > limit:
                    raise self._too_long(limit)
                try:
                    self.file.write(block)
                except OSError as error:
                    raise self._unwritable(error) from error
                bar.update(len(block))
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> "DownloadError":
        return DownloadError(
            f"{self.part} cannot be written any further ({error.strerror}): make room and run this again, it goes on where it "
            "stopped."
        )

    def _too_long(self, limit: int) -> "DownloadError":
        self.part.unlink(missing_ok=True)
        promised = "the promised" if self.remote.size else "at most"
        return DownloadError(
            f"{self.url} has more than {promised} {limit:,} bytes: nothing of it was kept; try again later, or another --mirror."
        )


def _first_byte(answer: "requests.Response", asked: int) -> int:
    """Return the offset of a partial response; the requested offset if the response does not state it."""
    words = answer.headers.get("Content-Range", "").replace("-", " ").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else asked

"""Resumable downloads of files, with a size limit and verification of checksums."""

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
ATTEMPTS = 5  # connections per file
MAX_BYTES = 16 << 30  # limit if no size is published; the largest archive of Clotho has about 5 GB
RESERVE_BYTES = 64 << 20  # free space to keep on the disk
_BLOCK_BYTES = 1 << 14  # bytes per write; at most this much is lost when a connection fails


class DownloadError(OSError):
    """Raised if a file cannot be downloaded or verified; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class RemoteFile:
    """Address, name and verification data of one file.

    Attributes:
        host: Scheme and host name of the server; replaced by `--mirror`.
        path: Path and query on the server, with a leading slash.
        name: File name in the destination folder.
        md5: Published MD5 checksum in hexadecimal; None if there is none.
        size: Size in bytes; None if not published. Default: None.
        sha256: Published SHA-256 checksum in hexadecimal, used in place of `md5`; None if there is none. Default: None.
    """

    host: str
    path: str
    name: str
    md5: str | None
    size: int | None = None
    sha256: str | None = None

    @property
    def checksum(self) -> str | None:
        """Algorithm and value of the published checksum, such as "md5:c8b0..."; None if there is none."""
        if self.sha256:
            return f"sha256:{self.sha256}"
        return f"md5:{self.md5}" if self.md5 else None


def fetch(remote: RemoteFile, folder: Path, mirror: str | None = None) -> Path:
    """Download one file, unless it exists with the published checksum.

    An interrupted download is resumed from `NAME.part`. A file without a published checksum is not downloaded again.

    Args:
        remote: File to download.
        folder: Destination folder; created if necessary.
        mirror: Server to use in place of `remote.host`, such as `http://127.0.0.1:8000`. Default: None.

    Returns:
        Path of the file.

    Raises:
        DownloadError: If the connection fails, the disk is full, or the size or checksum differs from the published one.
            The final file name is not created in these cases.
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
        raise DownloadError(f"another download is writing {part}: wait until it has finished.")
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
                f"{url} is not the published file (its checksum is not {remote.checksum}): it was deleted."
            )
    os.replace(part, path)
    sync(folder)
    return path


def _is_published(path: Path, remote: RemoteFile) -> bool:
    """Return whether a file has the published checksum; True if none is published."""
    if remote.checksum is None:
        return True
    import pooch

    kind, expected = remote.checksum.split(":")
    return bool(pooch.file_hash(str(path), alg=kind) == expected)


def check_space(folder: Path, wanted: int, what: str) -> None:
    """Check that the disk has enough free space.

    Args:
        folder: Existing folder on the disk.
        wanted: Number of bytes to be written.
        what: Description of the data, for the message.

    Raises:
        DownloadError: If fewer than `wanted` + RESERVE_BYTES bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted + RESERVE_BYTES:
        raise DownloadError(
            f"{what} needs {(wanted + RESERVE_BYTES) / 1e9:.1f} GB more and {folder} has {free / 1e9:.1f} GB free: free space, "
            "or "
            "give another folder with --output."
        )


class _Download:
    """Download of one file to `NAME.part`, which is kept after a failure so that the next run can resume it.

    Args:
        remote: File to download.
        url: Its address.
        part: Path of the partial file.
        file: The partial file, open for reading and writing.
    """

    def __init__(self, remote: RemoteFile, url: str, part: Path, file: BinaryIO) -> None:
        self.remote, self.url, self.part, self.file = remote, url, part, file

    def run(self) -> None:
        """Download the complete file, with up to ATTEMPTS connections.

        Raises:
            DownloadError: If the file is not complete afterwards, is too large, or cannot be written.
        """
        import requests  # imported here because evaluation imports this module and rarely downloads

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
                logger.warning("the connection broke after %d bytes; resuming.", self._have())
        reason = f" ({problem})" if problem else ""
        raise DownloadError(f"{self.url} could not be downloaded completely{reason}: run this again to resume.")

    def _have(self) -> int:
        """Return the size of the partial file in bytes."""
        return self.file.seek(0, os.SEEK_END)

    def _fetch(self) -> bool:
        """Download over one connection; return whether the file is complete."""
        import requests

        have, size = self._have(), self.remote.size
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(self.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:  # range not satisfiable: no bytes remain
                if size is not None and have > size:
                    raise self._too_long(size)
                return size is None or have == size
            answer.raise_for_status()
            if answer.status_code != 206 or _first_byte(answer, have) != have:  # not resumed at `have`
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
        """Append the body of a response to the partial file at `have`; `total` and `limit` are sizes of the file in bytes."""
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
        """Return the error for a failed write."""
        return DownloadError(
            f"{self.part} cannot be written any further ({error.strerror}): free space and run this again to resume."
        )

    def _too_long(self, limit: int) -> "DownloadError":
        """Delete the partial file, and return the error for a file larger than `limit` bytes."""
        self.part.unlink(missing_ok=True)
        promised = "the promised" if self.remote.size else "at most"
        return DownloadError(
            f"{self.url} has more than {promised} {limit:,} bytes: it was deleted; try again later, or another --mirror."
        )


def _first_byte(answer: "requests.Response", asked: int) -> int:
    """Return the start offset of a partial response in bytes; `asked` if the response does not contain it."""
    words = answer.headers.get("Content-Range", "").replace("-", " ").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else asked

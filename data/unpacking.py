"""Atomic extraction of untrusted archives, restricted to the destination folder."""

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from configs.atomic_files import sync
from data.fetching import DownloadError, check_space

MAX_UNPACKED_BYTES = 64 << 30  # the largest archive of Clotho has about 12 GB of content


def unpack(
    archive: Path,
    folder: Path,
    cap: int = MAX_UNPACKED_BYTES,
    inner: str = "",
    check: Callable[[Path], None] = lambda content: None,
) -> None:
    """Extract a .7z or .zip archive atomically: after an error, the folder does not exist.

    Args:
        archive: The archive.
        folder: Destination folder, which must not exist.
        cap: Largest total size of the content in bytes. Default: MAX_UNPACKED_BYTES.
        inner: Folder in the archive to extract; if it does not exist, everything is extracted. Default: "".
        check: Called with the temporary folder before it is renamed to `folder`; may raise a DownloadError to reject the
            content. Default: no check.

    Raises:
        DownloadError: If a name points outside the folder, the archive contains links, the content exceeds `cap` or the
            free disk space, or the archive is damaged.
    """
    temporary = folder.with_name(f".{folder.name}.unpacking")  # fixed name: removes remains of a killed run
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        (_extract_7z if archive.suffix == ".7z" else _extract_zip)(archive, temporary, cap)
        content = temporary / inner if (temporary / inner).is_dir() else temporary
        check(content)
        os.replace(content, folder)
        sync(folder.parent)
    except DownloadError:
        raise
    except OSError as error:
        if error.errno is None:  # raised by the archive library
            raise _damaged(archive, error) from error
        raise DownloadError(
            f"{archive} cannot be unpacked to {folder} ({error.strerror}): free space and run this again."
        ) from error
    except Exception as error:  # archive libraries raise the exceptions of their decompressors
        raise _damaged(archive, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _damaged(archive: Path, error: Exception) -> DownloadError:
    """Return the error for a damaged archive."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DownloadError(f"{archive} is damaged ({reason}): delete it and run this again.")


def _check(archive: Path, folder: Path, cap: int, names: Sequence[str], size: int, has_links: bool) -> None:
    """Raise a DownloadError if an entry name is unsafe, the size in bytes exceeds `cap` or the disk, or there are links."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise DownloadError(f"{archive} contains the unsafe name {name!r}: nothing was unpacked.")
    if size > cap:
        raise DownloadError(
            f"{archive} would unpack to {size} bytes, more than the limit of {cap}: nothing was unpacked."
        )
    if has_links:
        raise DownloadError(f"{archive} contains a link: nothing was unpacked.")
    check_space(folder, size, f"the content of {archive.name}")


def _extract_7z(archive: Path, folder: Path, cap: int) -> None:
    """Check and extract a .7z archive."""
    import py7zr

    with py7zr.SevenZipFile(archive) as seven:
        entries = seven.list()
        names, size = [entry.filename for entry in entries], sum(entry.uncompressed for entry in entries)
        _check(archive, folder, cap, names, size, any(entry.is_symlink for entry in entries))
        seven.extractall(folder)


def _extract_zip(archive: Path, folder: Path, cap: int) -> None:
    """Check and extract a .zip archive."""
    with zipfile.ZipFile(archive) as zipped:
        entries = zipped.infolist()
        names, size = [entry.filename for entry in entries], sum(entry.file_size for entry in entries)
        links = any((entry.external_attr >> 16) & 0o170000 == 0o120000 for entry in entries)
        _check(archive, folder, cap, names, size, links)
        for entry in tqdm(entries, desc=archive.name, unit="file"):
            zipped.extract(entry, folder)  # zipfile limits the content to file_size

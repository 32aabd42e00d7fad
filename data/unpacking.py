"""Unpack untrusted archives atomically, and never outside their folder."""

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from configs.atomic_files import sync
from data.fetching import DownloadError, check_space

MAX_UNPACKED_BYTES = 64 << 30  # Clotho's largest archive unpacks to about 12 GB


def unpack(
    archive: Path,
    folder: Path,
    cap: int = MAX_UNPACKED_BYTES,
    inner: str = "",
    check: Callable[[Path], None] = lambda content: None,
) -> None:
    """Unpack a .7z or .zip; the folder appears whole or not at all.

    Args:
        archive: the file.
        folder: new folder for its content.
        cap: largest total size in bytes.
        inner: the folder within the archive that is wanted; all of it where there is none of that name.
        check: given the content before it gets its name; what it raises ends the unpacking.

    Raises:
        DownloadError: names that lead outside, links, more than `cap` bytes or than the disk holds, or a damaged archive.
    """
    temporary = folder.with_name(f".{folder.name}.unpacking")  # of one name, so that what a killed run left is removed
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
        if error.errno is None:  # of the archive's own making
            raise _damaged(archive, error) from error
        raise DownloadError(
            f"{archive} cannot be unpacked to {folder} ({error.strerror}): make room and run this again."
        ) from error
    except Exception as error:  # libraries of archives raise what their decompressors do
        raise _damaged(archive, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _damaged(archive: Path, error: Exception) -> DownloadError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DownloadError(f"{archive} is damaged ({reason}): delete it and run this again.")


def _check(archive: Path, folder: Path, cap: int, names: Sequence[str], size: int, has_links: bool) -> None:
    """Refuse an archive by its table of contents."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
            raise DownloadError(f"{archive} holds the unsafe name {name!r}: nothing was unpacked.")
    if size > cap:
        raise DownloadError(f"{archive} would unpack to {size} bytes, over the cap of {cap}: nothing was unpacked.")
    if has_links:
        raise DownloadError(f"{archive} holds a link: nothing was unpacked.")
    check_space(folder, size, f"the content of {archive.name}")


def _extract_7z(archive: Path, folder: Path, cap: int) -> None:
    import py7zr

    with py7zr.SevenZipFile(archive) as seven:
        entries = seven.list()
        names, size = [entry.filename for entry in entries], sum(entry.uncompressed for entry in entries)
        _check(archive, folder, cap, names, size, any(entry.is_symlink for entry in entries))
        seven.extractall(folder)


def _extract_zip(archive: Path, folder: Path, cap: int) -> None:
    with zipfile.ZipFile(archive) as zipped:
        entries = zipped.infolist()
        names, size = [entry.filename for entry in entries], sum(entry.file_size for entry in entries)
        links = any((entry.external_attr >> 16) & 0o170000 == 0o120000 for entry in entries)
        _check(archive, folder, cap, names, size, links)
        for entry in tqdm(entries, desc=archive.name, unit="file"):
            zipped.extract(entry, folder)  # bounded by file_size, which zipfile holds the content to

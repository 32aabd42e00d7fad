"""Names are listed without being kept: sorted through the disk, and taken while they are listed."""

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning import files, temporary
from captioning.external_sort import sorted_bytes
from captioning.files import Recordings, common_folder, expand
from captioning.spool import Spool
from captioning.temporary import TemporaryFileError


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_items_are_sorted_through_the_disk(items: list[bytes], run_length: int) -> None:
    assert list(sorted_bytes(iter(items), run_length)) == sorted(items)


def test_a_folder_is_sorted_by_the_parts_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.wav", "a/z.wav", "a b/y.wav", "a.wav", "a/b/c.wav", "a-b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"RIFF")
    expected = sorted(map(str, tmp_path.rglob("*.wav")), key=lambda name: Path(name).parts)
    assert expand([str(tmp_path)]) == expected
    monkeypatch.setattr(files, "sorted_bytes", lambda items: sorted_bytes(items, run_length=2))
    assert expand([str(tmp_path)]) == expected and expand([f"{tmp_path}/**/*.wav"])[0] == f"{tmp_path}/a b/y.wav"


def test_errors_are_found_behind_every_argument(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "empty").mkdir()
    Recordings([str(tmp_path), f"{tmp_path}/*.wav"]).check()
    with pytest.raises(ValueError, match="no file matches"):
        Recordings([str(tmp_path), f"{tmp_path}/*.flac"]).check()
    with pytest.raises(ValueError, match="contains no audio"):
        Recordings([str(tmp_path), f"{tmp_path}/empty"]).check()


def test_what_all_recordings_are_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert common_folder(["a"]) == f"{tmp_path}/a" and common_folder(["a/b", "a/x.wav"]) == f"{tmp_path}/a"
    assert common_folder(["s3://bucket/2024", "a/b"]) == f"{tmp_path}/a/b" and common_folder(["s3://b"]) == str(
        tmp_path
    )
    assert common_folder(["x.wav"]) == str(tmp_path) and common_folder(["a/**/*.wav"]) == f"{tmp_path}/a"


def test_a_spool_gives_what_is_listed_so_far() -> None:
    go_on = threading.Event()

    def names() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
        go_on.wait(30)
        yield from (os.fsencode(f"\udce9{number}") for number in range(5000))

    spool = Spool(names())
    assert spool.wait(2) >= 2 and not spool.finished
    found = iter(spool)
    assert [next(found) for _ in range(3)] == [b"0", b"1", b"2"]
    go_on.set()
    assert sum(1 for _ in found) == 5000 and spool.finished and spool.wait(10**9) == 5003
    assert sum(1 for _ in spool) == 5003


def test_an_error_of_the_listing_comes_behind_what_was_listed() -> None:
    def names() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("no file matches.")

    spool = Spool(names())
    found = iter(spool)
    assert next(found) == b"a" and spool.wait(1) == 1
    for wait in (lambda: next(found), lambda: spool.wait(2)):
        with pytest.raises(ValueError, match="no file matches"):
            wait()


def no_more_than(size: int) -> Callable[..., IO[bytes]]:
    """Temporary files on a disk that is full after `size` bytes."""

    def make(**how: object) -> IO[bytes]:
        file = original()
        write = file.write

        def limited(content: bytes) -> int:
            if file.tell() + len(content) > size:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(content)

        return SimpleNamespace(write=limited, seek=file.seek, read=file.read, flush=file.flush, closed=True)  # type: ignore[return-value]

    original = tempfile.TemporaryFile
    return make


def test_a_full_disk_of_temporary_files_is_named_and_leaves_no_folder_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "sorted_bytes", lambda items: sorted_bytes(items, run_length=2))
    for number in range(9):
        (tmp_path / f"{number}.wav").touch()
    monkeypatch.setattr(temporary, "MEMORY_BYTES", 1)
    monkeypatch.setattr(tempfile, "TemporaryFile", no_more_than(20))
    with pytest.raises(TemporaryFileError, match="cannot be stored in .*No space left on device.*TMPDIR"):
        expand([str(tmp_path)])
    spool = Spool(b"%d" % number for number in range(1000))
    with pytest.raises(TemporaryFileError, match="No space left on device"):
        list(spool)


def test_an_error_of_the_listing_is_not_taken_for_one_of_the_temporary_file() -> None:
    def names() -> Iterator[bytes]:
        yield b"a"
        raise OSError("the list of a bucket ended early")

    with pytest.raises(OSError, match="of a bucket"):
        list(Spool(names()))


def test_short_lists_need_no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "_get_default_tempdir", no_folder)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert list(Spool([b"a.wav"] * 1000)) == [b"a.wav"] * 1000
    with pytest.raises(TemporaryFileError, match="cannot be stored in a temporary file .*set TMPDIR"):
        list(Spool(b"%0200d.wav" % number for number in range(6000)))

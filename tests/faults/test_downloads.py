"""Downloads from servers that never end, lie about sizes or die, onto disks that are full, by runs that are killed."""

import hashlib
import http.server
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import py7zr
import pytest

from configs.atomic_files import open_locked
from data import fetching
from data.fetching import DownloadError, RemoteFile, fetch
from data.unpacking import unpack
from tests.conftest import ROOT

CONTENT = random.Random(0).randbytes(1_000_000)
BLOCK = bytes(50_000)


class Server(http.server.ThreadingHTTPServer):
    """Sends CONTENT, with what `fault` says is wrong; `sent` counts bytes."""

    fault = "well"
    sent = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        fault, wanted = self.server.fault, self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT) and fault != "forever":
            self.send_response(416)
            self.end_headers()
            return
        if fault == "another part":
            start //= 2
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        if fault == "huge":
            self.send_header("Content-Length", str(1 << 50))
        elif fault != "forever":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if fault in ("forever", "huge"):
                while self.server.sent < 1 << 30:
                    self.wfile.write(BLOCK)
                    self.server.sent += len(BLOCK)
            for place in range(0, len(body), 20_000):
                self.wfile.write(body[place : place + 20_000])
                self.server.sent += 20_000
                if fault == "slow":
                    time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def mirror(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def remote(size: int | None = None, checked: bool = True) -> RemoteFile:
    md5 = hashlib.md5(CONTENT).hexdigest() if checked else None
    return RemoteFile("https://nowhere.invalid", "/file", "file.bin", md5, size)


@pytest.mark.parametrize("size", [None, len(CONTENT)])
@pytest.mark.parametrize("fault", ["forever", "huge"])
def test_an_endless_file_ends(
    server: Server, tmp_path: Path, fault: str, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 3_000_000)
    server.fault = fault
    with pytest.raises(DownloadError, match="has more than .* it was deleted"):
        fetch(remote(size), tmp_path, mirror(server))
    assert server.sent < 20_000_000  # what the sockets hold is sent in vain
    assert not os.listdir(tmp_path)


def test_a_disk_that_is_too_small(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=fetching.RESERVE_BYTES + 500_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: free)
    with pytest.raises(DownloadError, match=f"file.bin needs .* GB more and {tmp_path} has .* free: free space"):
        fetch(remote(), tmp_path, mirror(server))
    assert not os.listdir(tmp_path)
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:600_000])  # the rest fits
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def test_a_disk_that_fills_meanwhile(server: Server, tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, old[1]))
    try:
        with pytest.raises(DownloadError, match="file.bin.part cannot be written any further .* free space"):
            fetch(remote(), tmp_path, mirror(server))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    kept = (tmp_path / "file.bin.part").read_bytes()
    assert len(kept) > 200_000 and CONTENT.startswith(kept)
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def test_a_server_that_sends_another_part(server: Server, tmp_path: Path) -> None:
    server.fault = "another part"
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:600_000])
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def test_a_whole_part_needs_no_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)  # a run was killed while it checked the file
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT
    assert server.sent == 0


def test_a_file_that_was_there_damaged_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def test_two_downloads_of_one_file(server: Server, tmp_path: Path) -> None:
    descriptor = open_locked(tmp_path / "file.bin.part")
    assert descriptor is not None
    with pytest.raises(DownloadError, match="another download is writing .*file.bin.part: wait"):
        fetch(remote(), tmp_path, mirror(server))
    os.close(descriptor)
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def heed_signals() -> None:
    """A test run in the background ignores interrupts, one under nohup hang-ups."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


DOWNLOAD = (
    "import hashlib, sys; from data import download; from data.fetching import RemoteFile\n"
    "md5, url, folder = sys.argv[1:]\n"
    "download.PANNS = (RemoteFile('https://nowhere.invalid', '/file', 'file.bin', md5, None),)\n"
    "download.SETS['panns'] = download.partial(download.fetch_files, download.PANNS)\n"
    "sys.exit(download.main(['panns', '--output', folder, '--mirror', url]))\n"
)


@pytest.mark.slow
def test_stops_at_random_moments(server: Server, tmp_path: Path) -> None:
    server.fault = "slow"  # 2.5 s in all
    md5 = hashlib.md5(CONTENT).hexdigest()
    generator, kept = random.Random(0), 0
    for number in [signal.SIGKILL, signal.SIGINT, signal.SIGTERM] * 3 + [signal.SIGHUP]:
        process = subprocess.Popen(
            [sys.executable, "-c", DOWNLOAD, md5, mirror(server), str(tmp_path)], cwd=ROOT, text=True,
            stderr=subprocess.PIPE, preexec_fn=heed_signals,
        )  # fmt: skip
        part = tmp_path / "file.bin.part"
        while process.poll() is None and not (part.exists() and part.stat().st_size > kept):
            time.sleep(0.002)
        time.sleep(generator.uniform(0, 0.15))
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        assert "Traceback" not in errors
        if process.returncode == 0:
            break
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
        if (tmp_path / "file.bin").exists():
            break
        assert part.stat().st_size >= kept
        assert CONTENT.startswith(part.read_bytes())
        kept = part.stat().st_size
        if number != signal.SIGKILL:
            assert f"downloaded data is kept in {tmp_path}" in errors
    assert kept > 200_000
    server.fault = "well"
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT


def archive(path: Path, content: bytes) -> Path:
    (path.parent / "a.wav").write_bytes(content)
    if path.suffix == ".7z":
        with py7zr.SevenZipFile(path, "w") as seven:
            seven.write(path.parent / "a.wav", "clips/a.wav")
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.write(path.parent / "a.wav", "clips/a.wav")
    (path.parent / "a.wav").unlink()
    return path


@pytest.mark.parametrize("suffix", [".7z", ".zip"])
def test_what_a_killed_unpacking_left_is_no_hindrance(tmp_path: Path, suffix: str) -> None:
    packed = archive(tmp_path / f"a{suffix}", b"RIFF")
    left = tmp_path / ".clips.unpacking" / "clips"
    left.mkdir(parents=True)
    (left / "torn.wav").write_bytes(b"RI")
    unpack(packed, tmp_path / "clips", inner="clips")
    assert sorted(os.listdir(tmp_path)) == [packed.name, "clips"] and os.listdir(tmp_path / "clips") == ["a.wav"]


@pytest.mark.parametrize("suffix", [".7z", ".zip"])
def test_a_disk_that_fills_while_unpacking(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive(tmp_path / f"a{suffix}", bytes(200_000))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(DownloadError, match=f"{packed} cannot be unpacked to .*clips .*free space"):
            unpack(packed, tmp_path / "clips")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert os.listdir(tmp_path) == [packed.name]
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(DownloadError, match=f"content of {packed.name} needs .* free space"):
        unpack(packed, tmp_path / "clips")
    assert os.listdir(tmp_path) == [packed.name]


@pytest.mark.parametrize("suffix", [".7z", ".zip"])
def test_damaged_archives_are_one_sentence(tmp_path: Path, suffix: str) -> None:
    packed = archive(tmp_path / f"a{suffix}", CONTENT[:5000])
    whole, generator = packed.read_bytes(), random.Random(0)
    outcomes = set()
    for case in range(60):
        content = bytearray(whole)
        if case % 3 == 0:
            del content[generator.randrange(len(content)) :]
        for _ in range(generator.randrange(1, 6)):
            if content:
                content[generator.randrange(len(content))] = generator.randrange(256)
        packed.write_bytes(content)
        try:
            unpack(packed, tmp_path / f"clips{case}")
            outcomes.add("whole")
        except DownloadError as error:
            assert str(packed) in str(error) and "\n" not in str(error)
            outcomes.add("refused")
        assert not (tmp_path / f".clips{case}.unpacking").exists()
    assert "refused" in outcomes

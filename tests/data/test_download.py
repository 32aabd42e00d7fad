"""Downloads against a server on this machine that breaks, lies and sends archives that bite."""

import hashlib
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import py7zr
import pytest

from data import download, fetching
from data.fetching import DownloadError, RemoteFile, fetch
from data.unpacking import unpack

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `break_after` closes the first connections after that many bytes."""

    files: dict[str, bytes]
    breaks_left = 0
    break_after = 100_000
    ranges: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if path not in self.server.files:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        body = self.server.files[path][start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks_left:
            self.server.breaks_left -= 1
            body = body[: self.server.break_after]
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.ranges = {"/file": CONTENT}, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def mirror(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def remote(md5: str | None = MD5, size: int | None = len(CONTENT), path: str = "/file") -> RemoteFile:
    return RemoteFile("https://nowhere.invalid", path, "file.bin", md5, size)


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_broken_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.breaks_left = 3
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT
    assert server.ranges[0] is None and all(server.ranges[1:])


def test_what_was_fetched_survives_a_failure(server: Server, tmp_path: Path) -> None:
    server.breaks_left, server.break_after = 99, 50_000
    with pytest.raises(DownloadError, match="run this again to resume"):
        fetch(remote(), tmp_path, mirror(server))
    kept = (tmp_path / "file.bin.part").stat().st_size
    assert kept >= 200_000
    server.breaks_left = 0
    assert fetch(remote(), tmp_path, mirror(server)).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={kept}-"


def test_wrong_bytes_are_refused(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = CONTENT[:-1] + b"x"
    with pytest.raises(DownloadError, match="not the published file"):
        fetch(remote(), tmp_path, mirror(server))
    assert not (tmp_path / "file.bin").exists()


def test_a_short_and_a_long_file_are_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be downloaded completely"):
        fetch(remote(size=len(CONTENT) + 5), tmp_path / "a", mirror(server))
    with pytest.raises(DownloadError, match="more than the promised"):
        fetch(remote(size=100), tmp_path / "b", mirror(server))


def test_a_missing_file_and_no_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DownloadError, match="answered 404"):
        fetch(remote(path="/none"), tmp_path, mirror(server))
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(remote(), tmp_path, "http://127.0.0.1:9")


def zip_with(path: Path, name: str, content: bytes = b"x", link: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        if link:
            entry.external_attr = 0o120777 << 16
        archive.writestr(entry, content)
    return path


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadError, match="unsafe name"):
        unpack(zip_with(tmp_path / "a.zip", name), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_links_and_bombs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="contains a link"):
        unpack(zip_with(tmp_path / "a.zip", "link", b"/etc/passwd", link=True), tmp_path / "out")
    with pytest.raises(DownloadError, match="more than the limit"):
        unpack(zip_with(tmp_path / "b.zip", "zeros", bytes(1_000_000)), tmp_path / "out", cap=1000)
    (tmp_path / "c.zip").write_bytes(b"no archive")
    with pytest.raises(DownloadError, match="damaged"):
        unpack(tmp_path / "c.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_seven_zip_links_and_bombs_are_refused(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "link")
    (tmp_path / "zeros").write_bytes(bytes(1_000_000))
    for name, message in (("link", "contains a link"), ("zeros", "more than the limit")):
        with py7zr.SevenZipFile(tmp_path / f"{name}.7z", "w") as archive:
            archive.write(tmp_path / name, name)
        with pytest.raises(DownloadError, match=message):
            unpack(tmp_path / f"{name}.7z", tmp_path / "out", cap=1000)
    assert not (tmp_path / "out").exists()


def test_clotho_gets_its_layout(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for split in ("development", "validation", "evaluation"):
        source = tmp_path / "source" / split
        source.mkdir(parents=True)
        (source / "a clip.wav").write_bytes(b"RIFF")
        packed = tmp_path / f"clotho_audio_{split}.7z"
        with py7zr.SevenZipFile(packed, "w") as archive:
            archive.writeall(source, split)
        for name, content in ((packed.name, packed.read_bytes()), (f"clotho_captions_{split}.csv", b"file_name\n")):
            server.files[f"/{name}"] = content
            files.append(RemoteFile("https://nowhere.invalid", f"/{name}", name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(download, "CLOTHO", tuple(files))
    for _ in range(2):  # the second time finds everything there
        assert download.main(["clotho", "--output", str(tmp_path / "clotho"), "--mirror", mirror(server)]) == 0
    for split in ("development", "validation", "evaluation"):
        assert (tmp_path / "clotho" / split / "a clip.wav").is_file()
        assert (tmp_path / "clotho" / f"clotho_captions_{split}.csv").is_file()
    assert len(server.ranges) == 6


def test_esc50_must_be_whole(server: Server, tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "esc.zip", f"ESC-50-{download.ESC50_COMMIT}/audio/1-1-A-1.wav")
    server.files[download.ESC50.path] = archive.read_bytes()
    assert download.main(["esc50", "--output", str(tmp_path / "out"), "--mirror", mirror(server)]) == 2
    assert not (tmp_path / "out" / "ESC-50").exists()


def test_files_without_an_archive_are_fetched_and_checked(server: Server, tmp_path: Path) -> None:
    server.files[download.EFFICIENTAT.path] = b"weights"
    server.files[download.AUDIOCAPS[0].path] = b"not the published table"
    assert download.main(["efficientat", "--output", str(tmp_path), "--mirror", mirror(server)]) == 0
    assert (tmp_path / "mn04_as_mAP_432.pt").read_bytes() == b"weights"
    assert download.main(["audiocaps", "--output", str(tmp_path), "--mirror", mirror(server)]) == 2
    assert not (tmp_path / "train.csv").exists()


def test_the_published_tables_are_those_that_were_checked(shared: Path) -> None:
    for remote in download.AUDIOCAPS:
        content = (shared / "audiocaps" / remote.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)


def test_the_published_names_and_sums_are_well_formed() -> None:
    for file in (*download.CLOTHO, *download.PANNS):
        assert file.md5 is not None and len(file.md5) == 32 and int(file.md5, 16)

"""Where models and jars are looked for, and the command that fetches them, against a server on this machine."""

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.fetching import DownloadError
from evaluation import resources as module
from evaluation.errors import MetricError, UnavailableError
from evaluation.resources import (
    FENSE_SENTENCE_MODEL,
    FLUENCY_DETECTOR,
    PARSER_ARCHIVE,
    PARSER_JARS,
    Resources,
    download,
)


@pytest.fixture(autouse=True)
def fresh_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    for name in ("AAC_METRICS_CACHE_PATH", "FENSE_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("inside", ["", "lib", "aac-metrics/spice/lib"])
@pytest.mark.parametrize("named", ["option", "environment", "user's cache"])
def test_jars_are_found_where_they_may_be(
    inside: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = module.user_cache() / "metrics" if named == "user's cache" else tmp_path / "two words"
    folder = root / inside
    folder.mkdir(parents=True)
    for name in PARSER_JARS:
        (folder / name).touch()
    if named == "environment":
        monkeypatch.setenv("AAC_METRICS_CACHE_PATH", str(root))
    found = Resources(root if named == "option" else None).parser_jars()
    assert found == [folder / name for name in PARSER_JARS]
    found[1].unlink()
    with pytest.raises(
        UnavailableError, match="^stanford-corenlp-3.6.0-models.jar not found: .*--download.*--metrics_dir"
    ):
        Resources(root).parser_jars()


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="there is no folder .*check --metrics_dir"):
        Resources(tmp_path / "none").parser_jars()


def test_models_are_looked_for_without_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="echecker_clotho_audiocaps_base.ckpt not found"):
        Resources(tmp_path).fluency_detector()
    monkeypatch.setenv("FENSE_DATA", str(tmp_path))
    (tmp_path / FLUENCY_DETECTOR.name).touch()
    assert Resources().fluency_detector() == tmp_path / FLUENCY_DETECTOR.name
    with pytest.raises(UnavailableError, match="some/model not found"):
        Resources().hub_folder("some/model")
    (tmp_path / "model").mkdir()
    assert Resources(tmp_path).hub_folder("some/model") == tmp_path / "model"
    assert Resources().hub_folder(str(tmp_path / "model")) == tmp_path / "model"
    (tmp_path / FENSE_SENTENCE_MODEL).mkdir()
    assert Resources(tmp_path).sentence_model() == (FENSE_SENTENCE_MODEL, tmp_path / FENSE_SENTENCE_MODEL)


def parser_archive(*names: str) -> bytes:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as content:
        content.writestr("edu/x.class", b"x")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("stanford-corenlp-full-2015-12-09/README.txt", "other things")
        for name in names:
            archive.writestr(f"stanford-corenlp-full-2015-12-09/{name}", jar.getvalue())
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[self.path])))
            self.end_headers()
            self.wfile.write(files[self.path])

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files = files  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_everything_is_fetched_once(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = io.BytesIO()
    torch.save({"model_type": "some/bert", "num_classes": 6, "state_dict": {}}, buffer)
    detector = replace(FLUENCY_DETECTOR, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(module, "FLUENCY_DETECTOR", detector)
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: asked.append(name))
    server.files |= {detector.path: buffer.getvalue(), PARSER_ARCHIVE.path: parser_archive(*PARSER_JARS)}  # type: ignore[attr-defined]
    mirror = f"http://127.0.0.1:{server.server_address[1]}"
    caplog.set_level("INFO")
    folder = download(mirror)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*PARSER_JARS, detector.name])
    assert asked == [f"sentence-transformers/{FENSE_SENTENCE_MODEL}", "some/bert"]
    assert "536 MB" in caplog.text and "440 MB" in caplog.text
    server.files.clear()  # type: ignore[attr-defined]
    assert download(mirror) == folder


def test_what_is_not_as_published_is_refused(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = f"http://127.0.0.1:{server.server_address[1]}"
    files = server.files  # type: ignore[attr-defined]
    files[PARSER_ARCHIVE.path] = parser_archive(PARSER_JARS[0])
    with pytest.raises(DownloadError, match="does not contain stanford-corenlp-3.6.0-models.jar"):
        download(mirror)
    (module.user_cache() / "metrics" / PARSER_ARCHIVE.name).unlink()
    damaged = bytearray(parser_archive(*PARSER_JARS))
    damaged[200:230] = bytes(30)
    files[PARSER_ARCHIVE.path] = bytes(damaged)
    with pytest.raises(DownloadError, match="is damaged"):
        download(mirror)
    (module.user_cache() / "metrics" / PARSER_ARCHIVE.name).unlink()
    files[PARSER_ARCHIVE.path] = parser_archive(*PARSER_JARS)
    files[FLUENCY_DETECTOR.path] = b"not the detector"
    with pytest.raises(DownloadError, match="not the published file"):
        download(mirror)
    assert not (module.user_cache() / "metrics" / FLUENCY_DETECTOR.name).exists()

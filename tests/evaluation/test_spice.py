"""SPICE: published values on every Java, its cache, two at once, limits, and the jar that is built from source."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation import spice as module
from evaluation.errors import MetricError
from evaluation.inputs import Corpus
from evaluation.java import build
from evaluation.java_runtime import bundled_jars, class_path, java_options, java_version
from evaluation.spice import SpiceSettings, spice

from .conftest import absent, corpus_of, javas

ROOT = Path(__file__).parents[2]


def part(published: pd.DataFrame, start: int, stop: int) -> tuple[Corpus, np.ndarray]:
    table = published.iloc[start:stop]
    return corpus_of(table), table.spice.to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("java", javas() or ["none"])
def test_published_values_on_each_java_and_half_the_time_with_parses(
    java: str, published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if java == "none":
        absent("a Java")
    monkeypatch.setenv("PATH", f"{java}{os.pathsep}{os.environ['PATH']}")
    jars = [tmp_path / "two words" / jar.name for jar in parser_jars]
    jars[0].parent.mkdir()
    for jar, original in zip(jars, parser_jars, strict=True):
        jar.symlink_to(original)
    corpus, expected = part(published, 0, 15)
    settings = SpiceSettings(jars, tmp_path / "a cache" / "of parses")
    for _ in range(2):  # the second run reads the cache
        np.testing.assert_array_equal(spice(corpus.candidates, corpus.references, settings), expected)
        assert any(path.is_file() for path in (tmp_path / "a cache" / "of parses").rglob("*"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_published_values_of_every_third_clip(
    published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path
) -> None:
    """Parsing all takes a third of the whole run's time; AUDIO_CAPTION_ALL_SPICE=1 does."""
    everything = os.environ.get("AUDIO_CAPTION_ALL_SPICE") == "1"
    table = published if everything else published.iloc[::3]
    corpus = corpus_of(table)
    found = spice(corpus.candidates, corpus.references, SpiceSettings(parser_jars, tmp_path / "parses"))
    np.testing.assert_array_equal(found, table.spice)
    assert published.spice.mean() == pytest.approx(0.137556, abs=1e-6)


RUN = """
import json, sys
from pathlib import Path
from evaluation.spice import SpiceSettings, spice
clips = json.load(open(sys.argv[1]))
settings = SpiceSettings([Path(jar) for jar in sys.argv[3:]], Path(sys.argv[2]))
print(json.dumps(spice(clips["candidates"], clips["references"], settings).tolist()))
"""


@pytest.fixture
def start(tmp_path: Path, parser_jars: list[Path]):  # type: ignore[no-untyped-def]
    """Starts SPICE of a corpus in a process of its own, on the cache in tmp_path."""

    def run(corpus: Corpus, name: str) -> "subprocess.Popen[str]":
        clips = tmp_path / f"{name}.json"
        clips.write_text(json.dumps(vars(corpus)))
        command = [sys.executable, "-c", RUN, str(clips), str(tmp_path / "parses"), *map(str, parser_jars)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


@pytest.mark.slow
def test_two_at_once_on_one_cache(published: pd.DataFrame, start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    parts = [part(published, 0, 12), part(published, 6, 18)]
    processes = [start(corpus, str(number)) for number, (corpus, _) in enumerate(parts)]
    for process, (_, expected) in zip(processes, parts, strict=True):
        output, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
        assert json.loads(output) == expected.tolist()


@pytest.mark.slow
def test_java_does_not_outlive_a_killed_command(published: pd.DataFrame, start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    process = start(part(published, 0, 40)[0], "killed")
    deadline = time.monotonic() + 60
    while not (found := java_processes(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    process.send_signal(signal.SIGKILL)
    process.communicate()
    while java_processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not java_processes(tmp_path)


def java_processes(marker: Path) -> list[str]:
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "audiocaption.SpiceWithProgress" in line and str(marker) in line]


def test_it_ends_at_its_time_limit(published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path) -> None:
    corpus, _ = part(published, 0, 5)
    with pytest.raises(MetricError, match=r"did not end within 1 s .*--spice_time_limit"):
        spice(corpus.candidates, corpus.references, SpiceSettings(parser_jars, tmp_path / "parses", time_limit_s=1.0))
    assert not java_processes(tmp_path)


def test_waiting_for_another_run_ends_too(
    tmp_path: Path, parser_jars: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "parses"
    caplog.set_level(logging.INFO)
    with (
        module.FileLock(tmp_path / "parses.lock"),
        pytest.raises(MetricError, match="used the cache.*--spice_cache"),
    ):
        spice(["rain"], [["rain"]], SpiceSettings(parser_jars, cache, time_limit_s=0.5))
    assert "waiting for it to finish" in caplog.text


@pytest.mark.slow
def test_a_damaged_cache_is_mended(
    published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "parses"
    cache.mkdir()
    (cache / "data.mdb").write_bytes(b"torn" * 5000)
    corpus, expected = part(published, 0, 3)
    found = spice(corpus.candidates, corpus.references, SpiceSettings(parser_jars, cache))
    np.testing.assert_array_equal(found, expected)
    assert "trying again without it" in caplog.text
    assert not cache.exists()


@pytest.mark.slow
def test_where_the_cache_cannot_work_it_is_left_out(
    published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_cache_works_here", lambda: False)
    corpus, expected = part(published, 0, 3)
    found = spice(corpus.candidates, corpus.references, SpiceSettings(parser_jars, tmp_path / "parses"))
    np.testing.assert_array_equal(found, expected)
    assert not (tmp_path / "parses").exists()


@pytest.mark.slow
def test_jars_that_are_none_are_reported(tmp_path: Path) -> None:
    jar = tmp_path / "stanford-corenlp-3.6.0.jar"
    jar.write_text("no jar")
    with pytest.raises(MetricError, match="SPICE ended with status 1: .*(NoClassDefFound|ClassNotFound)"):
        spice(["rain"], [["rain"]], SpiceSettings([jar]))


@pytest.mark.slow
def test_odd_captions(parser_jars: list[Path], tmp_path: Path) -> None:
    long = f"a dog barks at a {'o' * 600}"  # longer than a key of the cache can be
    found = spice(
        ["", "bär läuft", long], [["rain"], ["bär läuft"], [long]], SpiceSettings(parser_jars, tmp_path / "p")
    )
    assert found[0] == 0.0 and found[1] == 1.0 and found[2] == 1.0


def test_the_jar_is_the_one_of_these_sources(tmp_path: Path) -> None:
    """By the checksum in its manifest, and byte for byte where the compiler that made it is at hand."""
    with zipfile.ZipFile(build.JAR) as jar:
        manifest = dict(line.split(": ") for line in jar.read("META-INF/MANIFEST.MF").decode().splitlines() if line)
        classes = [name for name in jar.namelist() if name.endswith(".class")]
        assert all(jar.read(name)[6:8] == b"\0\x34" for name in classes), "class files of Java 8"
    assert manifest["Sources-SHA256"] == build.sources_checksum()[:32], "run python -m evaluation.java.build"
    if javac := shutil.which("javac"):
        built = build.build(tmp_path / "engine.jar", javac)
        if build.compiler_version(javac) == manifest["Compiler"]:
            assert built.read_bytes() == build.JAR.read_bytes()


@pytest.mark.slow
def test_a_jar_built_here_works(
    published: pd.DataFrame, parser_jars: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("javac"):
        pytest.skip("no compiler for Java here; the jar that ships is tested above")
    monkeypatch.setattr(module, "ENGINE_JAR", build.build(tmp_path / "engine.jar"))
    corpus, expected = part(published, 0, 2)
    np.testing.assert_array_equal(spice(corpus.candidates, corpus.references, SpiceSettings(parser_jars)), expected)


def test_building_without_a_compiler_is_reported(no_java: None) -> None:
    with pytest.raises(MetricError, match="no javac"):
        build.build()


@pytest.mark.parametrize(
    ("version", "opens", "native", "unsafe"), [(8, 0, 0, 0), (11, 7, 0, 0), (17, 7, 1, 0), (25, 7, 1, 1)]
)
def test_options_by_version(version: int, opens: int, native: int, unsafe: int) -> None:
    options = java_options(version)
    counts = [sum(name in option for option in options) for name in ("--add-opens", "native-access", "unsafe-memory")]
    assert counts == [opens, native, unsafe]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('java version "1.8.0_392"', 8),
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
    ],
)
def test_version_texts(text: str, version: int, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    java.chmod(0o755)
    assert java_version(str(java)) == version


def test_a_path_that_java_cannot_read_is_reported() -> None:
    assert len(bundled_jars()) > 10
    with pytest.raises(MetricError, match="use another folder"):
        class_path([Path(f"/a{os.pathsep}b/c.jar")])

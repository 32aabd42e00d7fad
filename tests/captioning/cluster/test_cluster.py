"""A cluster of two nodes, of which one is killed half-way, then the driver; recordings on a disk and on object storage."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

import inference
from captioning.cluster import team
from captioning.cluster.stages import CaptionActor, decode, objects_of
from captioning.jobs import Captioned, Ended, Job
from captioning.recordings import Clip
from tests.conftest import ROOT

ray = pytest.importorskip("ray", reason="Ray is not installed: bash env.sh --scale")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(1500)]

NUM_RECORDINGS, NUM_REMOTE = 160, 6


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """Environment of an S3 server of this machine, with recordings in it."""
    moto_server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    system = s3fs.S3FileSystem(key="testing", secret="testing", endpoint_url=environment["AWS_ENDPOINT_URL"])
    system.mkdir("night")
    for number in range(NUM_REMOTE):
        content = io.BytesIO()
        soundfile.write(content, 0.1 * np.random.default_rng(number).normal(size=16000), 16000, format="FLAC")
        system.pipe_file(f"night/2024/{number}.flac", content.getvalue())
    system.pipe_file("night/2024/notes.txt", b"no sound")
    yield environment
    server.stop()


@pytest.fixture(scope="module")
def cluster(storage: dict[str, str]) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    environment = storage | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    before = dict(os.environ)
    os.environ.update(environment | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder, and a list of more recordings in Parquet; one is bad."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "here").mkdir()
    soundfile.write(folder / "one.wav", 0.1 * np.random.default_rng(0).normal(size=8000), 16000)
    for number in range(NUM_RECORDINGS):
        os.link(folder / "one.wav", folder / "here" / f"{number:03d}.wav")
    (folder / "bad.wav").write_text("no sound")
    paths = [str(folder / "bad.wav"), str(folder / "missing.wav"), *(f"s3://night/2024/{n}.flac" for n in range(3, 9))]
    pyarrow.parquet.write_table(pyarrow.table({"path": paths}), folder / "more.parquet")
    return folder


def start(address: str, checkpoint: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "inference.py", "--engine", "ray", "--ray_address", address, "--ckpt_path", checkpoint]
    return subprocess.Popen([*map(str, command), *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 1000
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the cluster got stuck"
        time.sleep(0.05)


def ended(manifest: Path) -> list[str]:
    """Keys of recordings whose ends the manifest has, in its order."""
    if not manifest.exists():
        return []
    whole = manifest.read_bytes().rpartition(b"\n")[0].splitlines()
    return [line["key"] for line in map(json.loads, whole) if "state" in line]


def test_every_recording_once_though_a_node_and_the_driver_are_killed(
    cluster: Any, recordings: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output, second_node = tmp_path / "out", cluster.add_node(num_cpus=1)
    manifest = output / "manifest.jsonl"
    command = (
        cluster.address, tiny_checkpoint, "--input", recordings / "here", "s3://night/2024/", recordings / "more.parquet",
        "--output", output, "--format", "jsonl,parquet", "--copy_to", "s3://night/captions",
    )  # fmt: skip
    driver = start(*command)
    wait_until(lambda: len(ended(manifest)) > NUM_RECORDINGS // 8, driver)
    cluster.remove_node(second_node, allow_graceful=False)
    wait_until(lambda: len(ended(manifest)) > NUM_RECORDINGS // 3, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    done = ended(manifest)
    assert NUM_RECORDINGS // 3 < len(done) < NUM_RECORDINGS and not list(output.glob("captions*"))

    driver = start(*command)
    errors = driver.communicate()[1]
    assert driver.returncode == 1 and "Traceback" not in errors, errors
    assert "bad.wav" in errors and "missing.wav" in errors and "s3://night/2024/8.flac cannot be fetched" in errors
    keys = ended(manifest)
    assert keys[: len(done)] == done and len(set(keys)) == len(keys)
    [part] = output.glob("captions-*.jsonl")
    rows = [json.loads(line) for line in part.read_text().splitlines()]
    expected = Counter([f"{recordings}/here/{number:03d}.wav" for number in range(NUM_RECORDINGS)])
    expected.update(f"s3://night/2024/{number}.flac" for number in [*range(NUM_REMOTE), *range(3, 9)])
    expected.update([f"{recordings}/bad.wav", f"{recordings}/missing.wav"])
    assert Counter(row["file"] for row in rows) == expected
    failed = {Path(row["file"]).name for row in rows if "error" in row}
    assert failed == {"bad.wav", "missing.wav", "6.flac", "7.flac", "8.flac"}
    assert len({row["caption"] for row in rows if row["file"].startswith(f"{recordings}/here")}) == 1
    assert pyarrow.parquet.read_table(output / "captions-00000.parquet").num_rows == len(rows)
    system = pytest.importorskip("s3fs").S3FileSystem()  # the module's environment tells where
    for path in (part, manifest, output / "captions-00000.parquet"):
        assert system.cat_file(f"night/captions/{path.name}") == path.read_bytes()

    driver = start(*command[:-4], "--format", "raven,csv", "--per_recording")  # nothing is left to caption
    errors = driver.communicate()[1]
    assert driver.returncode == 1 and "one file per recording and format" in errors, errors
    assert len(list((output / "here").glob("*.selections.txt"))) == NUM_RECORDINGS
    assert "cannot be fetched" in (output / "night/2024/8.flac.csv").read_text()


def test_a_cluster_that_makes_no_progress_is_left(cluster: Any, tiny_checkpoint: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/night.wav"
        arguments = ("--input", url, "--output", tmp_path / "out", "--stall_s", 20)
        driver = start(cluster.address, tiny_checkpoint, *arguments)
        errors = driver.communicate()[1]
    assert driver.returncode == 2 and "the cluster made no progress for 20 s" in errors, errors
    assert not list((tmp_path / "out").glob("captions*"))


@pytest.mark.parametrize("stage", ["decode", "caption"])
def test_a_recording_whose_process_ends_is_recorded_as_failed(
    cluster: Any, recordings: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def crash(table: pyarrow.Table, **options: Any) -> Iterator[pyarrow.Table]:
        if any(job.name == "crash.wav" for job in objects_of(table)):
            os._exit(1)
        yield from decode(table, **options)

    class CrashingActor(CaptionActor):
        def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
            if any(isinstance(piece, Clip) and piece.file == "crash.wav" for piece in objects_of(table)):
                os._exit(1)
            return super().__call__(table)

    if stage == "decode":
        monkeypatch.setattr(team, "decode", crash)
    else:
        monkeypatch.setattr(team, "CaptionActor", CrashingActor)
        monkeypatch.setattr(team, "ACTOR_RETRIES", 1)  # each loads a captioner
    path = recordings / "one.wav"
    jobs = [Job(number, "crash.wav" if number == 1 else f"{number}.wav", path) for number in range(4)]
    options = inference.build_parser().parse_args(
        [
            "--ckpt_path",
            str(tiny_checkpoint),
            "--engine",
            "ray",
            "--ray_address",
            cluster.address,
            "--device",
            "cpu",
            "--stall_s",
            "100",
        ]
    )
    events = [
        event for part in team.RayTeam(options, lambda info: None).events(iter([jobs[:2], jobs[2:]])) for event in part
    ]
    ends = {event.name: event.error for event in events if isinstance(event, Ended)}
    assert len([event for event in events if isinstance(event, Captioned)]) == 3
    assert ends.pop("crash.wav").startswith("crash.wav: the process that read or captioned it ended")
    assert ends == {"0.wav": "", "2.wav": "", "3.wav": ""}

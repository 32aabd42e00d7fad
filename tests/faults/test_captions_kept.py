"""No caption is lost: stop signals, kill -9, a full disk, a reader of stdout that goes away, mistakes told early."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

import captioning.pipeline
import inference
from captioning.formats.registry import FORMATS, records_text
from captioning.jobs import Captioned, Ended, Event
from captioning.manifest import Manifest, ManifestError
from captioning.shown import Selection
from captioning.stream_store import StreamStore
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours
from tests.conftest import ROOT

NUM_RECORDINGS = 150
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many short recordings of different lengths, so that they are not captioned in their order; some are silent."""
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    for number in range(NUM_RECORDINGS):
        samples = 0.1 * generator.normal(size=int(16000 * generator.uniform(0.3, 2))) * (number % 20 != 0)
        soundfile.write(folder / f"{number:03d}.wav", samples, 16000)
    return folder


def start(checkpoint: Path, *arguments: object, **options: object) -> subprocess.Popen[str]:
    def heed_signals() -> None:  # a test run in the background ignores interrupts, one under nohup hang-ups
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "inference.py", "--ckpt_path", checkpoint, "--device", "cpu", *arguments]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heed_signals}
    return subprocess.Popen(list(map(str, command)), cwd=ROOT, env=ENVIRONMENT, **{**given, **options})  # type: ignore[call-overload, no-any-return]


def wait_for_lines(process: subprocess.Popen[str], path: Path, number: int) -> list[str]:
    """The lines of a file as soon as there are so many."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if path.exists() and len(lines := path.read_text().splitlines()) >= number:
            return lines
        time.sleep(0.005)
    raise AssertionError(f"{path} never had {number} lines: {process.communicate()[1]}")


def rows(lines: list[str]) -> list[tuple[object, ...]]:
    """What an output's lines say; probabilities differ in their last digits where other clips share a batch."""
    return [tuple(json.loads(line)[name] for name in ("file", "start_s", "end_s", "caption")) for line in lines]


def done(lines: list[str]) -> set[str]:
    """Recordings that a manifest's lines tell to be done."""
    return {found["file"] for line in lines if "state" in (found := json.loads(line))}


@pytest.fixture(scope="module")
def whole_run(tiny_checkpoint: Path, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    output = tmp_path_factory.mktemp("whole") / "captions.jsonl"
    process = start(tiny_checkpoint, recordings, "--format", "jsonl", "--output", output, "--workers", 1)
    errors = process.communicate()[1]
    assert process.returncode == 0
    assert sorted(os.listdir(output.parent)) == ["captions.jsonl", "captions.jsonl.manifest.jsonl"]
    assert f"captioned {NUM_RECORDINGS} recordings, 8 of them silent; 0 failed; 0 left out." in errors.splitlines()[-1]
    assert f"{NUM_RECORDINGS}/{NUM_RECORDINGS}" in errors and "failed=0" in errors  # the progress bar
    return output.read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "at", "workers"),
    [
        *((number, at, 1) for number in STOPS for at in (0, 120)),
        *((signal.SIGKILL, at, 1 + at // 50 % 2) for at in (0, 3, 60, 180, 280)),
        (signal.SIGINT, 60, 2),
    ],
)
def test_what_is_done_is_kept_and_the_same_command_goes_on(
    tiny_checkpoint: Path,
    recordings: Path,
    tmp_path: Path,
    whole_run: list[str],
    number: signal.Signals,
    at: int,
    workers: int,
) -> None:
    output, manifest = tmp_path / "captions.jsonl", tmp_path / "captions.jsonl.manifest.jsonl"
    command = (tiny_checkpoint, recordings, "--format", "jsonl", "--output", output, "--workers", workers)
    process = start(*command)
    seen = wait_for_lines(process, manifest, at)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert not output.exists(), "a part looks like the whole"
    kept = done(manifest.read_text().split("\n")[:-1]) if manifest.exists() else set()
    assert kept >= done(seen)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == STOPS[number] and "Traceback" not in errors
        [told] = [line for line in errors.splitlines() if "stopped by" in line]
        assert f"{len(kept)} recording" in told if kept else "caption" in told
    process = start(*command)
    errors = process.communicate()[1]
    assert process.returncode == 0 and rows(output.read_text().splitlines()) == rows(whole_run)
    assert f"captioned {NUM_RECORDINGS} recordings" in errors
    assert not kept or f" {len(kept)} of these were done before." in errors
    assert len(done(manifest.read_text().splitlines())) == NUM_RECORDINGS
    names = [json.loads(line)["file"] for line in manifest.read_text().splitlines() if '"window"' in line]
    assert len(names) - NUM_RECORDINGS <= 16, "more than what was in work is captioned twice"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.8, 1.5, 2.5])
def test_a_stop_while_the_captioner_is_loaded(
    recordings: Path, tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    process = start(ROOT / "checkpoints" / "any_sound", recordings, "--output", tmp_path / "captions.txt")
    while not (tmp_path / "captions.txt.manifest.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(after_s - 0.8)
    process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == STOPS[number] and "Traceback" not in errors
    assert not (tmp_path / "captions.txt").exists()


@pytest.mark.parametrize("number", list(STOPS))
def test_stdout_has_what_is_done(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, whole_run: list[str], number: signal.Signals
) -> None:
    with (tmp_path / "out").open("w") as file:
        process = start(tiny_checkpoint, recordings, "--format", "jsonl", stdout=file)
        seen = wait_for_lines(process, tmp_path / "out", 20)
        process.send_signal(number)
        assert process.wait() == STOPS[number]
    kept = (tmp_path / "out").read_text().splitlines()
    assert len(kept) >= len(seen) and set(rows(kept)) <= set(rows(whole_run))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "srt", "vtt", "audacity", "raven"])
def test_a_timeline_goes_on_within_a_recording(tiny_checkpoint: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / "long.wav"
    time_s = np.arange(16000 * 80) / 16000
    noise = 0.1 * np.random.default_rng(1).normal(size=len(time_s))
    soundfile.write(path, noise * (time_s % 1 > 0.1) * (time_s % 1 < 0.4), 16000)  # every second window is silent
    common = ("--timeline", 0.5, "--format", form)
    whole = start(tiny_checkpoint, path, *common).communicate()[0]
    output = tmp_path / f"captions.{form}"
    manifest = Path(f"{output}.manifest.jsonl")
    process = start(tiny_checkpoint, path, *common, "--output", output)
    wait_for_lines(process, manifest, 70)  # of 160
    process.kill()
    process.wait()
    kept = manifest.read_text().split("\n")[:-1]
    assert not output.exists() and not done(kept)
    process = start(tiny_checkpoint, path, *common, "--output", output)
    assert process.wait() == 0 and output.read_text() == whole
    lines = manifest.read_text().splitlines()
    assert lines[: len(kept)] == kept and len(lines) == 162, "windows were captioned twice"


def test_a_full_disk_keeps_whole_lines(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, whole_run: list[str]
) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # enough for the list, not for the manifest

    output, manifest = tmp_path / "captions.jsonl", tmp_path / "captions.jsonl.manifest.jsonl"
    command = (tiny_checkpoint, recordings, "--format", "jsonl", "--output", output, "--workers", 1)
    process = start(*command, preexec_fn=fill)
    errors = process.communicate()[1]
    assert process.returncode == 2 and not output.exists()
    assert manifest.exists(), errors
    assert manifest.read_text().endswith("\n") and len(done(manifest.read_text().splitlines())) > 5
    assert "manifest.jsonl cannot be written any further (File too large): its content is kept" in errors
    assert "Traceback" not in errors
    assert start(*command).wait() == 0 and rows(output.read_text().splitlines()) == rows(whole_run)


def test_full_stdout_and_devices(tiny_checkpoint: Path, recordings: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start(tiny_checkpoint, recordings / "001.wav", stdout=full)
        errors = process.communicate()[1]
    assert process.returncode == 2 and "stdout cannot be written any further (No space left" in errors
    assert "Traceback" not in errors and "Exception ignored" not in errors
    process = start(tiny_checkpoint, recordings / "001.wav", "--output", "/dev/null")
    assert process.wait() == 0 and not Path("/dev/null").is_file()


def test_nobody_reads_stdout_any_more(tiny_checkpoint: Path, recordings: Path) -> None:
    process = start(tiny_checkpoint, recordings)
    assert process.stdout and process.stderr
    assert process.stdout.readline().startswith(f"{recordings}/000.wav: ")
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() == 141 and "Traceback" not in errors and "Exception ignored" not in errors
    assert f"{NUM_RECORDINGS}/{NUM_RECORDINGS}" not in errors, "captioned on for nobody"


def test_an_error_in_the_middle_keeps_what_is_done(
    tiny_checkpoint: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from models.captioner import AudioCaptioner

    caption, calls = AudioCaptioner.caption, []

    def failing(self: AudioCaptioner, *arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 4:
            raise RuntimeError("out of memory")
        return caption(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(AudioCaptioner, "caption", failing)
    output = tmp_path / "captions.txt"
    assert run(tiny_checkpoint, recordings, "--output", output, "--workers", 1) == 2
    kept = done((tmp_path / "captions.txt.manifest.jsonl").read_text().splitlines())
    assert len(kept) >= 24 and not output.exists() and "out of memory" in caplog.text
    assert f"{len(kept)} recordings are done in {output}.manifest.jsonl" in caplog.text


def run(checkpoint: Path, *arguments: object) -> int:
    return inference.main(["--ckpt_path", str(checkpoint), "--device", "cpu", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "srt"], "is a format for one recording"),
        (["--format", "vtt", "--timeline", "1"], "is a format for one recording"),
        (["--output", "{folder}"], "is a folder"),
        (["--output", "{folder}/001.wav/captions.txt"], "cannot be written (Not a directory)"),
        (["--output", "/proc/nowhere/captions.txt"], "cannot be written"),
        (["--output", "{folder}/001.wav"], "would replace"),
        (["--style", "verse"], "found --style 'verse' (expected none"),
        (["--min_tokens", "60"], "expected at most max_tokens"),
        (["--timeline", "60"], "--timeline 60.0 (expected above 0 and at most 4)"),
        (["--timeline", "nan"], "above 0"),
        (["--batch_size", "0"], "found --batch_size 0 (expected 1 or more)"),
        (["--workers", "0"], "found --workers 0 (expected 1 or more)"),
        (["--track", "0"], "found --track 0 (expected 1 or more)"),
        (["--rerank", "clap", "--method", "greedy"], "greedy decoding gives one"),
        (["--rerank", "clap", "--candidates", "1"], "is too small"),
    ],
)
def test_errors_are_reported_before_the_captioner_is_loaded(
    tiny_checkpoint: Path,
    recordings: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    arguments: list[str],
    message: str,
) -> None:
    def load(_: object) -> None:
        raise AssertionError("the captioner was loaded")

    monkeypatch.setattr(captioning.pipeline, "load_captioner", load)
    before = sorted(recordings.iterdir())
    assert run(tiny_checkpoint, recordings, *[text.format(folder=recordings) for text in arguments]) == 2
    assert message in caplog.text and len(caplog.records) == 1 and sorted(recordings.iterdir()) == before


@pytest.mark.parametrize("form", ["text", "jsonl", "csv"])
def test_names_that_are_not_utf8(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in (b"caf\xe9.wav", "café.wav".encode()):
        (folder / os.fsdecode(name)).write_bytes((recordings / "001.wav").read_bytes())
    output = tmp_path / "captions"
    assert run(tiny_checkpoint, folder, "--format", form, "--output", output) == 0
    assert "names that are not UTF-8 (1)" in caplog.text
    text = output.read_text(encoding="utf-8")
    assert "café.wav" in text and (r"caf\\xe9.wav" if form == "jsonl" else r"caf\xe9.wav") in text


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    first = Manifest(tmp_path / "manifest.jsonl", {})
    with pytest.raises(ManifestError, match="another run is writing"):
        Manifest(tmp_path / "manifest.jsonl", {})
    first.close()
    Manifest(tmp_path / "manifest.jsonl", {}).close()


def some_records(number: int, with_references: bool) -> list[CaptionRecord]:
    records = []
    for index in range(number):
        captions = (ScoredCaption(random.choice("xy"), -1.0 - index, 0.5), ScoredCaption("z", -3.0, 0.25))
        references = ("a, b", 'say "c"')[: index % 3] if with_references else ()
        sound = index > 3 and random.random() < 0.7
        records.append(
            CaptionRecord(f"a{index // 9}.wav", index % 9, index % 9 + 1, captions if sound else SILENCE, references)
        )
    return records


@pytest.mark.parametrize("timeline", [False, True])
@pytest.mark.parametrize("form", [name for name in FORMATS if name != "parquet"])
@pytest.mark.parametrize("seed", range(5))
def test_a_stream_is_in_order_whatever_comes_first(
    form: str, timeline: bool, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    random.seed(seed)
    records = some_records(9 if FORMATS[form].for_one_recording else 40, not timeline)
    num_references = max(len(record.references) for record in records)
    events: list[Event] = []
    names = list(dict.fromkeys(record.file for record in records))
    for number, name in enumerate(names):
        own = [record for record in records if record.file == name]
        events += [Captioned(number, window, record) for window, record in enumerate(own)] + [Ended(number, name)]
    near = [(place + random.uniform(0, 12), place) for place in range(len(events))]
    for place, event in enumerate(events):  # the end of a recording comes behind all of its records
        if isinstance(event, Ended):
            own = [at for at, other in enumerate(events) if other.number == event.number]
            near[place] = (max(near[at][0] for at in own), place)
    shuffled = [events[place] for _, place in sorted(near)]
    selection = Selection(merge_gap_s=0.0 if timeline else None)
    with StreamStore(None, form, timeline=timeline, num_references=num_references, selection=selection) as output:
        while shuffled:
            output.take(shuffled[:3])
            shuffled = shuffled[3:]
        output.finish()
    expected = records_text(merge_neighbours(records) if timeline else records, form, timeline)
    assert capsys.readouterr().out == expected


def test_a_table_of_silence_has_the_columns_it_had(capsys: pytest.CaptureFixture[str]) -> None:
    records = [CaptionRecord(f"{number}.wav", 0, 1, SILENCE) for number in range(5)]
    with StreamStore(None, "csv", compared=True) as output:
        for number, record in enumerate(records):
            output.take([Captioned(number, 0, record), Ended(number, record.file)])
        output.finish()
    assert capsys.readouterr().out == records_text(records, "csv")

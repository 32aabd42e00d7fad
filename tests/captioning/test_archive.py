"""Runs over folders: what is done is found again, formats and files, failures, processes that end."""

import json
import logging
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import soundfile

import captioning.manifest
import captioning.pipeline
import inference
from captioning.jobs import Captioned, Ended
from captioning.manifest import FAILED, Manifest, ManifestError, recording_key
from captioning.outputs import OutputPlan
from captioning.shown import Selection
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption
from generation.calibration import CALIBRATION_KEY, Calibration
from models.captioner import AudioCaptioner


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A recorder's card: two nights, a damaged file, a silent one."""
    folder = tmp_path / "card"
    generator = np.random.default_rng(0)
    for name in ("a/20240131_053000.WAV", "a/20240131_060000.WAV", "b/20240201_053000.WAV"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, 0.1 * generator.normal(size=24000), 16000)
    soundfile.write(folder / "a/silent.wav", np.zeros(16000), 16000)
    (folder / "b/damaged.wav").write_text("no sound")
    return folder


@pytest.fixture
def caption(tiny_checkpoint: Path) -> Callable[..., int]:
    def run(*arguments: object, checkpoint: Path = tiny_checkpoint) -> int:
        return inference.main(["--ckpt_path", str(checkpoint), "--device", "cpu", *map(str, arguments)])

    return run


@pytest.fixture
def not_loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def fail(_: object) -> None:
        raise AssertionError("the captioner was loaded")

    return lambda: monkeypatch.setattr(captioning.pipeline, "load_captioner", fail)


def test_the_same_command_again_has_nothing_to_do(
    card: Path, tmp_path: Path, caption: Callable[..., int], not_loaded: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    output = tmp_path / "captions.csv"
    assert caption(card, "--format", "csv", "--output", output) == 1
    table = pd.read_csv(output)
    assert table["file_name"].tolist() == [str(path) for path in sorted(card.rglob("*.*"))]
    failed = table[table["error"].notna()]
    assert failed["file_name"].tolist() == [f"{card}/b/damaged.wav"] and failed["caption_predicted"].isna().all()
    assert table["start_time"].tolist()[:2] == ["2024-01-31T05:30:00.000", "2024-01-31T06:00:00.000"]
    not_loaded()
    before = output.read_bytes()
    output.unlink()
    assert caption(card, "--format", "csv", "--output", output) == 1 and output.read_bytes() == before
    told = caplog.records[-1].getMessage()
    assert "captioned 4 recordings, 1 of them silent; 1 failed" in told and "5 of these were done before" in told
    assert "--retry_failed" in told and "failed (1 x cannot be decoded as audio" in told
    assert caplog.records[-2].getMessage() == f"captions are in {output}."
    formats = tmp_path / "captions.csv"  # another format of the same captions needs no captioner either
    shutil.copy(f"{output}.manifest.jsonl", tmp_path / "other.parquet.manifest.jsonl")
    assert caption(card, "--format", "parquet", "--output", tmp_path / "other.parquet") == 1 and formats.exists()
    assert pyarrow.parquet.read_table(tmp_path / "other.parquet")["file"].to_pylist() == table["file_name"].tolist()


def test_failed_and_changed_recordings_are_captioned_again(
    card: Path, tmp_path: Path, caption: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "captions.jsonl"
    command = (card, "--format", "jsonl", "--output", output)
    assert caption(*command) == 1
    first = [json.loads(line) for line in output.read_text().splitlines()]
    assert "error" in first[4] and set(first[4]) == {"file", "error"}
    soundfile.write(card / "a/silent.wav", 0.1 * np.random.default_rng(5).normal(size=16000), 16000)
    (card / "b/damaged.wav").write_text("no sound")  # the same size, another time
    os.utime(card / "b/damaged.wav", ns=(0, 0))
    assert caption(*command) == 1
    second = [json.loads(line) for line in output.read_text().splitlines()]
    assert second[2]["caption"] != "silence" and second[:2] == first[:2]
    shutil.copy(card / "b/20240201_053000.WAV", card / "b/damaged.wav")
    os.utime(card / "b/damaged.wav", ns=(0, 0))
    soundfile.write(card / "new.wav", np.zeros(16000), 16000)
    assert caption(*command) == 0 and "5 of these were done before" not in caplog.text
    third = [json.loads(line) for line in output.read_text().splitlines()]
    assert third[4]["captions"] == third[3]["captions"] and third[5]["file"] == f"{card}/new.wav"


def test_failed_recordings_are_tried_again_when_asked(
    card: Path, tmp_path: Path, caption: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "captions.jsonl"
    command = (card, "--format", "jsonl", "--output", output)
    real = captioning.recordings.load_audio

    def interrupted(path: Path, *arguments: object, **options: object) -> object:
        if path.name.startswith("2024"):
            raise captioning.recordings.AudioError(f"{path} cannot be read: the disk is away.")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(captioning.recordings, "load_audio", interrupted)
    assert caption(*command) == 1 and output.read_text().count('"error"') == 4
    monkeypatch.undo()
    assert caption(*command) == 1 and output.read_text().count('"error"') == 4
    assert caption(*command, "--retry_failed") == 1 and output.read_text().count('"error"') == 1


def test_captions_of_other_settings_are_not_mixed(
    card: Path, tmp_path: Path, caption: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "captions.txt"
    caption(card, "--output", output)
    before = output.read_text()
    assert caption(card, "--output", output, "--num_beams", 2, "--timeline", 1) == 2
    told = caplog.records[-1].getMessage()
    assert "has captions with fingerprint" in told and "this command's is" in told and "--restart" in told
    assert "timeline_s null there, 1.0 here" in told and output.read_text() == before
    assert caption(card, "--output", output, "--num_beams", 2, "--timeline", 1, "--restart") == 1
    assert output.read_text() != before and (tmp_path / "captions.txt.manifest.jsonl.old").exists()


def test_several_formats_and_one_file_a_recording(card: Path, tmp_path: Path, caption: Callable[..., int]) -> None:
    assert caption(card, "--format", "csv,parquet,jsonl", "--output", tmp_path / "out" / "captions.csv") == 1
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"captions.csv", "captions.parquet", "captions.jsonl", "captions.csv.manifest.jsonl"}
    assert (
        len(pd.read_csv(tmp_path / "out/captions.csv")) == len(pd.read_parquet(tmp_path / "out/captions.parquet")) == 5
    )
    folder = tmp_path / "tables"
    command = (card, "--timeline", 1, "--format", "raven,audacity,csv", "--per_recording", "--output", folder)
    assert caption(*command) == 1
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    good = [str(path.relative_to(card)) for path in card.rglob("*.*") if path.name != "damaged.wav"]
    suffixes = (".selections.txt", ".labels.txt", ".csv")
    expected = ["manifest.jsonl", "b/damaged.wav.csv", *(name + suffix for name in good for suffix in suffixes)]
    assert found == sorted(expected)
    table = pd.read_csv(folder / "b/20240201_053000.WAV.selections.txt", sep="\t")
    assert table["Selection"].tolist() == list(range(1, len(table) + 1)) and table["High Freq (Hz)"][0] == 16000
    (folder / "b/20240201_053000.WAV.csv").unlink()
    assert caption(*command) == 1 and (folder / "b/20240201_053000.WAV.csv").exists()


def test_only_probable_captions_are_shown(
    card: Path, tiny_checkpoint: Path, tmp_path: Path, caption: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert caption(card, "--min_probability", 0.5) == 2 and "whose captions have probabilities" in caplog.text
    calibrated = tmp_path / "calibrated"
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    captioner.save_pretrained(calibrated, {CALIBRATION_KEY: Calibration(-1.0, 0.5).to_dict()})
    output = tmp_path / "captions.parquet"
    command = (card, "--format", "parquet", "--output", output)
    assert caption(*command, checkpoint=calibrated) == 1
    found = pd.read_parquet(output)["probability"].dropna()
    assert len(found) == 3
    least = float(found.max())
    assert caption(*command, "--min_probability", least, checkpoint=calibrated) == 1
    table = pd.read_parquet(output)
    assert table["probability"].notna().sum() == (found >= least).sum() and table["probability"].dropna().min() >= least
    assert "silence" in table["caption"].tolist() and table["error"].notna().sum() == 1
    omitted = f"; 2 captions are below --min_probability {least:g} and not in the output."
    assert f"captions are in {output}{omitted}" in caplog.text and (found < least).sum() == 2
    command = (card, "--min_probability", least)
    assert caption(*command, "--per_recording", "--output", tmp_path / "texts", checkpoint=calibrated) == 1
    assert f"the folder {tmp_path}/texts, one file per recording and format{omitted}" in caplog.text
    assert caption(*command, checkpoint=calibrated) == 1 and f"captions are in stdout{omitted}" in caplog.text


def a_record(text: str, start_s: float, probability: float = 0.5) -> CaptionRecord:
    return CaptionRecord("a.wav", start_s, start_s + 1, (ScoredCaption(text, -1.0, probability),))


def test_gaps_are_closed_between_shown_windows() -> None:
    rows = [
        a_record("rain", 0),
        a_record("rain", 1, 0.1),
        a_record("rain", 2),
        a_record("wind", 3),
        a_record("rain", 4),
    ]
    shown = Selection(0.3, 0.0).rows(rows)
    assert [(row.start_s, row.end_s) for row in shown if isinstance(row, CaptionRecord)] == [
        (0, 1), (2, 3), (3, 4), (4, 5)
    ]  # fmt: skip
    shown = Selection(0.3, 1.0).rows(rows)
    assert [(row.start_s, row.end_s) for row in shown if isinstance(row, CaptionRecord)] == [(0, 3), (3, 4), (4, 5)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "csv,jsonl"], "several formats and --per_recording need --output"),
        (["--per_recording"], "several formats and --per_recording need --output"),
        (["--format", "parquet"], "parquet is not a text format"),
        (["--format", "raven", "--output", "x.txt"], "raven is a format for one recording"),
        (["--min_probability", "2"], "--min_probability 2"),
        (["--merge_gap", "2"], "joins windows: give --timeline as well"),
        (["--restart"], "need --output"),
        (["--per_recording", "--output", "{card}/a/silent.wav"], "is a recording"),
    ],
)
def test_errors_are_one_sentence(
    card: Path, caption: Callable[..., int], not_loaded: Callable[[], None], caplog: pytest.LogCaptureFixture,
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    not_loaded()
    assert caption(card, *[text.format(card=card) for text in arguments]) == 2
    assert message in caplog.text and len(caplog.records) == 1


def test_files_keep_the_folders_of_their_recordings(tmp_path: Path) -> None:
    plan = OutputPlan(tmp_path / "out", ("srt", "raven"), True, True, 0, Selection())
    files = plan.files_of("/data/card/night/a.wav", "/data/card")
    assert files["srt"] == tmp_path / "out/night/a.wav.srt"
    assert files["raven"] == tmp_path / "out/night/a.wav.selections.txt"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/2024/a.flac", "bucket/2024/a.flac.srt"),
        ("https://host/../../a.flac", "host/a.flac.srt"),
        ("/data/tapes/b.wav", "data/tapes/b.wav.srt"),
        ("/data/card/../c.wav", "data/c.wav.srt"),
    ],
)
def test_no_file_is_written_outside_of_the_output(tmp_path: Path, name: str, expected: str) -> None:
    plan = OutputPlan(tmp_path / "out", ("srt",), True, True, 0, Selection())
    assert plan.files_of(name, "/data/card") == {"srt": tmp_path / "out" / expected}


def test_a_manifest_survives_a_torn_line_and_tells_damage(tmp_path: Path) -> None:
    path, sound = tmp_path / "manifest.jsonl", tmp_path / "a.wav"
    sound.touch()
    key, other = recording_key(sound), "00000000000000ff"
    manifest = Manifest(path, {"beams": 3})
    keys = {0: key, 1: other}
    record = CaptionRecord("a.wav", 0.1, 1 / 3, (ScoredCaption("x", -1 / 3, 0.5),), ("y",), (0.25,))
    [(number, place)] = manifest.add([Captioned(0, 0, record), Captioned(1, 4, record), Ended(0, "a.wav")], keys)
    assert number == 0 and manifest.rows(place) == [record]
    manifest.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key":"00')
    manifest = Manifest(path, {"beams": 3})
    assert path.read_bytes() == whole and manifest.find([other, key]) == [None, place]
    assert manifest.windows_done(other) == {4} and manifest.rows(place) == [record]
    [(_, failed)] = manifest.add([Ended(1, "b.wav", "b.wav is gone.")], keys)
    assert failed.state == FAILED and [type(row).__name__ for row in manifest.rows(failed)] == [
        "CaptionRecord", "FailedRecording"
    ]  # fmt: skip
    manifest.close()
    with pytest.raises(ManifestError, match="beams 3 there, 4 here"):
        Manifest(path, {"beams": 4})
    path.write_bytes(whole.replace(b'"window":0', b'"window":?'))
    manifest = Manifest(path, {"beams": 3})  # only the beginnings of lines are parsed now
    with pytest.raises(ManifestError, match=f"damaged at byte {len(whole.splitlines()[0]) + 1}:"):
        manifest.rows(place)
    manifest.close()
    path.write_bytes(whole + b"something else\n")
    with pytest.raises(ManifestError, match=f"damaged at byte {len(whole)}"):
        Manifest(path, {"beams": 3})
    path.write_text("captions\n")
    with pytest.raises(ManifestError, match="is not a manifest"):
        Manifest(path, {"beams": 3})


@pytest.mark.parametrize("at_once", [1, 7, 100, 2**22])
def test_a_manifest_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(captioning.manifest, "_READ_AT_ONCE", at_once)
    path, keys = tmp_path / "manifest.jsonl", {number: f"{number:016x}" for number in range(9)}
    manifest = Manifest(path, {})
    for number in range(8):
        events = [
            Captioned(number, 0, CaptionRecord(f"{number} é.wav", 0.0, 1.0, SILENCE)),
            Ended(number, f"{number} é.wav"),
        ]
        manifest.add(events, keys)
    manifest.add([Captioned(8, 0, CaptionRecord("8.wav", 0.0, 1.0, SILENCE))], keys)
    manifest.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key":"0000000000000008","previous"')
    manifest = Manifest(path, {})
    places = manifest.find([*keys.values()])
    assert path.read_bytes() == whole and places[8] is None and manifest.windows_done(keys[8]) == {0}
    assert [manifest.rows(place)[0].file for place in places if place] == [f"{number} é.wav" for number in range(8)]
    [(_, place)] = manifest.add([Ended(8, "8.wav")], keys)
    assert place.state == "silent"  # also of the line before it was opened
    manifest.close()


def test_a_silent_recording_is_reported_after_going_on(tmp_path: Path) -> None:
    record = CaptionRecord("a.wav", 0.0, 1.0, SILENCE)
    manifest = Manifest(tmp_path / "m", {})
    manifest.add([Captioned(0, 0, record)], {0: "0000000000000001"})
    manifest.close()
    manifest = Manifest(tmp_path / "m", {})
    [(_, place)] = manifest.add([Captioned(0, 1, record), Ended(0, "a.wav")], {0: "0000000000000001"})
    assert place.state == "silent" and len(manifest.rows(place)) == 2


@pytest.mark.slow
def test_two_processes_caption_as_one_does_and_one_that_ends_takes_nothing_along(
    card: Path, tmp_path: Path, caption: Callable[..., int], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    generator = np.random.default_rng(1)
    for number in range(40):
        soundfile.write(card / f"{number}.wav", 0.1 * generator.normal(size=8000 + 100 * number), 16000)
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert caption(card, "--format", "jsonl", "--output", one, "--workers", 1) == 1
    monkeypatch.setattr("captioning.team._work", dies_of_one)
    assert caption(card, "--format", "jsonl", "--output", two, "--workers", 2) == 1
    captioned = [json.loads(line) for line in one.read_text().splitlines()]
    again = [json.loads(line) for line in two.read_text().splitlines()]
    texts = [[(line["file"], line.get("caption")) for line in lines] for lines in (captioned, again)]
    different = [(old, new) for old, new, a, b in zip(captioned, again, *texts, strict=True) if a != b]
    assert [Path(new["file"]).name for _, new in different] == ["7.wav"]
    assert "ended by SIGKILL" in different[0][1]["error"] and "captioned one by one" in caplog.text


def dies_of_one(connection: object, options: object, num_threads: int) -> None:
    """As a process that runs out of memory with one recording."""
    from captioning import recordings, team

    real = recordings.load_audio

    def deadly(path: Path, *arguments: object, **keywords: object) -> object:
        if path.name == "7.wav":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(path, *arguments, **keywords)  # type: ignore[arg-type]

    recordings.load_audio = deadly  # type: ignore[assignment]
    team._work(connection, options, num_threads)  # type: ignore[arg-type]


def test_recordings_listed_more_than_once_were_not_done_before(
    card: Path, tmp_path: Path, caption: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    good, damaged = card / "b/20240201_053000.WAV", card / "b/damaged.wav"
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in (good, damaged, good, damaged, good)))
    output = tmp_path / "captions.jsonl"
    assert caption(tmp_path / "list.txt", "--format", "jsonl", "--output", output) == 1
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert rows[0] == rows[2] == rows[4] and rows[1] == rows[3] and "error" in rows[1]
    told = caplog.records[-1].getMessage()
    assert "captioned 3 recordings, 0 of them silent; 2 failed" in told and "3 are listed more than once." in told
    assert "before" not in told and "--retry_failed" not in told

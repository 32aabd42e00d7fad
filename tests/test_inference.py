"""inference.py on files, folders, timelines and trouble."""

import json
from pathlib import Path

import numpy as np
import pysubs2
import pytest
import soundfile

import inference
from captioning.files import DEFAULT_CHECKPOINT
from generation.calibration import CALIBRATION_KEY, Calibration
from models.captioner import AudioCaptioner

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, seconds in (("a.wav", 1.0), ("b.flac", 2.5), ("c.ogg", 0.5)):
        soundfile.write(folder / name, 0.1 * generator.normal(size=int(22050 * seconds)), 22050)
    soundfile.write(folder / "silent.wav", np.zeros(22050), 22050)
    return folder


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(checkpoint: Path, *arguments: object) -> int:
    return inference.main(["--ckpt_path", str(checkpoint), "--device", "cpu", *map(str, arguments)])


def test_a_folder_is_captioned_in_order(
    tiny_checkpoint: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_checkpoint, recordings, "--format", "jsonl", "--num_captions", 2) == 0
    found = lines(capsys)
    assert [Path(line["file"]).name for line in found] == ["a.wav", "b.flac", "c.ogg", "silent.wav"]
    assert all(set(line) == {"file", "start_s", "end_s", "caption", "captions"} for line in found)
    assert found[3]["caption"] == "silence"
    assert found[1]["end_s"] == pytest.approx(2.5, abs=0.01)
    assert all(line["captions"][0]["text"] == line["caption"] for line in found)


def test_a_calibrated_captioner_gives_probabilities(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = Calibration(-1.0, 0.5)
    checkpoint = tmp_path / "calibrated"
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    captioner.save_pretrained(checkpoint, {CALIBRATION_KEY: calibration.to_dict()})
    assert run(checkpoint, recordings, "--format", "jsonl", "--num_captions", 2) == 0
    *heard, silent = lines(capsys)
    assert all(
        set(caption) == {"text", "log_probability", "probability"} for line in heard for caption in line["captions"]
    )
    assert all(0 < caption["probability"] < 0.27 for line in heard for caption in line["captions"])
    assert set(silent["captions"][0]) == {"text", "log_probability"}
    assert run(checkpoint, recordings, "--format", "csv") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "file_name,start_s,end_s,caption_predicted,log_probability,probability"
    assert rows[3].endswith(",silence,0.0000,")
    assert run(checkpoint, recordings, "--num_captions", 2) == 0
    assert "  (probability " in capsys.readouterr().out


def test_bad_files_are_named_and_the_good_ones_captioned(
    tiny_checkpoint: Path, recordings: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (recordings / "bad.wav").write_text("no sound")
    (recordings / "empty.mp3").touch()
    assert run(tiny_checkpoint, recordings, "--format", "jsonl") == 1
    assert len(lines(capsys)) == 4
    assert (
        "bad.wav" in caplog.text
        and "empty.mp3" in caplog.text
        and "captioned 4 recordings, 1 of them silent; 2 failed" in caplog.text
    )


def test_a_pattern_and_an_output_file(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "captions.csv"
    assert run(tiny_checkpoint, recordings / "*.wav", "--format", "csv", "--output", output) == 0
    assert capsys.readouterr().out == ""
    assert len(output.read_text().splitlines()) == 3
    assert sorted(path.name for path in output.parent.iterdir()) == ["captions.csv", "captions.csv.manifest.jsonl"]


def test_a_timeline_covers_the_whole_recording(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(1).normal(size=16000 * 10), 16000)
    assert run(tiny_checkpoint, path, "--timeline", 3, "--format", "jsonl") == 0
    found = lines(capsys)
    assert found[0]["start_s"] == 0 and found[-1]["end_s"] == pytest.approx(10, abs=0.01)
    assert all(a["end_s"] == b["start_s"] for a, b in zip(found, found[1:], strict=False))
    assert run(tiny_checkpoint, path, "--timeline", 3, "--format", "srt") == 0
    assert "-->" in capsys.readouterr().out


def test_a_long_file_without_a_timeline_is_reported(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(1).normal(size=16000 * 6), 16000)
    assert run(tiny_checkpoint, tmp_path / "long.wav") == 0
    assert "its first 4 s are captioned" in caplog.text


def test_a_split_shows_predictions_beside_ground_truths(
    tiny_checkpoint: Path, tone_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_checkpoint, "--split", "validation", "--dataset_root", tone_dataset) == 0
    text = capsys.readouterr().out
    assert text.count("reference:") == 8 and "validation0.wav: " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to caption"),
        (["*.nothing"], "no file matches"),
        (["x.wav", "--timeline", "-1"], "above 0"),
        (["x.wav", "--temperature", "0"], "above 0"),
        (["x.wav", "--top_p", "0"], "found --top_p 0.0 (expected above 0 and at most 1)"),
        (["x.wav", "--min_tokens", "60"], "found --min_tokens 60 (expected at most max_tokens, 12)"),
        (["x.wav", "--min_score", "2"], "found --min_score 2.0 (expected 0 to 1)"),
        (["x.wav", "--style", "verse"], "found --style 'verse' (expected none"),
        (
            [
                "x.wav",
                "--top_p",
                "0",
                "--length_penalty",
                "nan",
                "--min_tokens",
                "60",
                "--workers",
                "0",
                "--timeline",
                "0",
            ],
            "found --workers 0 (expected 1 or more), --length_penalty nan (expected a finite number), --top_p 0.0 (expected "
            "above 0 and at most 1), --min_tokens 60 (expected at most max_tokens, 12) and --timeline 0.0 (expected above 0 "
            "and at most 4): change these settings.",
        ),
        (["--split", "evaluation"], "needs --dataset_root"),
        (["x.wav", "--timeline", "60"], "at most"),
    ],
)
def test_errors_are_one_sentence_and_status_2(
    tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert run(tiny_checkpoint, *arguments) == 2
    assert message in caplog.text
    assert len(caplog.records) == 1


def test_no_checkpoint_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert run(tmp_path / "none", "x.wav") == 2
    assert "not a checkpoint folder" in caplog.text


def test_sounds_are_merged_into_subtitles(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    film, given, output = (
        ROOT / "assets" / "siren_then_waves.flac",
        tmp_path / "film.srt",
        tmp_path / "new" / "film.srt",
    )
    given.write_text("1\n00:00:02,500 --> 00:00:04,500\n<i>Who is there?</i>\n\n")
    command = (film, "--merge_into", given)
    assert run(DEFAULT_CHECKPOINT, *command, "--output", output) == 0
    lines = pysubs2.load(str(output), keep_html_tags=True)
    assert [line.text for line in lines if not line.text.startswith("[")] == ["<i>Who is there?</i>"]
    labels = [line for line in lines if line.text.startswith("[")]
    assert len(labels) == 2 and "siren" in labels[0].text and "waves" in labels[1].text
    assert labels[0].end <= 2400 and labels[1].start >= 4600
    assert run(DEFAULT_CHECKPOINT, *command) == 0
    assert capsysbinary.readouterr().out == output.read_bytes()
    caplog.clear()
    assert run(DEFAULT_CHECKPOINT, *command, "--output", given) == 2 and "would replace the given" in caplog.text
    assert run(DEFAULT_CHECKPOINT, film, *command) == 2 and "takes one recording" in caplog.text
    given.write_text("1\n00:10:04,000 --> 00:10:06,000\nLate\n\n")
    assert run(DEFAULT_CHECKPOINT, *command) == 0 and "do they belong together?" in caplog.text

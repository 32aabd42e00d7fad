"""evaluate.py from the command line."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import soundfile

import evaluate
from evaluation import resources

ROOT = Path(__file__).parents[1]
QUICK = ["--metrics", "bleu", "rouge_l", "cider_d", "vocabulary", "words", "--resamples", "50"]


@pytest.fixture(autouse=True)
def fresh_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / ".cache"))
    monkeypatch.delenv("AAC_METRICS_CACHE_PATH", raising=False)


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of three clips."""
    predictions, references = tmp_path / "predictions.csv", tmp_path / "references.csv"
    predictions.write_text("file_name,caption_predicted\na.wav,a dog barks\nb.wav,rain falls\nc.wav,a clock ticks\n")
    references.write_text(
        "file_name,caption_1,caption_2\na.wav,A dog barks.,a dog\nb.wav,rain on a roof,it rains\nc.wav,ticking,a clock\n"
    )
    return predictions, references


def run(*arguments: object) -> int:
    return evaluate.main([str(argument) for argument in arguments])


def test_tables_to_scores(tables: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a new" / "folder"
    assert run("--predictions", tables[0], "--references", tables[1], *QUICK, "--output", output) == 0
    table = capsys.readouterr().out
    assert table.startswith("3 clips\n\nmetric") and "CIDEr-D" in table and "95 % interval" in table
    assert sorted(path.name for path in output.iterdir()) == [
        "predictions.csv", "report.html", "scores.json", "scores_per_clip.csv",
    ]  # fmt: skip
    scores = json.loads((output / "scores.json").read_text())
    assert list(scores) == [
        "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "meteor", "cider_d", "spice", "spider", "fer", "spider_fl",
        "sbert_sim", "fense", "invented", "wrong_speakers", "vocabulary", "words",
    ]  # fmt: skip
    assert 0 < scores["bleu_1"]["low"] <= scores["bleu_1"]["value"] <= scores["bleu_1"]["high"] <= 1
    assert scores["spice"] == {"value": None, "low": None, "high": None, "reason": "not requested with --metrics"}
    per_clip = pd.read_csv(output / "scores_per_clip.csv")
    assert per_clip.file_name.tolist() == ["a.wav", "b.wav", "c.wav"]
    assert per_clip.cider_d.mean() == pytest.approx(scores["cider_d"]["value"])
    again = pd.read_csv(output / "predictions.csv")
    assert again.columns.tolist() == ["file_name", "caption_predicted", "caption_1", "caption_2"]


def test_what_it_writes_it_reads(tables: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run("--predictions", tables[0], "--references", tables[1], *QUICK, "--output", first)
    written = first / "predictions.csv"
    assert run("--predictions", written, "--references", written, *QUICK, "--output", second) == 0
    assert (first / "scores.json").read_bytes() == (second / "scores.json").read_bytes()


def test_a_comparison(tables: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.jsonl"
    captions = {"a.wav": "a dog barks", "b.wav": "wind", "c.wav": "a bird"}
    other.write_text("".join(json.dumps({"file": name, "caption": text}) + "\n" for name, text in captions.items()))
    arguments = ["--predictions", tables[0], "--references", tables[1], *QUICK, "--compare", other]
    assert run(*arguments, "--output", tmp_path / "out") == 0
    table = capsys.readouterr().out
    assert f"against {other}" in table and "difference" in table and "67 %" in table
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())["rouge_l"]
    assert found["difference"] > 0 and found["won"] == pytest.approx(2 / 3) and found["tied"] == pytest.approx(1 / 3)
    assert (tmp_path / "out" / "other_scores_per_clip.csv").is_file()
    other.write_text('{"file": "a.wav", "caption": "a dog barks"}\n')
    assert run(*arguments) == 2


def test_a_split_is_captioned_and_scored(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--ckpt_path", tiny_checkpoint, "--dataset_root", tone_dataset, "--split", "validation"]
    assert run(*arguments, *QUICK, "--output", tmp_path / "out", "--device", "cpu") == 0
    assert "4 clips" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table.file_name.tolist() == [f"validation{number}.wav" for number in range(4)]
    assert (tmp_path / "out" / "report.html").read_text().count("<audio") == 4


def test_the_same_command_resumes_and_another_is_refused(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "out"
    arguments = ["--ckpt_path", tiny_checkpoint, "--dataset_root", tone_dataset, "--split", "validation"]
    arguments += [*QUICK, "--device", "cpu", "--output", output]
    assert run(*arguments) == 0
    names = ("scores.json", "scores_per_clip.csv", "predictions.csv", "predictions.csv.manifest.jsonl")
    first = {name: (output / name).read_bytes() for name in names}
    (output / "scores.json").unlink()
    assert run(*arguments) == 0
    assert {name: (output / name).read_bytes() for name in names} == first  # nothing was captioned again
    assert run(*arguments, "--max_tokens", 3) == 2
    assert "max_tokens" in caplog.text and "start again with --restart" in caplog.text
    assert {name: (output / name).read_bytes() for name in names} == first
    assert run(*arguments, "--max_tokens", 3, "--restart") == 0
    assert (output / "predictions.csv.manifest.jsonl.old").read_bytes() == first["predictions.csv.manifest.jsonl"]
    assert (output / "predictions.csv.manifest.jsonl").read_bytes() != first["predictions.csv.manifest.jsonl"]


def test_captions_without_an_output_folder_are_the_same(
    tiny_checkpoint: Path, tone_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--ckpt_path", tiny_checkpoint, "--dataset_root", tone_dataset, "--split", "validation", *QUICK]
    assert run(*arguments, "--device", "cpu", "--output", tmp_path / "out") == 0
    with_output = capsys.readouterr().out
    assert run(*arguments, "--device", "cpu") == 0
    assert capsys.readouterr().out == with_output


def test_a_manifest_is_scored(tables: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "predictions.csv.manifest.jsonl"
    lines = [
        '{"manifest":1,"fingerprint":"0","settings":{}}',
        '{"key":"a","window":0,"file":"a.wav","captions":[["wind",-1.0,null]]}',
        '{"key":"a","window":0,"file":"a.wav","captions":[["a dog barks",-1.0,null]]}',
        '{"key":"a","state":"captioned","file":"a.wav"}',
        '{"key":"b","window":0,"file":"b.wav","captions":[["rain falls",-1.0,null]]}',
        '{"key":"c","window":0,"file":"c.wav","capt',  # the process was killed here
    ]
    manifest.write_text("\n".join(lines))
    arguments = ["--predictions", manifest, "--references", tables[1], *QUICK]
    assert run(*arguments) == 2
    assert run(*arguments, "--partial", "--output", tmp_path / "out") == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table.caption_predicted.tolist() == ["a dog barks", "rain falls"]
    lines[1] = '{"key":"a","window":0,"file":"a.wav","captions":7}'
    manifest.write_text("\n".join(lines))
    assert run(*arguments) == 2


def test_clips_that_cannot_be_captioned_are_named(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    soundfile.write(root / "good.wav", [0.1, -0.1] * 8000, 16000)
    soundfile.write(root / "fine.wav", [0.1, 0.0] * 8000, 16000)
    (root / "bad.wav").write_text("no sound")
    (root / "captions.csv").write_text("file_name,split,caption_1\ngood.wav,test,a\nfine.wav,test,b\nbad.wav,test,c\n")
    assert run("--ckpt_path", tiny_checkpoint, "--dataset_root", root, *QUICK) == 1
    assert capsys.readouterr().out.startswith("2 clips")
    assert "bad.wav" in caplog.text and "1 clips could not be captioned" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score"),
        (["--references", "REFERENCES"], "--references needs --predictions"),
        (["--predictions", "PREDICTIONS"], "--predictions needs --references"),
        (["--predictions", "PREDICTIONS", "--references", "none.csv"], "none.csv"),
        (["--predictions", "PREDICTIONS", "--references", "REFERENCES", "--metrics", "x"], "unknown metric 'x'"),
        (
            ["--predictions", "PREDICTIONS", "--references", "REFERENCES", "--resamples", "-1"],
            "--resamples -1 (expected 0 or more)",
        ),
        (["--dataset_root", "nowhere"], "no data set folder at nowhere"),
        (["--dataset_root", "nowhere", "--restart"], "--restart and --retry_failed need --output"),
        (
            [
                "--dataset_root",
                "nowhere",
                "--resamples",
                "-1",
                "--top_p",
                "0",
                "--length_penalty",
                "nan",
                "--style",
                "verse",
            ],
            "found --resamples -1 (expected 0 or more), --length_penalty nan (expected a finite number), --top_p 0.0 (expected "
            "above 0 and at most 1) and --style 'verse' (expected one of audiocaps, clotho, plain): change these settings.",
        ),
    ],
)
def test_errors_are_one_sentence_and_status_2(
    tables: tuple[Path, Path], caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    paths = {"PREDICTIONS": str(tables[0]), "REFERENCES": str(tables[1])}
    assert run(*(paths.get(argument, argument) for argument in arguments)) == 2
    assert message in caplog.text and len(caplog.records) == 1


def test_no_java_is_one_sentence(
    tables: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("--predictions", tables[0], "--references", tables[1]) == 2
    assert "found no java" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    assert run("--predictions", tables[0], "--references", tables[1], "--metrics", "vocabulary", "words") == 0


def test_a_download_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Path:
        raise resources.DownloadError("the server answered 503: try again later.")

    monkeypatch.setattr(evaluate, "download", refuse)
    assert run("--download") == 2 and "answered 503" in caplog.text


@pytest.mark.slow
def test_five_scores_of_clotho_in_fifteen_seconds_of_two_cores(shared: Path, tmp_path: Path) -> None:
    """Counted in processor time, which other programs on the machine do not lengthen: at most 2 x 15 s."""
    table = str(shared / "fixtures" / "published_scores_clotho_evaluation.csv")
    command = [sys.executable, "evaluate.py", "--predictions", table, "--references", table, "--metrics", "offline"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert re.search(r"CIDEr-D +0\.482  0\.450 to 0\.511", done.stdout)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert seconds < 30, f"{seconds:.1f} s of processor time, {time.monotonic() - started:.1f} s on the clock"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_spice_and_its_jars_alone(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = pd.read_csv(shared / "fixtures" / "published_scores_clotho_evaluation.csv").head(10)
    table = tmp_path / "table.csv"
    published.drop(columns=["spice", "spider"]).to_csv(table, index=False)
    arguments = ["--predictions", table, "--references", table, "--metrics", "spice", "spider"]
    cache = ["--spice_cache", tmp_path / "a cache"]
    assert run(*arguments, *cache, "--metrics_dir", shared / "metrics", "--output", tmp_path / "out") == 0
    found = pd.read_csv(tmp_path / "out" / "scores_per_clip.csv")
    assert found.spice.tolist() == published.spice.tolist()
    assert "SPIDEr" in capsys.readouterr().out
    assert run(*arguments) == 0
    assert "stanford-corenlp-3.6.0.jar and stanford-corenlp-3.6.0-models.jar not found" in capsys.readouterr().out
    late = [*arguments, "--spice_cache", tmp_path / "b", "--metrics_dir", shared / "metrics", "--spice_time_limit", 0.5]
    assert run(*late) == 1
    assert "did not end within" in capsys.readouterr().out

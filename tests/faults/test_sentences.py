"""Paths and JSON that nobody means: one sentence of readable length with the name, in every command."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import evaluate
import export
import inference
from configs.commands import _Sentences, tell_errors
from configs.json_files import parse_json
from data.tables import DatasetError
from evaluation.inputs import read_predictions, read_references

ROOT = Path(__file__).parents[2]
SOUND = str(ROOT / "assets" / "siren_then_waves.flac")
LONG = "n" * 5000
COMMANDS: list[tuple[Callable[[Sequence[str]], int], list[str]]] = [
    (inference.main, [SOUND, "--ckpt_path", LONG]),
    (inference.main, [SOUND, "--engine", "onnx", "--ckpt_path", LONG]),
    (inference.main, [SOUND, "--output", LONG]),
    (inference.main, [SOUND, "--format", "csv", "--output", f"{LONG}/{LONG}"]),
    (inference.main, [SOUND, "--merge_into", LONG]),
    (inference.main, ["--split", "validation", "--dataset_root", LONG]),
    (export.main, [LONG, "--output", "nowhere"]),
    (export.main, [str(ROOT / "checkpoints" / "sounds_small"), "--output", LONG]),
    (evaluate.main, ["--predictions", LONG, "--references", LONG]),
    (evaluate.main, ["--dataset_root", LONG, "--split", "validation", "--output", "nowhere"]),
    (evaluate.main, ["--predictions", f"{LONG}.jsonl", "--references", LONG]),
    (evaluate.main, ["--predictions", LONG, "--references", f"{LONG}.jsonl"]),
]


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_a_path_of_thousands_of_letters(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    main, arguments = COMMANDS[number]
    assert main(arguments) == 2
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    said = _Sentences("%(message)s").format(record)
    assert "n" * 60 + "..." in said and "[Errno" not in said and len(said) < 600 and "\n" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_names_that_exist_are_told_whole() -> None:
    name = "/".join(["d" * 255] * 5) + "/é\\x80.wav"
    record = logging.LogRecord("", logging.ERROR, "", 0, "%s", (name,), None)
    assert _Sentences("%(message)s").format(record) == name


@pytest.mark.parametrize("name", ["name.csv", b"name\xff.csv", Path("name.csv")])
def test_an_error_of_the_system_is_a_sentence(name: object) -> None:
    def run() -> int:
        raise PermissionError(13, "Permission denied", name)

    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.Logger("alone")  # pytest cannot send a captured name that is not UTF-8 between processes
    logger.addHandler(handler)
    assert tell_errors(run, logger) == 2
    [record] = records
    assert record.getMessage().startswith(f"{os.fsdecode(name)} cannot be used (Permission denied): check the path")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": {"b": [{"c": 0, "c": 0}]}}', '[{"a": 1, "\\u0061": 1}]'])
def test_a_repeated_key_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="the key '[ac]' is repeated"):
        parse_json(text)


def test_a_repeated_key_in_json_lines_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    good = json.dumps({"file": "b.wav", "caption": "x", "captions": ["x"]})
    path.write_text(f'{good}\n{{"file": "a.wav", "caption": "a dog", "captions": ["a dog"], "caption": "rain"}}\n')
    for read in (read_predictions, read_references):
        with pytest.raises(DatasetError, match=r"p\.jsonl .*line 2: the key 'caption' is repeated"):
            read(path)

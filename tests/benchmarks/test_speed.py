"""The table of times: parts that add up, and searches timed beside transformers' own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import speed_of_generation
from benchmarks.speed import main
from benchmarks.speed_of_parts import WAYS
from configs.loading import config_to_yaml, load_config
from configs.schema import DecoderConfig
from generation.engine import SearchSettings
from models.decoder.llama import LlamaDecoder

ROOT = Path(__file__).parents[2]


def small_config(folder: Path) -> Path:
    """The default experiment with a decoder of one layer and batches of two clips."""
    config = load_config(ROOT / "configs" / "cnn14_llama.yaml")
    decoder = replace(config.captioner.decoder, num_layers=1, num_heads=2, width=32)
    config = replace(
        config, captioner=replace(config.captioner, decoder=decoder), data=replace(config.data, batch_size=2)
    )
    path = folder / "small.yaml"
    path.write_text(config_to_yaml(config))
    return path


@pytest.mark.slow
def test_tables_of_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    shipped = str(ROOT / "checkpoints" / "sounds_small")
    shutil.copy(ROOT / "assets" / "siren.flac", clips / "one.flac")
    assert main([shipped, "--clips", str(clips)]) == 2 and "1 sound files: give two or more" in caplog.text
    for name in ("two", "three", "four"):
        shutil.copy(ROOT / "assets" / "siren.flac", clips / f"{name}.flac")
    output = tmp_path / "speed.md"
    asked = [shipped, shipped, "--clips", str(clips), "--num_clips", "3", "--seconds", "2", "--output", str(output)]
    assert (
        main(
            [
                *asked,
                "--parts",
                "batches",
                "start",
                "training",
                "--repeats",
                "1",
                "--config",
                str(small_config(tmp_path)),
            ]
        )
        == 0
    )
    lines = output.read_text().splitlines()
    header, _, first, second, _, below = lines[:6]
    assert "file to caption, ms" in header and below.startswith("2 clips of at most 2 s, ")
    for row in (first, second):
        name, load, read, encode, decode, total, ours, theirs, ratio = row.strip("| ").split(" | ")
        assert name == "`sounds_small`" and float(load) > 0
        assert float(total) == pytest.approx(float(read) + float(encode) + float(decode), rel=0.2, abs=3)
        assert float(ours) > 0 and float(theirs) > 0 and float(ratio) > 0
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:] if line.startswith("| ")]
    assert [row[1] for row in cells if row[0] == "`sounds_small`"] == ["1", "8", "32"] * 2
    assert "processor time / import torch" in output.read_text()
    starts = {row[0]: row[1:] for row in cells if row[0].startswith("`") and row[0] != "`sounds_small`"}
    assert list(starts) == [
        '`python -c "import torch"`',
        "`inference.py FILE`",
        "`evaluate.py --help`",
        "`train.py --help`",
        "`UI_Code.py`",
    ]
    assert all(float(value) > 0 for row in starts.values() for value in row)
    steps = {row[0]: [float(value) for value in row[1:]] for row in cells if row[0] in WAYS}
    assert list(steps) == list(WAYS) and all(min(values[:3]) > 0 for values in steps.values())


@pytest.mark.parametrize("arguments", [[], ["--parts", "batches"], ["--parts", "generation", "--tokens", "1"]])
def test_what_is_missing_is_named(arguments: list[str], caplog: pytest.LogCaptureFixture) -> None:
    assert main(arguments) == 2 and "found" in caplog.text


def small_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    size = DecoderConfig(num_layers=1, num_heads=2, width=32, tie_embeddings=False)
    monkeypatch.setattr(speed_of_generation, "SEED_SIZE", size)
    monkeypatch.setattr(speed_of_generation, "VOCAB_SIZE", 200)
    monkeypatch.setattr(speed_of_generation, "BATCH_SIZES", (1, 9))
    monkeypatch.setattr(speed_of_generation, "READ_BYTES", 2**20)


def test_generation_is_measured_beside_the_seeds_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_seed(monkeypatch)
    output = tmp_path / "speed.md"
    assert main(["--parts", "generation", "--tokens", "4", "--repeats", "2", "--output", str(output)]) == 0
    lines = output.read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:7]]
    ways = [("1", "seed's"), ("1", "greedy"), ("1", "4 beams"), ("9", "greedy"), ("9", "4 beams")]
    assert [tuple(row[:2]) for row in cells] == ways
    assert all(row[6] == "1.00" for row in cells if row[1] == "greedy")
    assert "GB/s" in lines[-1] and "4 tokens, medians of 2 repeats" in lines[-1]
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_seeds_way_finds_the_same_tokens() -> None:
    torch.manual_seed(0)
    size = DecoderConfig(num_layers=2, num_heads=2, width=32, tie_embeddings=False)
    decoder = LlamaDecoder(size, 200, speed_of_generation.TOKEN_IDS).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    prefix, lengths = torch.randn(2, 1, 32), torch.ones(2, dtype=torch.long)
    expected = decoder.generate(prefix, lengths, SearchSettings(max_new_tokens=9, min_new_tokens=9))[0]
    assert torch.equal(speed_of_generation.recompute(decoder, *decoder.begin(prefix, lengths), 9), expected)

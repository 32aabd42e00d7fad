"""inference.py --rerank clap: the candidate most alike to the sound comes first, with its similarity."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import inference
from captioning.rerank_clap import ClapReranker
from data.audio import load_audio
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours
from models.encoders.clap import ClapScorer
from tests.models.networks import make_clap


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    make_clap(folder)
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, seconds in (("a.wav", 1.0), ("b.wav", 2.5)):
        soundfile.write(folder / name, 0.1 * generator.normal(size=int(22050 * seconds)), 22050)
    soundfile.write(folder / "silent.wav", np.zeros(22050), 22050)
    return folder


def run(checkpoint: Path, *arguments: object) -> int:
    return inference.main(["--ckpt_path", str(checkpoint), "--device", "cpu", *map(str, arguments)])


@pytest.mark.parametrize("method", ["sample", "beam"])
def test_the_most_similar_candidate_comes_first(
    tiny_checkpoint: Path, clap: Path, sounds: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (sounds, "--format", "jsonl", "--method", method)
    assert run(tiny_checkpoint, *common, "--num_captions", 6) == 0
    candidates = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    rerank = ("--rerank", "clap", "--clap_weights", clap, "--candidates", 6)
    assert run(tiny_checkpoint, *common, *rerank, "--num_captions", 2) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    scorer = ClapScorer(str(clap))
    for before, after in zip(candidates[:2], found[:2], strict=True):
        texts = [entry["text"] for entry in before["captions"]]
        waveform = load_audio(after["file"], 48000)
        scores = dict(zip(texts, scorer.similarities(torch.from_numpy(waveform), texts), strict=True))
        best = sorted(texts, key=lambda text: -scores[text])[:2]
        assert [entry["text"] for entry in after["captions"]] == best and after["caption"] == best[0]
        assert [entry["similarity"] for entry in after["captions"]] == pytest.approx(
            [scores[t] for t in best], abs=1e-4
        )
        assert len(texts) > 2
    assert found[2]["captions"] == [{"text": "silence", "log_probability": 0.0}]


def test_the_similarity_is_printed_and_written(
    tiny_checkpoint: Path, clap: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rerank = ("--rerank", "clap", "--clap_weights", clap, "--method", "sample")
    assert run(tiny_checkpoint, sounds / "a.wav", *rerank) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{sounds}/a.wav: ") and "  (similarity " in line and "\n" not in line
    assert run(tiny_checkpoint, sounds, *rerank, "--format", "csv", "--output", tmp_path / "out.csv") == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert -1 <= float(rows[0]["similarity"]) <= 1 and rows[2]["similarity"] == ""
    assert f"similarity {float(rows[0]['similarity']):.3f}" in line
    assert run(tiny_checkpoint, sounds, "--format", "csv") == 0
    assert "similarity" not in capsys.readouterr().out.splitlines()[0]


def test_windows_of_a_timeline_are_compared_with_their_own_stretch(
    tiny_checkpoint: Path,
    clap: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.linspace(0, 0.7, 48000 * 7), 48000)  # the level tells the time
    heard: list[tuple[float, float]] = []

    def similarities(self: ClapScorer, waveform: torch.Tensor, captions: list[str]) -> list[float]:
        heard.append((float(waveform[0]) * 10, float(waveform[-1]) * 10))
        return list(np.linspace(0, 1, len(captions)))

    monkeypatch.setattr(ClapScorer, "similarities", similarities)
    rerank = ("--rerank", "clap", "--clap_weights", clap, "--candidates", 4, "--method", "sample")
    assert run(tiny_checkpoint, path, "--timeline", 3, "--format", "jsonl", *rerank) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    heard.sort()  # windows of one batch are captioned by their length
    assert heard[0][0] == pytest.approx(0, abs=0.01) and heard[-1][1] == pytest.approx(7, abs=0.01)
    assert all(
        later[0] == pytest.approx(earlier[1], abs=0.01) for earlier, later in zip(heard, heard[1:], strict=False)
    )
    assert len(heard) == 3 and len(found) in (1, 2, 3)  # neighbours that say the same are joined


def test_a_recording_that_went_away_keeps_its_order(clap: Path, sounds: Path, caplog: pytest.LogCaptureFixture) -> None:
    reranker = ClapReranker(ClapScorer(str(clap)), candidates=3, num_captions=1)
    captions = (ScoredCaption("a dog", -1.0), ScoredCaption("rain", -2.0), ScoredCaption("a siren wails", -3.0))
    records = [
        CaptionRecord("a", 0, 1, captions),
        CaptionRecord("gone", 0, 1, captions),
        CaptionRecord("silent", 0, 1, SILENCE),
    ]
    paths = {"a": sounds / "a.wav", "gone": sounds / "gone.wav", "silent": sounds / "silent.wav"}
    first, gone, silent = reranker.rerank(records, paths)
    assert len(first.captions) == len(first.similarities) == 1
    assert gone.captions == captions[:1] and gone.similarities == () and silent == records[2]
    assert len(reranker.errors) == 1 and "not re-ranked" in caplog.text
    shuffled = random.Random(0).sample(captions, 3)
    again = reranker.rerank([CaptionRecord("a", 0, 1, tuple(shuffled))], paths)[0]
    assert again.captions == first.captions
    assert again.similarities == pytest.approx(first.similarities, abs=1e-5)


def test_joined_windows_keep_the_similarity_of_the_caption_that_stays() -> None:
    first = CaptionRecord("a", 0, 1, (ScoredCaption("rain", -3.0),), similarities=(0.1,))
    second = CaptionRecord("a", 1, 2, (ScoredCaption("rain", -2.0),), similarities=(0.2,))
    [joined] = merge_neighbours([first, second])
    assert joined.captions == second.captions and joined.similarities == (0.2,) and joined.end_s == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "greedy"], "greedy decoding gives one"),
        (["--candidates", "1"], "is too small"),
        (["--candidates", "3", "--num_captions", "4"], "is too small"),
        (["--clap_weights", "nowhere/nothing"], "could be loaded from nowhere/nothing"),
    ],
)
def test_errors_are_reported(
    tiny_checkpoint: Path,
    clap: Path,
    sounds: Path,
    caplog: pytest.LogCaptureFixture,
    arguments: list[str],
    message: str,
) -> None:
    assert run(tiny_checkpoint, sounds, "--rerank", "clap", "--clap_weights", clap, *arguments) == 2
    assert message in caplog.text

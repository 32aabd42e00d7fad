"""The captioner as the app uses it gives inference.py's words, can be cancelled, and may die."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import inference
from captioning.files import DEFAULT_CHECKPOINT
from data.audio import load_audio
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption, merge_neighbours
from ui.engine.captioning import CaptioningEngine, sentence
from ui.engine.process import DIED, EngineProcess
from ui.engine.requests import Cancelled, CaptionerChoice, CaptionRequest, EngineError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def noise_file(tmp_path: Path) -> Path:
    """Ten seconds of noise that grows; the tiny captioner takes four at once."""
    time_s = np.arange(16000 * 10) / 16000
    soundfile.write(tmp_path / "noise.wav", 0.02 * time_s * np.random.default_rng(0).normal(size=len(time_s)), 16000)
    return tmp_path / "noise.wav"


def in_process(choice: CaptionerChoice, request: CaptionRequest) -> list[CaptionRecord]:
    engine = CaptioningEngine()
    engine.load(choice)
    *_, last = engine.steps(request)
    assert last.records is not None
    return last.records


def by_inference(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    assert inference.main([*map(str, arguments), "--device", "cpu", "--format", "jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def same(records: list[CaptionRecord], lines: list[dict[str, Any]]) -> None:
    assert [record.captions for record in records] == [
        tuple(
            (
                caption["text"],
                pytest.approx(caption["log_probability"], abs=1e-4),
                pytest.approx(caption.get("probability"), abs=1e-4),
            )
            for caption in line["captions"]
        )
        for line in lines
    ]
    assert [(record.start_s, record.end_s) for record in records] == [
        (pytest.approx(line["start_s"], abs=1e-3), pytest.approx(line["end_s"], abs=1e-3)) for line in lines
    ]


@pytest.mark.parametrize("method", ["beam", "greedy", "sample"])
def test_the_app_and_inference_give_the_same_words(
    tiny_checkpoint: Path, noise_file: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    number = 1 if method == "greedy" else 3
    decoding = {"method": method, "num_captions": number, "temperature": 0.8, "seed": 7}
    options = [f"--{name}={value}" for name, value in decoding.items()]
    request = CaptionRequest(noise_file, decoding, window_s=3.0)
    records = in_process(CaptionerChoice(str(tiny_checkpoint), "cpu"), request)
    same(records, by_inference(capsys, noise_file, "--ckpt_path", tiny_checkpoint, "--timeline", 3, *options))


@pytest.mark.parametrize("name", ["siren_then_waves", "waves_then_bell"])
def test_the_shipped_captioner_gives_the_same_words_in_both(capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = ROOT / "assets" / f"{name}.flac"
    records = in_process(CaptionerChoice(str(DEFAULT_CHECKPOINT), "cpu"), CaptionRequest(path, {"num_captions": 3}))
    same(records, by_inference(capsys, path, "--num_captions", 3))


@pytest.mark.parametrize(
    "decoding", [{"num_captions": 1}, {"num_captions": 7}, {"num_captions": 5, "method": "beam", "num_beams": 2}]
)
def test_as_many_different_captions_come_as_were_asked_for(decoding: dict[str, Any]) -> None:
    request = CaptionRequest(ROOT / "assets" / "siren.flac", decoding)
    [record] = in_process(CaptionerChoice(str(DEFAULT_CHECKPOINT), "cpu"), request)
    assert len({caption.text for caption in record.captions}) == len(record.captions) == decoding["num_captions"]


def test_a_part_of_a_recording_is_what_that_part_alone_is(tiny_checkpoint: Path, noise_file: Path) -> None:
    choice = CaptionerChoice(str(tiny_checkpoint), "cpu")
    [part] = in_process(choice, CaptionRequest(noise_file, start_s=6.0, end_s=9.0))
    waveform, rate = soundfile.read(noise_file)
    soundfile.write(noise_file.with_name("part.wav"), waveform[6 * rate : 9 * rate], rate)
    [alone] = in_process(choice, CaptionRequest(noise_file.with_name("part.wav")))
    assert (part.start_s, part.end_s) == (6.0, 9.0)
    assert part.caption == alone.caption
    windows = in_process(choice, CaptionRequest(noise_file, start_s=2.0, end_s=8.0, window_s=2.0))
    assert windows[0].start_s == 2.0 and windows[-1].end_s == 8.0


def test_progress_grows_and_the_last_step_has_the_captions(tiny_checkpoint: Path, noise_file: Path) -> None:
    engine = CaptioningEngine()
    engine.load(CaptionerChoice(str(tiny_checkpoint), "cpu"))
    steps = list(engine.steps(CaptionRequest(noise_file, window_s=1.0)))
    assert [step.share for step in steps] == pytest.approx([0.4, 0.8, 0.99, 1.0])
    assert all(step.records is None for step in steps[:-1])
    assert merge_neighbours(record for step in steps for record in step.new) == steps[-1].records


def test_below_the_threshold_nothing_is_invented(tiny_checkpoint: Path, noise_file: Path) -> None:
    choice = CaptionerChoice(str(tiny_checkpoint), "cpu")
    loudest = float(np.abs(load_audio(noise_file, 32000)).max())
    [record] = in_process(choice, CaptionRequest(noise_file, end_s=3.0, silence_peak=1.1 * loudest))
    assert record.captions == SILENCE
    windows = in_process(choice, CaptionRequest(noise_file, window_s=1.0, silence_peak=loudest / 3))
    assert windows[0].captions == SILENCE and windows[-1].captions != SILENCE


def test_troubles_are_sentences(tiny_checkpoint: Path, tmp_path: Path) -> None:
    engine = CaptioningEngine()
    with pytest.raises(EngineError, match="No captioner is loaded"):
        list(engine.steps(CaptionRequest(tmp_path / "x.wav")))
    with pytest.raises(ValueError, match="not a checkpoint folder"):
        engine.load(CaptionerChoice(str(tmp_path / "none")))
    engine.load(CaptionerChoice(str(tiny_checkpoint), "cpu"))
    soundfile.write(tmp_path / "short.wav", np.ones(800), 16000)
    with pytest.raises(EngineError, match="too short"):
        list(engine.steps(CaptionRequest(tmp_path / "short.wav")))
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match="text.wav"):
        list(engine.steps(CaptionRequest(tmp_path / "text.wav")))
    for error in (
        MemoryError(),
        torch.OutOfMemoryError("x"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ):
        assert "not enough memory" in sentence(error)
    assert sentence(KeyError("x")) == "The captioner failed (KeyError: 'x')."


def test_the_captioner_is_loaded_once(tiny_checkpoint: Path, noise_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.captioner import AudioCaptioner

    loads = []
    load = AudioCaptioner.from_pretrained
    monkeypatch.setattr(AudioCaptioner, "from_pretrained", lambda *arguments: loads.append(1) or load(*arguments))
    engine, choice = CaptioningEngine(), CaptionerChoice(str(tiny_checkpoint), "cpu")
    for _ in range(3):
        engine.load(choice)
        list(engine.steps(CaptionRequest(noise_file, end_s=2.0)))
    assert len(loads) == 1


@pytest.fixture
def process(tiny_checkpoint: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess()
    engine.load(CaptionerChoice(str(tiny_checkpoint), "cpu"))
    yield engine
    engine.close()


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """Twenty minutes, as fast to caption as silence is not."""
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=8000 * 1200), 8000)
    return tmp_path / "long.wav"


def start(action: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(action())
        except (EngineError, Cancelled) as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome


@pytest.mark.slow
def test_the_process_captions_cancels_and_listens_in_between(
    process: EngineProcess, tiny_checkpoint: Path, noise_file: Path, long_file: Path
) -> None:
    request = CaptionRequest(noise_file, {"num_captions": 2})
    here = in_process(CaptionerChoice(str(tiny_checkpoint), "cpu"), request)
    there = process.caption_file(request, lambda share, new: None)
    assert [record.caption for record in there] == [record.caption for record in here]
    # a window of the microphone is captioned while twenty minutes are under way
    shares: list[float] = []
    thread, outcome = start(
        lambda: process.caption_file(CaptionRequest(long_file, window_s=1.0), lambda share, new: shares.append(share))
    )
    while len(shares) < 2:
        time.sleep(0.01)
    before = len(shares)
    [caption] = process.caption_waveform(load_audio(noise_file, 32000, max_duration_s=4), {})
    assert isinstance(caption, ScoredCaption) and caption.log_probability < 0
    assert thread.is_alive() and len(shares) - before <= 3  # it waited for the steps under way, not for the recording
    process.cancel()
    thread.join(30)
    assert isinstance(outcome[0], Cancelled) and max(shares) < 0.5
    # and the next recording gets its own answer, not what was left of the other
    assert [record.caption for record in process.caption_file(request, lambda share, new: shares.append(share))] == [
        record.caption for record in here
    ]
    process.cancel()  # nothing is under way: nothing happens


@pytest.mark.slow
def test_a_dead_process_is_reported_and_started_again(
    process: EngineProcess, noise_file: Path, long_file: Path
) -> None:
    shares: list[float] = []
    thread, outcome = start(
        lambda: process.caption_file(CaptionRequest(long_file, window_s=1.0), lambda share, new: shares.append(share))
    )
    while not shares:
        time.sleep(0.01)
    assert process._process is not None and process._process.pid is not None
    os.kill(process._process.pid, signal.SIGKILL)  # as the kernel does when memory runs out
    thread.join(5)
    assert isinstance(outcome[0], EngineError) and str(outcome[0]) == DIED
    [record] = process.caption_file(CaptionRequest(noise_file), lambda share, new: None)
    assert record.captions  # of an untrained captioner, maybe without a word
    with pytest.raises(EngineError, match="too short"):
        process.caption_file(CaptionRequest(noise_file, end_s=0.05), lambda share, new: None)


@pytest.mark.slow
def test_closing_ends_a_waiting_call_at_once(process: EngineProcess, long_file: Path) -> None:
    shares: list[float] = []
    thread, outcome = start(
        lambda: process.caption_file(CaptionRequest(long_file, window_s=1.0), lambda share, new: shares.append(share))
    )
    while not shares:
        time.sleep(0.01)
    process.close()
    thread.join(30)
    assert isinstance(outcome[0], EngineError) and max(shares) < 0.5
    assert process._process is not None and not process._process.is_alive()
    with pytest.raises(EngineError, match="closed"):
        process.load(CaptionerChoice("anything"))

"""Recordings read ahead, and the options that choose a captioner."""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from captioning.options import (
    add_captioner_options,
    add_decoding_options,
    choose_decoding,
    choose_device,
    load_captioner,
)
from captioning.recordings import Reader, caption_clips
from configs.schema import DecodingConfig, TagDecodingConfig
from models.captioner import AudioCaptioner


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[str, Path, tuple[str, ...]]]:
    generator = np.random.default_rng(0)
    found = []
    for number in range(9):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * generator.normal(size=800 * (9 - number)), 8000)  # the first takes longest
        found.append((path.name, path, (f"reference {number}",)))
    (tmp_path / "4.wav").write_text("no sound")
    return found


@pytest.mark.parametrize("num_workers", [1, 3, 20])
def test_clips_come_in_order_whatever_the_workers(
    files: list[tuple[str, Path, tuple[str, ...]]], num_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader(16000, 30.0, num_workers=num_workers)
    clips = list(reader.clips(files))
    names = [clip.file for clip in clips]
    assert names == [f"{number}.wav" for number in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert [clip.number for clip in clips] == list(range(8)) and clips[4].references == ("reference 5",)
    assert [round(clip.end_s, 2) for clip in clips][:3] == [0.9, 0.8, 0.7]
    assert reader.num_bad == 1 and "4.wav" in caplog.text


def test_no_more_is_read_than_is_asked_for(files: list[tuple[str, Path, tuple[str, ...]]]) -> None:
    taken = []

    def watched():  # type: ignore[no-untyped-def]
        for file in files:
            taken.append(file[0])
            yield file

    clips = Reader(16000, 30.0, num_workers=2).clips(watched())
    next(clips)
    assert len(taken) <= 4
    clips.close()


def test_what_is_cut_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    soundfile.write(tmp_path / "long.wav", np.full(16000, 0.1), 8000)
    [clip] = Reader(8000, 1.0).clips([("long.wav", tmp_path / "long.wav", ())])
    assert len(clip.waveform) == 8000 and "its first 1 s are captioned" in caplog.text


def test_options(tiny_checkpoint: Path) -> None:
    parser = argparse.ArgumentParser()
    add_captioner_options(parser)
    add_decoding_options(parser)
    options = parser.parse_args(["--ckpt_path", str(tiny_checkpoint), "--device", "cpu", "--num_beams", "5"])
    captioner = load_captioner(options)
    own = captioner.config.decoding
    assert choose_decoding(own, options).num_beams == 5 and choose_decoding(own, options).max_tokens == own.max_tokens
    with pytest.raises(ValueError, match="--batch_size 0 .expected 1 or more"):
        load_captioner(parser.parse_args(["--batch_size", "0"]))
    given = [
        "--top_k",
        "5",
        "--word_bonus",
        "2",
        "--coverage_weight",
        "1",
        "--min_score",
        "0.1",
        "--consensus_weight",
        "3",
    ]
    chosen = choose_decoding(DecodingConfig(num_beams=4), parser.parse_args(given))
    assert chosen == DecodingConfig(num_beams=4, top_k=5, tags=TagDecodingConfig(2.0, 1.0, 0.1, 3.0))
    kept = choose_decoding(chosen, parser.parse_args(["--word_bonus", "0"]))
    assert kept == dataclasses.replace(chosen, tags=TagDecodingConfig(0.0, 1.0, 0.1, 3.0))
    with pytest.raises(ValueError, match="--temperature -1.0 .expected above 0"):
        choose_decoding(DecodingConfig(), parser.parse_args(["--temperature", "-1"]))
    with pytest.raises(ValueError, match="--style 'verse' .expected one of short, long"):
        choose_decoding(DecodingConfig(), parser.parse_args(["--style", "verse"]), ("short", "long"))
    assert choose_device("cpu").type == "cpu"


def test_progress_counts_every_clip_once(tiny_checkpoint: Path, tmp_path: Path) -> None:
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    named = []
    for number in range(7):
        path = tmp_path / f"{number}.wav"
        level = 0.0 if number == 3 else 0.1  # one is silent
        soundfile.write(path, level * np.random.default_rng(number).normal(size=16000), 16000)
        named.append((path.name, path, ()))
    counts: list[int] = []
    clips = Reader(captioner.sample_rate, 4.0).clips(named)
    records = list(caption_clips(captioner, clips, captioner.config.decoding, 2, advance=counts.append))
    assert [record.file for record in records] == [name for name, _, _ in named] and records[3].caption == "silence"
    assert sum(counts) == 7 and max(counts) == 2

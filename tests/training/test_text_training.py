"""Text-only training: one run with its tagger, resumed exactly, and its checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray

import train
from configs.errors import CheckpointError
from configs.schema import CaptionTable, DataConfig, SimulationConfig, TextsConfig
from data.tables import DatasetError
from models.captioner import AudioCaptioner
from tests.training.test_train import losses, options, run_folder
from training.datasets import load_clips
from training.tagger import TAGGER_FILE
from training.text_only.simulation import style_durations

TEXTS = [
    "A dog barks while rain falls",
    "A dog barks followed by a siren",
    "Rain falls on a roof",
    "A siren wails in the distance",
    "A man speaks and a dog barks",
    "Nothing that is known",
]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, make_tone_module: Callable[..., NDArray[np.float32]]) -> Path:
    root = tmp_path_factory.mktemp("collection")
    (root / "clips").mkdir()
    rows = []
    for number in range(9):
        label = ("dog", "rain", "siren")[number % 3]
        soundfile.write(
            root / "clips" / f"{number}.wav", make_tone_module(1.0, 16000, 300.0 + 400 * (number % 3)), 16000
        )
        rows.append([f"{number}.wav", number % 4 + 1, label])
    pd.DataFrame(rows, columns=["file_name", "fold", "category"]).to_csv(root / "clips.csv", index=False)
    pd.DataFrame({"caption": TEXTS}).to_csv(root / "texts.csv", index=False)
    return root


@pytest.fixture(scope="module")
def make_tone_module() -> Callable[..., NDArray[np.float32]]:
    def make(seconds: float, sample_rate: int, hertz: float) -> NDArray[np.float32]:
        time = np.arange(int(seconds * sample_rate)) / sample_rate
        return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)

    return make


def text_options(tone_dataset: Path, collection: Path, folder: Path, **changes: object) -> list[str]:
    settings = {
        "captioner__projection__kind": "none",
        "captioner__tags__num_tags": 3,
        "captioner__tags__summary": "true",
        "captioner__styles": "[short,long]",
        "data__texts__tables": f"[{{path: {collection / 'texts.csv'}, style: long, duration_s: [3.0, 5.0]}}]",
        "data__texts__labelled_dirs": f"[{collection}]",
        "data__texts__simulation__synthetic_steps": 2,
        "data__augment__mixup_alpha": 0.0,
        "training__tagger__num_steps": 2,
        "training__tagger__pool": 12,
        "training__tagger__batch_size": 4,
    }
    return options(tone_dataset, folder, **(settings | changes))


def test_one_run_tunes_the_tagger_and_trains_on_captions(tone_dataset: Path, collection: Path, tmp_path: Path) -> None:
    assert train.main(text_options(tone_dataset, collection, tmp_path)) == 0
    captioner = AudioCaptioner.from_pretrained(run_folder(tmp_path))
    assert captioner.metadata["data"]["texts"] == 5  # the last one names nothing
    assert captioner.metadata["data"]["source_clips"] == 7 + 12  # folds 1 to 3, and the recordings with captions
    assert captioner.metadata["encoder_included"]
    assert captioner.config.data.texts.simulation == SimulationConfig(synthetic_steps=2)
    sound = [np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.1]
    styled = captioner.style_number("long")
    assert styled == 1 and captioner.style_number("") == 0
    with pytest.raises(ValueError, match="found style 'other' .expected one of short, long"):
        captioner.style_number("other")
    assert captioner.caption(sound)[0][0].text
    embeddings = torch.randn(1, 6, captioner.encoder.embedding_dim)
    short, long = (captioner.prefix(embeddings, torch.tensor([6]), torch.tensor([style]))[0] for style in (0, 1))
    assert short.shape == (1, 1 + 4 + 3, 32)  # style, summary, tags, and no frames
    assert not torch.allclose(short[:, 0], long[:, 0]) and torch.equal(short[:, 1:], long[:, 1:])


def test_labelled_clips_are_trained_on_in_the_styles_asked_for(tone_dataset: Path, collection: Path) -> None:
    def captions_by_style(**changes: object) -> dict[str, list[str]]:
        texts = TextsConfig(**{"tables": (CaptionTable(str(collection / "texts.csv"), "short"),), **changes})  # type: ignore[arg-type]
        found: dict[str, list[str]] = {}
        for clip in load_clips(DataConfig(dataset_root=str(tone_dataset), texts=texts), seed=0).train:
            found.setdefault(clip.style, []).append(clip.captions[0])
        return found

    labelled = {"labelled_style": "plain", "labelled_mixtures": 2, "labelled_dirs": (str(collection),)}
    filled = captions_by_style(human_captions="all", human_caption_repeats=2, **labelled)
    none = captions_by_style(human_captions="none", **labelled)
    assert filled["plain"] == none["plain"] and none["short"] == captions_by_style()["short"]
    assert len(none["plain"]) == 7 + 2  # folds 1 to 3, and the mixtures
    assert len(filled["short"]) == len(none["short"]) + 2 * len(none["plain"])
    assert len(captions_by_style(human_captions="none", labelled_repeats=3, **labelled)["plain"]) == 3 * (7 + 2)
    with pytest.raises(DatasetError, match="data.texts.tables, which is empty"):
        captions_by_style(tables=(), composed=40)


def test_each_style_has_the_durations_of_its_table() -> None:
    texts = TextsConfig(tables=(CaptionTable("a.csv", "short", (3.0, 5.0)), CaptionTable("b.csv", "long")))
    assert style_durations(texts) == {"short": (3.0, 5.0), "long": (10.0, 10.0)}
    assert style_durations(TextsConfig()) == {}


def test_a_resumed_run_repeats_every_digit(tone_dataset: Path, collection: Path, tmp_path: Path) -> None:
    def run(name: str, **changes: object) -> list[str]:
        return text_options(tone_dataset, collection, tmp_path / name, training__schedule="constant", **changes)

    assert train.main(run("whole")) == 0
    assert train.main(run("parts", training__num_steps=3)) == 0
    assert train.main([*run("parts"), "--resume"]) == 0
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    (run_folder(tmp_path / "parts") / TAGGER_FILE).unlink()
    assert train.main([*run("parts", training__num_steps=9), "--resume"]) == 2


def test_a_run_that_starts_from_another_keeps_its_tagger(tone_dataset: Path, collection: Path, tmp_path: Path) -> None:
    assert train.main(text_options(tone_dataset, collection, tmp_path / "one")) == 0
    start = run_folder(tmp_path / "one") / "last"
    changes = {"training__start_from": str(start), "training__tagger__num_steps": 0, "captioner__tags__dropout": 0.2}
    assert train.main(text_options(tone_dataset, collection, tmp_path / "two", **changes)) == 0
    one, two = (AudioCaptioner.from_pretrained(run_folder(tmp_path / name) / "last") for name in ("one", "two"))
    assert two.metadata["encoder_included"]
    for before, after in zip(one.encoder.parameters(), two.encoder.parameters(), strict=True):
        assert torch.equal(before, after)


def test_a_decoder_without_audio_input_is_refused(tone_dataset: Path, collection: Path, tmp_path: Path) -> None:
    assert train.main(text_options(tone_dataset, collection, tmp_path, captioner__tags__num_tags=0)) == 2
    assert issubclass(CheckpointError, ValueError)

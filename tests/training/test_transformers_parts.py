"""train.py with HTS-AT, CLAP, another network of transformers, and a pretrained Llama."""

from pathlib import Path

import pandas as pd
import pytest
import torch

import train
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from tests.models.networks import make_audio_network, make_clap, make_llama
from tests.training.test_train import command_line, small_run

ROOT = Path(__file__).parents[2]


def arguments(config: str, dataset: Path, folder: Path, **changes: object) -> list[str]:
    """Command line of a few small steps of a shipped configuration; keys use __ for dots."""
    settings = small_run(dataset, folder) | {
        "training.num_steps": 4,
        "training.validate_every": 2,
        "training.warmup_steps": 1,
    }
    return command_line(ROOT / "configs" / config, settings, changes)


@pytest.mark.parametrize("name", ["htsat", "clap"])
def test_the_shipped_configurations_train_from_scratch(name: str, tone_dataset: Path, tmp_path: Path) -> None:
    scratch = {
        "captioner__encoder__weights": "null",
        "captioner__encoder__width": 0.05,
        "captioner__encoder__train_from_step": 0,
    }
    assert train.main(arguments(f"{name}_llama.yaml", tone_dataset, tmp_path, **scratch)) == 0
    folder = tmp_path / "run" / f"{name}_llama"
    losses = pd.read_csv(folder / "losses.csv")["loss"]
    assert len(losses) == 4 and losses.notna().all()
    captioner = AudioCaptioner.from_pretrained(folder)
    assert captioner.sample_rate == 48000 and read_metadata(folder / "last")["encoder_included"]


@pytest.mark.parametrize("name", ["htsat", "clap"])
def test_the_shipped_configurations_train_on_a_frozen_published_encoder(
    name: str, tone_dataset: Path, tmp_path: Path
) -> None:
    make_clap(tmp_path / "published")
    published = {"captioner__encoder__weights": tmp_path / "published"}
    assert train.main(arguments(f"{name}_llama.yaml", tone_dataset, tmp_path, **published)) == 0
    folder = tmp_path / "run" / f"{name}_llama"
    assert not read_metadata(folder / "last")["encoder_included"]
    assert list((tmp_path / "cache").rglob("*.npy"))
    resumed = arguments(f"{name}_llama.yaml", tone_dataset, tmp_path, training__num_steps=6, **published)
    assert train.main([*resumed, "--resume"]) == 0
    assert read_metadata(folder / "last")["step"] == 6


def test_tags_cannot_be_taught_without_a_tagger(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_clap(tmp_path / "published")
    changes = {"captioner__encoder__weights": tmp_path / "published", "training__tag_loss": 0.5}
    assert train.main(arguments("htsat_llama.yaml", tone_dataset, tmp_path, **changes)) == 2
    assert "htsat has no tagger: set training.tag_loss to 0" in caplog.text


def test_an_encoder_by_folder_and_a_pretrained_llama_with_lora(tone_dataset: Path, tmp_path: Path) -> None:
    make_audio_network("whisper", tmp_path / "whisper tiny")
    make_llama(tmp_path / "llama")
    parts = {
        "captioner__encoder__name": f"hf:{tmp_path}/whisper tiny",
        "captioner__encoder__weights": "null",
        "captioner__encoder__sample_rate": 16000,
        "captioner__projection__pool": 10,
        "captioner__decoder__pretrained": tmp_path / "llama",
        "captioner__decoder__lora_rank": 2,
        "captioner__decoder__dtype": "bfloat16",
        "captioner__decoder__gradient_checkpointing": "true",
        "captioner__tokenizer__kind": "decoder",
    }
    assert train.main(arguments("htsat_llama.yaml", tone_dataset, tmp_path, **parts)) == 0
    folder = tmp_path / "run" / "whisper_tiny_llama"
    captioner = AudioCaptioner.from_pretrained(folder / "last")
    dtypes = {p.dtype for name, p in captioner.decoder.named_parameters() if "lora_" not in name}
    assert dtypes == {torch.bfloat16} and captioner.token_ids["eos"] == 2
    learnt = [p for name, p in captioner.named_parameters() if "lora_B" in name]
    assert learnt and all(p.abs().sum() > 0 for p in learnt)


def test_a_frozen_llama_stays_and_the_projection_learns(tone_dataset: Path, tmp_path: Path) -> None:
    make_clap(tmp_path / "clap")
    llama = make_llama(tmp_path / "llama")
    parts = {
        "captioner__encoder__weights": tmp_path / "clap",
        "captioner__decoder__pretrained": tmp_path / "llama",
        "captioner__decoder__frozen": "true",
        "captioner__tokenizer__kind": "decoder",
        "captioner__projection__dropout": 0,
        "data__augment__mixup_alpha": 0,
        "training__ema_decay": 0,
        "training__label_smoothing": 0,
        "training__learning_rate": 0.02,
        "training__weight_decay": 0,
        "training__validate_every": 30,
    }
    assert train.main(arguments("clap_llama.yaml", tone_dataset, tmp_path, training__num_steps=30, **parts)) == 0
    folder = tmp_path / "run" / "clap_llama"
    losses = pd.read_csv(folder / "losses.csv")["loss"]
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean()
    captioner = AudioCaptioner.from_pretrained(folder / "last")
    assert all(torch.equal(a, b) for a, b in zip(captioner.decoder.llama.parameters(), llama.parameters(), strict=True))

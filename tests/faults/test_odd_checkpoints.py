"""Checkpoints with right checksums and settings, weights or paths that nobody trained: refused by name when they are loaded."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from configs.checkpoint_files import CONFIG_FILE, METADATA_FILE, MODEL_FILE, sha256_of
from configs.errors import CheckpointError
from configs.loading import ConfigError, load_config
from models.captioner import AudioCaptioner
from models.checkpoints.onnx_files import export
from runtime.captioner import OnnxCaptioner
from runtime.folder import NETWORKS


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "a checkpoint é"))


def vouch(folder: Path) -> None:
    path = folder / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["files"] = {name: sha256_of(folder / name) for name in metadata["files"]}
    path.write_text(json.dumps(metadata))


def refused(path: Path, named: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as told:
        AudioCaptioner.from_pretrained(path)
    assert str(named) in str(told.value) and "\n" not in str(told.value)


SETTINGS: list[tuple[str, Any]] = [
    ("captioner.decoder.num_layers", 0), ("captioner.decoder.num_heads", 0), ("captioner.decoder.num_heads", 7),
    ("captioner.decoder.width", -1), ("captioner.decoder.dropout", 5.0), ("captioner.encoder.width", 1e8),
    ("captioner.encoder.width", float("nan")), ("captioner.encoder.max_duration_s", 0.0),
    ("captioner.encoder.max_duration_s", float("nan")), ("captioner.encoder.max_duration_s", 1e12),
    ("captioner.encoder.sample_rate", 0), ("captioner.styles", ["a", "a"]), ("decoding.num_beams", 0),
    ("decoding.num_beams", 10**9), ("decoding.max_tokens", 0), ("decoding.temperature", 0.0), ("decoding.style", "none"),
    ("decoding.length_penalty", float("inf")), ("decoding.tags.min_score", 2.0),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), SETTINGS)
def test_settings_out_of_range(folder: Path, key: str, value: Any) -> None:
    content = yaml.safe_load((folder / CONFIG_FILE).read_text())
    *sections, name = key.split(".")
    section = content
    for part in sections:
        section = section[part]
    section[name] = value
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(content))
    vouch(folder)
    refused(folder, folder / CONFIG_FILE, key.replace("num_heads", "") if value == 7 else key)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_part_of_a_configuration(folder: Path, share: float) -> None:
    """Its other settings would be today's defaults, with other captions."""
    text = (folder / CONFIG_FILE).read_text()
    (folder / CONFIG_FILE).write_text(text[: text.index("\n", int(len(text) * share)) + 1])
    vouch(folder)
    refused(folder, folder / CONFIG_FILE, "has no section|cannot be read|invalid")


@pytest.mark.parametrize("name", ["decoding", "captioner"])
def test_a_repeated_section(folder: Path, name: str) -> None:
    path = folder / CONFIG_FILE
    path.write_text(f"{path.read_text()}{name}: {{}}\n")
    vouch(folder)
    refused(folder, path, f"has the key '{name}' again in line")


def test_a_repeated_setting_of_a_training(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("training:\n  num_steps: 5\n  seed: 1\n  num_steps: 7\n")
    with pytest.raises(ConfigError, match=r"run\.yaml has the key 'num_steps' again in line 4: keep one"):
        load_config(path)


@pytest.mark.parametrize(
    ("entry", "match"),
    [({"format_version": 0}, "from 1"), ({"format_version": -5}, "from 1"), ({"encoder_included": "yes"}, "true")],
)
def test_metadata_out_of_range(folder: Path, entry: dict[str, Any], match: str) -> None:
    path = folder / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    refused(folder, path, match)


def changed(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(folder / MODEL_FILE)
    save_file({name: change(name, tensor) for name, tensor in tensors.items()}, folder / MODEL_FILE)
    vouch(folder)


def test_a_negative_variance(folder: Path) -> None:
    changed(folder, lambda name, tensor: -tensor - 1 if name.endswith("running_var") else tensor)
    refused(folder, folder / MODEL_FILE, "negative variance in encoder.*running_var")


def test_weights_whose_embeddings_overflow(folder: Path) -> None:
    """They are finite, so that only a recording shows it."""
    changed(
        folder,
        lambda name, tensor: tensor * 1e15 if name.startswith("encoder") and tensor.is_floating_point() else tensor,
    )
    captioner = AudioCaptioner.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="embeddings are not finite, because its weights are damaged"):
        captioner.caption([np.random.default_rng(0).normal(size=32000).astype(np.float32)])


@pytest.mark.parametrize("name", [MODEL_FILE, CONFIG_FILE, METADATA_FILE])
def test_one_file_of_a_checkpoint_names_the_folder(folder: Path, name: str) -> None:
    refused(folder / name, folder, "is one file of a checkpoint: give its folder")


def test_an_archive_of_a_checkpoint_is_to_be_unpacked(folder: Path) -> None:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"{folder.name}/{file.name}")
    refused(path, path, "is an archive of a checkpoint: unpack it")


@pytest.mark.parametrize("name", ["\n", "a\0b", "a\tb"])
def test_a_path_with_control_characters_is_told_on_one_line(name: str) -> None:
    with pytest.raises(CheckpointError) as told:
        AudioCaptioner.from_pretrained(name)
    assert repr(name) in str(told.value) and str(told.value).isprintable()


# Exported captioners


@pytest.fixture(scope="module")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "a.onnx"
    export(AudioCaptioner.from_pretrained(tiny_checkpoint), path)
    return path


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("other", NETWORKS)
def test_networks_in_each_others_place(exported: Path, tmp_path: Path, network: str, other: str) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "a.onnx"))
    shutil.copy(exported / other, folder / network)
    vouch(folder)
    if network == other:
        OnnxCaptioner(folder)
        return
    with pytest.raises(CheckpointError, match=f"{network} is another network: it has the inputs .*, expected "):
        OnnxCaptioner(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", 0), ("sample_rate", 44100), ("n_fft", 0), ("n_fft", 1e12), ("hop", 0), ("hop", 10**9), ("window", -1),
        ("window", 800.5), ("pre_emphasis", 1e308), ("window_s", 0), ("window_s", float("nan")), ("min_samples", -1),
    ],
)  # fmt: skip
def test_a_front_end_out_of_range(exported: Path, tmp_path: Path, name: str, value: float) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "a.onnx"))
    metadata = json.loads((folder / METADATA_FILE).read_text())
    metadata["front_end"][name] = value
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    with pytest.raises(CheckpointError, match=r"metadata\.json has a front_end that does not fit"):
        OnnxCaptioner(folder)

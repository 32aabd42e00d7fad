"""Checkpoints whose files someone damaged, swapped or made up, their checksums put right: refused by name, nothing run."""

import json
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import inference
from benchmarks.encoders import training_state
from configs.checkpoint_files import (
    ARCHITECTURE_FILE,
    CONFIG_FILE,
    ENCODER_FILE,
    METADATA_FILE,
    MODEL_FILE,
    STORE_FILE,
    TOKENIZER_FILE,
    TRAINING_STATE_FILE,
    sha256_of,
)
from configs.errors import CheckpointError
from generation.retrieval import CaptionStore
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata, read_training_state
from training.run_folder import RunFolder

DEEP = "[" * 100_000
JSON_FILES = (METADATA_FILE, TOKENIZER_FILE, ARCHITECTURE_FILE, ENCODER_FILE)
Change = Callable[[Path], None]


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "run" / "step=0"))


def vouch(folder: Path, *leave_out: str) -> None:
    """List every file in metadata.json with its checksum, as whoever made the change up would."""
    path = folder / METADATA_FILE
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return  # the metadata itself is what was changed
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        return
    others = (file for file in folder.iterdir() if file.name not in (METADATA_FILE, *leave_out))
    content["files"] = {file.name: sha256_of(file) for file in others}
    path.write_text(json.dumps(content))


def refused(folder: Path, name: str) -> str:
    """The one sentence that loading the checkpoint ends with; it has the file's name."""
    with pytest.raises(CheckpointError) as told:
        AudioCaptioner.from_pretrained(folder)
    message = str(told.value)
    assert str(folder / name) in message and "\n" not in message and "Traceback" not in message
    return message


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize(
    "text",
    [DEEP, '{"a":' * 100_000, "", "{", "no JSON at all", "[1, 2]", "null", '"text"', "\x00\x01\x02", "1" * 5000],
    ids=["deep list", "deep object", "empty", "cut", "garbage", "list", "null", "string", "control", "digits"],
)
def test_json_that_is_none_or_not_what_it_should_be(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    vouch(folder)
    refused(folder, name)


@pytest.mark.parametrize("name", [*JSON_FILES, CONFIG_FILE])
def test_bytes_that_are_no_text(folder: Path, name: str) -> None:
    (folder / name).write_bytes(np.random.default_rng(0).bytes(4000))
    vouch(folder)
    refused(folder, name)


@pytest.mark.parametrize("name", [ARCHITECTURE_FILE, ENCODER_FILE])
@pytest.mark.parametrize("content", [{"a": 1}, {"model": 5, "features": []}, {"model": {"model_type": "no such"}}])
def test_settings_of_the_wrong_kind(folder: Path, name: str, content: Any) -> None:
    config = folder / CONFIG_FILE
    if name == ENCODER_FILE:  # read for encoders of transformers
        text = config.read_text().replace("name: mobilenet", "name: hf:somewhere")
    else:
        text = config.read_text().replace("pretrained: null", "pretrained: somewhere")
    config.write_text(text)
    (folder / name).write_text(json.dumps(content))
    vouch(folder)
    with pytest.raises(CheckpointError) as told:
        AudioCaptioner.from_pretrained(folder)
    assert str(folder) in str(told.value) and "\n" not in str(told.value)


def test_only_feature_extractors_are_reached_by_name() -> None:
    from models.encoders.transformers_audio import _extractor_of

    for name in ("AutoModel", "pipeline", "os", "Trainer"):
        with pytest.raises(CheckpointError, match=f"no feature extractor {name}"):
            _extractor_of({"feature_extractor_type": name})


LAUGHS = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        LAUGHS,
        "!!python/object/apply:os.system ['touch ran']",
        "decoding: 5",
        "a: 2026-99-99",
        "- 1",
        "{a: b",
    ],
    ids=["deep", "aliases", "python", "no section", "no date", "list", "cut"],
)
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    (folder / CONFIG_FILE).write_text(text)
    vouch(folder)
    refused(folder, CONFIG_FILE)


@pytest.mark.parametrize("setting", ["num_layers: 2", "width: 32"])
def test_a_configuration_of_a_network_that_no_memory_holds(folder: Path, setting: str) -> None:
    path = folder / CONFIG_FILE
    assert f"    {setting}\n" in path.read_text()
    path.write_text(path.read_text().replace(f"    {setting}\n", f"    {setting.split(':')[0]}: 200000\n"))
    vouch(folder)
    assert "parameters" in refused(folder, CONFIG_FILE)


def test_settings_of_a_network_that_no_memory_holds(folder: Path) -> None:
    (folder / ARCHITECTURE_FILE).write_text("{}")  # transformers' own sizes: seven thousand million parameters
    vouch(folder)
    assert "parameters" in refused(folder, ARCHITECTURE_FILE)
    (folder / ARCHITECTURE_FILE).unlink()
    huge = {"model_type": "wav2vec2", "hidden_size": 120_000, "num_hidden_layers": 2_000}
    (folder / ENCODER_FILE).write_text(json.dumps({"model": huge, "features": {}}))
    vouch(folder)
    assert "parameters" in refused(folder, ENCODER_FILE)


def test_a_renamed_setting_beside_nonsense(folder: Path) -> None:
    (folder / CONFIG_FILE).write_text("decoding:\n  coverage_weight: 1.0\n  tags: 5\n")
    vouch(folder)
    refused(folder, CONFIG_FILE)


def test_a_tokenizer_with_a_token_beyond_any_vocabulary(folder: Path) -> None:
    path = folder / TOKENIZER_FILE
    content = json.loads(path.read_text())
    content["model"]["vocab"]["far"] = 4_000_000_000
    path.write_text(json.dumps(content))
    vouch(folder)
    assert "4000000000" in refused(folder, TOKENIZER_FILE)


@pytest.mark.parametrize("files", [None, [], "all", 5, {}])
def test_metadata_without_checksums(folder: Path, files: Any) -> None:
    path = folder / METADATA_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    refused(folder, METADATA_FILE)


@pytest.mark.parametrize("number", ["null", "1e999", "NaN", '"1"', "[]", "true"])
def test_metadata_with_an_odd_format(folder: Path, number: str) -> None:
    path = folder / METADATA_FILE
    path.write_text(path.read_text().replace('"format_version": 1', f'"format_version": {number}'))
    refused(folder, METADATA_FILE)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "", "sub/file"])
def test_metadata_that_lists_files_elsewhere(folder: Path, name: str) -> None:
    path = folder / METADATA_FILE
    content = json.loads(path.read_text())
    content["files"][name] = "0" * 64
    path.write_text(json.dumps(content))
    refused(folder, METADATA_FILE)


@pytest.mark.parametrize("name", [MODEL_FILE, CONFIG_FILE, TOKENIZER_FILE, ARCHITECTURE_FILE, ENCODER_FILE, STORE_FILE])
def test_a_file_that_the_list_leaves_out_is_not_taken_unchecked(folder: Path, name: str) -> None:
    if not (folder / name).exists():
        (folder / name).write_text("{}")
    vouch(folder, name)
    assert name in refused(folder, METADATA_FILE if name == MODEL_FILE else name)


def test_a_leftover_training_state_that_nobody_lists_is_no_fault(folder: Path) -> None:
    (folder / TRAINING_STATE_FILE).write_bytes(b"what a crash left")  # see RunFolder._drop_training_state
    AudioCaptioner.from_pretrained(folder)


# -- the caption store ---------------------------------------------------------------------------------------------------


def store() -> dict[str, Tensor]:
    captions = ["a dog barks", "rain falls on a tin roof", "ein Bär läuft"]
    tensors = CaptionStore.build(captions, [[74], [283, 288], [80]], [0, 0, 0]).tensors
    return {name: torch.from_numpy(values) for name, values in tensors.items()}


def changed(name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    tensors = store()
    return tensors | {name: change(tensors[name]).contiguous()}


STORES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "nothing": dict,
    "one tensor less": lambda: {name: tensor for name, tensor in store().items() if name != "styles"},
    "one tensor more": lambda: store() | {"more": torch.zeros(1)},
    "another type": lambda: changed("text", lambda text: text.to(torch.bfloat16)),
    "unsigned ends": lambda: changed("text_ends", lambda ends: ends.to(torch.uint64)),
    "float classes": lambda: changed("classes", lambda classes: classes.float()),
    "no dimension": lambda: changed("text_ends", lambda ends: ends[0].clone()),
    "two dimensions": lambda: changed("styles", lambda styles: styles[:, None]),
    "empty": lambda: {name: tensor[:0] for name, tensor in store().items()},
    "ends that fall": lambda: changed("text_ends", lambda ends: ends.flip(0)),
    "ends beyond": lambda: changed("class_ends", lambda ends: ends + 5),
    "negative ends": lambda: changed("class_ends", lambda ends: -ends),
    "a class below 0": lambda: changed("classes", lambda classes: classes - 100),
    "a class beyond all": lambda: changed("classes", lambda classes: classes + 500),
    "no UTF-8": lambda: changed("text", lambda text: text | 0x80),
    "cut in a character": lambda: changed("text_ends", lambda ends: torch.tensor([11, 41, int(ends[-1])])),
    "too few frequencies": lambda: changed("document_frequencies", lambda counts: counts[:100].clone()),
    "negative frequencies": lambda: changed("document_frequencies", lambda counts: counts - 5),
    "frequencies beyond": lambda: changed("document_frequencies", lambda counts: counts + 1000),
}


def test_a_store_as_it_should_be(folder: Path) -> None:
    save_file(store(), folder / STORE_FILE)
    vouch(folder)
    assert AudioCaptioner.from_pretrained(folder).search.store is not None


@pytest.mark.parametrize("case", STORES)
def test_a_made_up_caption_store(folder: Path, case: str) -> None:
    save_file(STORES[case](), folder / STORE_FILE)
    vouch(folder)
    refused(folder, STORE_FILE)


@pytest.mark.parametrize("name", [STORE_FILE, MODEL_FILE])
@pytest.mark.parametrize("damage", ["garbage", "empty", "cut", "huge header", "flip"])
def test_damaged_tensors(folder: Path, name: str, damage: str) -> None:
    if name == STORE_FILE:
        save_file(store(), folder / name)
        vouch(folder)
    content = bytearray((folder / name).read_bytes())
    if damage == "flip":  # its checksum tells
        content[-1] ^= 1
        (folder / name).write_bytes(content)
    else:
        garbage = np.random.default_rng(0).bytes(5000)
        made = {"garbage": garbage, "empty": b"", "cut": content[:-1], "huge header": b"\xff" * 7 + b"\x7f" + garbage}
        (folder / name).write_bytes(made[damage])
        vouch(folder)
    refused(folder, name)


def test_weights_of_another_kind(folder: Path) -> None:
    tensors = load_file(folder / MODEL_FILE)
    name = next(name for name in tensors if name.startswith("decoder"))
    save_file(tensors | {name: tensors[name].to(torch.int32)}, folder / MODEL_FILE)
    vouch(folder)
    with pytest.raises(CheckpointError, match=name):
        AudioCaptioner.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_weights_that_are_not_finite(folder: Path, part: str, value: float) -> None:
    tensors = load_file(folder / MODEL_FILE)
    name = next(name for name in tensors if name.startswith(part) and tensors[name].is_floating_point())
    tensors[name].view(-1)[-1] = value
    save_file(tensors, folder / MODEL_FILE)
    vouch(folder)
    assert name in refused(folder, MODEL_FILE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_weights_of_another_precision_are_read(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / MODEL_FILE)
    changed = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    save_file(changed, folder / MODEL_FILE)
    vouch(folder)
    assert AudioCaptioner.from_pretrained(folder).decoder is not None


# -- training_state.pt ---------------------------------------------------------------------------------------------------


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def zipped_bomb(path: Path) -> None:
    torch.save({"step": 1, "weights": Bomb(path.with_name("ran"))}, path)


def raw_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.with_name("ran"))))


def old_bomb(path: Path) -> None:
    torch.save({"weights": Bomb(path.with_name("ran"))}, path, _use_new_zipfile_serialization=False)


def sparse(path: Path) -> None:
    torch.save({"step": 1, "weights": {"w": [torch.eye(3).to_sparse()]}}, path)


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(3000))


def cut(path: Path) -> None:
    torch.save({"step": 1, "weights": torch.zeros(5000)}, path)
    path.write_bytes(path.read_bytes()[:-200])


def no_table(path: Path) -> None:
    torch.save([1, 2, 3], path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("make", [zipped_bomb, raw_bomb, old_bomb, sparse, garbage, cut, no_table, empty])
def test_a_training_state_that_is_none(folder: Path, make: Change, caplog: pytest.LogCaptureFixture) -> None:
    state = folder / TRAINING_STATE_FILE
    make(state)
    vouch(folder)
    for read in (read_training_state, read_metadata, training_state, AudioCaptioner.from_pretrained):
        with pytest.raises(CheckpointError) as told:
            read(folder)
        assert str(state) in str(told.value) and "\n" not in str(told.value)
    with caplog.at_level(logging.WARNING):  # as train.py --resume looks for a checkpoint
        assert RunFolder.reader(folder.parent).newest_state(lambda path, state: None) is None
    assert str(state) in caplog.text
    assert not (folder / "ran").exists()


def test_a_whole_training_state_is_read(folder: Path) -> None:
    content = {"step": 3, "weights": {"w": torch.arange(4.0)}, "loss": [1.0, None, "text"]}
    torch.save(content, folder / TRAINING_STATE_FILE)
    vouch(folder)
    assert read_training_state(folder)["step"] == 3
    found = RunFolder.reader(folder.parent).newest_state(lambda path, state: None)
    assert found is not None and torch.equal(found[1]["weights"]["w"], torch.arange(4.0))


@pytest.mark.parametrize("name", [METADATA_FILE, TOKENIZER_FILE])
def test_the_command_says_it_in_a_line(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], shared_sound: Path
) -> None:
    (folder / name).write_text(DEEP)
    vouch(folder)
    assert inference.main([str(shared_sound), "--ckpt_path", str(folder)]) == 2
    assert str(folder / name) in caplog.text
    assert "Traceback" not in capfd.readouterr().err


@pytest.fixture
def shared_sound(tone_dataset: Path) -> Path:
    return tone_dataset / "validation" / "validation0.wav"

"""Vocabularies that do not belong to the weights, with right checksums: refused, since captions would have wrong words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from configs.checkpoint_files import METADATA_FILE, MODEL_FILE, TOKENIZER_FILE, read_tokenizer, sha256_of
from configs.errors import CheckpointError
from data.captions import train_tokenizer
from models.captioner import AudioCaptioner
from tests.conftest import CAPTIONS

ROOT = Path(__file__).parents[2]
Content = dict[str, Any]


def swap(content: Content, first: str, second: str) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]


def swap_words(content: Content) -> None:
    swap(content, *[token for token in content["model"]["vocab"] if token.startswith("▁")][-2:])


def swap_letters(content: Content) -> None:
    swap(content, "a", "b")


def swap_a_letter_and_a_word(content: Content) -> None:
    swap(content, "a", list(content["model"]["vocab"])[-1])


def swap_marks(content: Content) -> None:
    swap(content, "[BOS]", "[EOS]")
    content["added_tokens"][1]["id"], content["added_tokens"][2]["id"] = 2, 1


def swap_marks_around_a_caption(content: Content) -> None:
    content["post_processor"]["single"].reverse()


def shift(content: Content) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary |= {token: number + 1 if number >= 4 else number for token, number in vocabulary.items()}


def reverse_merges(content: Content) -> None:
    content["model"]["merges"][-2:] = content["model"]["merges"][:-3:-1]


def drop_a_token(content: Content) -> None:
    content["model"]["merges"].pop()
    vocabulary = content["model"]["vocab"]
    del vocabulary[max(vocabulary, key=vocabulary.__getitem__)]


SWAPS = [
    swap_words, swap_letters, swap_a_letter_and_a_word, swap_marks, swap_marks_around_a_caption, shift, reverse_merges,
]  # fmt: skip


def vouch(folder: Path) -> None:
    path = folder / METADATA_FILE
    metadata = json.loads(path.read_text())
    metadata["files"] = {name: sha256_of(folder / name) for name in metadata["files"]}
    path.write_text(json.dumps(metadata))


def refused(folder: Path) -> None:
    with pytest.raises(CheckpointError) as told:
        AudioCaptioner.from_pretrained(folder)
    assert str(folder / TOKENIZER_FILE) in str(told.value) and "\n" not in str(told.value)


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "step=0"))


@pytest.mark.parametrize("with_mark", [True, False])
@pytest.mark.parametrize("change", [*SWAPS, drop_a_token])
def test_swapped_ids(folder: Path, change: Callable[[Content], None], with_mark: bool) -> None:
    if not with_mark:  # as older checkpoints
        save_file(load_file(folder / MODEL_FILE), folder / MODEL_FILE)
        vouch(folder)
        AudioCaptioner.from_pretrained(folder)
    content = json.loads((folder / TOKENIZER_FILE).read_text())
    change(content)
    (folder / TOKENIZER_FILE).write_text(json.dumps(content))
    vouch(folder)
    if change is drop_a_token and not with_mark:  # consistent in itself; the weights have another size
        with pytest.raises(CheckpointError):
            AudioCaptioner.from_pretrained(folder)
        return
    refused(folder)


@pytest.mark.parametrize("change", SWAPS)
def test_without_torch_too(tmp_path: Path, change: Callable[[Content], None]) -> None:
    """Shipped checkpoints and exported ones share this reader."""
    content = json.loads((ROOT / "checkpoints" / "sounds_small" / TOKENIZER_FILE).read_text())
    change(content)
    (tmp_path / TOKENIZER_FILE).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="tokenizer.json is damaged"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["any_sound", "sounds_small"])
def test_shipped_vocabularies_are_in_order(name: str) -> None:
    assert read_tokenizer(ROOT / "checkpoints" / name).get_vocab_size() > 1000


def test_the_vocabulary_of_another_run(folder: Path) -> None:
    """It has as many tokens and is in order, so that only the mark in the weights tells."""
    size = read_tokenizer(folder).get_vocab_size()
    other = train_tokenizer([caption.replace("s", "z") for caption in CAPTIONS] * 3, size)
    assert other.get_vocab_size() == size
    (folder / TOKENIZER_FILE).write_text(other.to_str())
    vouch(folder)
    refused(folder)


def test_a_tokenizer_of_other_captions_is_in_order(tmp_path: Path) -> None:
    """Repeated results of merges, and letters that sort beyond the basic plane."""
    captions = ["abab aba ba", "aab abaab 𝛼β ée", "ﬁre fire", "中文 中文", "😀 dog 😀", "don't"] * 4
    for size in (20, 40, 90):
        train_tokenizer(captions, size).save(str(tmp_path / TOKENIZER_FILE))
        assert read_tokenizer(tmp_path).get_vocab_size() > 4

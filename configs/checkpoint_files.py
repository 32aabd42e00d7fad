"""Checkpoint folders as they are read without torch: names of files, metadata with checksums, tokenizer.

`models/checkpoints/folder.py` writes these folders and reads tensors; `export.py` writes folders with networks of ONNX instead,
which `runtime/` reads.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from configs.errors import CheckpointError
from configs.json_files import read_json_object
from configs.special_tokens import TRAINED_MARKS

FORMAT_VERSION = 1
MODEL_FILE = "model.safetensors"
STORE_FILE = "captions.safetensors"
CONFIG_FILE = "config.yaml"
TOKENIZER_FILE = "tokenizer.json"
ARCHITECTURE_FILE = "llama.json"  # only for pretrained decoders; config.yaml describes others
ENCODER_FILE = "encoder.json"  # only for transformers encoders whose weights the checkpoint stores
METADATA_FILE = "metadata.json"
TRAINING_STATE_FILE = "training_state.pt"
# Networks of an exported captioner.
ENCODER_NETWORK = "encoder.onnx"
PREFIX_NETWORK = "prefix.onnx"
DECODER_NETWORK = "decoder.onnx"
FRONT_END_KEY = "front_end"  # in metadata.json: settings of `runtime.front_end.FrontEnd`
# Files from which a captioner is loaded; metadata.json must list them with their checksums.
CHECKED_FILES = (MODEL_FILE, STORE_FILE, CONFIG_FILE, TOKENIZER_FILE, ARCHITECTURE_FILE, ENCODER_FILE)
LARGEST_TOKEN_ID = 2**22  # limits the size of tables by token; the largest vocabularies have about 2**18 tokens


def sha256_of(path: Path) -> str:
    """Checksum of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def metadata_text(content: Mapping[str, Any]) -> str:
    """Text of `metadata.json`."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_metadata(folder: Path) -> dict[str, Any]:
    """Read `metadata.json`.

    Raises:
        CheckpointError: it is missing or damaged, or the format is newer than this version supports.
    """
    path = folder / METADATA_FILE
    try:
        metadata = read_json_object(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a checkpoint: {METADATA_FILE} is missing; give a folder written by train.py."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy the checkpoint again.") from error
    files, found_version = metadata.get("files"), metadata.get("format_version")
    if not isinstance(files, dict) or type(found_version) is not int or found_version < 1:
        lacks = "files and their checksums" if not isinstance(files, dict) else "format_version, a whole number from 1"
        raise CheckpointError(f"{path} is damaged (expected {lacks}): copy the checkpoint again.")
    if not isinstance(metadata.get("encoder_included", True), bool):
        raise CheckpointError(
            f"{path} is damaged (expected true or false as encoder_included): copy the checkpoint again."
        )
    if found_version > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format {found_version}, this version reads up to {FORMAT_VERSION}: update Audio Caption."
        )
    return metadata


def check_files(folder: Path, files: Mapping[str, Any], checked: Sequence[str]) -> None:
    """Verify the checksum of every file.

    Args:
        folder: checkpoint folder.
        files: checksums by file name, from its metadata.
        checked: files that must be listed if they exist.

    Raises:
        CheckpointError: a file is missing, changed, truncated or not listed.
    """
    for name in checked:
        if name not in files and (folder / name).exists():
            raise CheckpointError(
                f"{folder / name} is not listed in {METADATA_FILE}, so it cannot be verified: "
                "copy the checkpoint again."
            )
    for name, expected in files.items():
        file = folder / name
        if not name or name != Path(name).name:
            raise CheckpointError(
                f"{folder / METADATA_FILE} lists {name!r}, expected file names without folders: copy the checkpoint again."
            )
        if not file.is_file():
            raise CheckpointError(f"{file} is missing but listed in {METADATA_FILE}: copy the checkpoint again.")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({error.strerror}): copy the checkpoint again.") from error
        if found != expected:
            raise CheckpointError(f"{file} is damaged: its sha256 is not the one in {METADATA_FILE}; copy it again.")


def vocabulary_sha256(tokenizer: Tokenizer) -> str:
    """Checksum of a tokenizer's vocabulary: of its tokens and their ids, in the order of the ids."""
    tokens = sorted((number, token) for token, number in tokenizer.get_vocab(with_added_tokens=True).items())
    return hashlib.sha256(json.dumps(tokens).encode()).hexdigest()


def read_tokenizer(folder: Path) -> Tokenizer:
    """Load a checkpoint's tokenizer.

    Raises:
        CheckpointError: the file is not a tokenizer, a token id exceeds LARGEST_TOKEN_ID, or the ids of a tokenizer trained by
            `data.captions` are not in the order in which training numbers them.
    """
    path = folder / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises Exception, and its panics are BaseException
        raise CheckpointError(
            f"{path} cannot be read as a tokenizer ({first_line(error)}): copy the checkpoint again."
        ) from error
    if largest > LARGEST_TOKEN_ID:
        raise CheckpointError(
            f"{path} has the token id {largest}, expected at most {LARGEST_TOKEN_ID}: copy the checkpoint again."
        )
    if displaced := _displaced_token(tokenizer):
        raise CheckpointError(
            f"{path} is damaged: the id of its token {displaced!r} is not the one that training gave it, so that captions would "
            "have wrong words; copy the checkpoint again."
        )
    return tokenizer


def _displaced_token(tokenizer: Tokenizer) -> str | None:
    """Return a token with another id than training gave it; None if there is none, or training was not done here.

    The trainer of byte-pair encodings numbers the special tokens, then the characters in the order of their code points, then
    the results of the merges in their order, so that ids follow from the rest of the file.
    """
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model["type"] != "BPE" or {token["content"] for token in content["added_tokens"]} != set(TRAINED_MARKS):
        return None
    merged = dict.fromkeys("".join(parts) for parts in model["merges"])
    letters = sorted(set(model["vocab"]) - set(merged) - set(TRAINED_MARKS))
    found = tokenizer.get_vocab(with_added_tokens=True)
    ordered = [*TRAINED_MARKS, *letters, *merged]
    displaced = next((token for number, token in enumerate(ordered) if found.get(token) != number), None)
    begin, end = TRAINED_MARKS[1:3]
    return displaced or (None if tokenizer.encode("").tokens == [begin, end] else begin)


def first_line(error: BaseException) -> str:
    """First line of an error's message, at most 200 characters; the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

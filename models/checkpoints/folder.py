"""Checkpoint folders: written whole or not at all, and checked byte by byte before they are used.

A folder holds `model.safetensors`, `config.yaml`, `tokenizer.json`, maybe `captions.safetensors` (the caption store of
`models/generation/retrieval.py`), and `metadata.json`, whose `files` gives the sha256 of each of the others. It is
written under a temporary name, synced to the disk and renamed, so that a folder with its final name is complete.
"""

import hashlib
import json
import os
import pickle
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from configs.atomic_files import FileNotWrittenError, sync, write_file
from configs.json_files import read_json_object
from models.errors import CheckpointError

FORMAT_VERSION = 1
MODEL_FILE = "model.safetensors"
STORE_FILE = "captions.safetensors"
CONFIG_FILE = "config.yaml"
TOKENIZER_FILE = "tokenizer.json"
ARCHITECTURE_FILE = "llama.json"  # of a pretrained decoder alone; others stand in config.yaml
ENCODER_FILE = "encoder.json"  # of an encoder of transformers whose weights the checkpoint holds
METADATA_FILE = "metadata.json"
TRAINING_STATE_FILE = "training_state.pt"
# What a captioner is made of. One of them that metadata.json does not list was never checked, so it is not taken either.
CHECKED_FILES = (MODEL_FILE, STORE_FILE, CONFIG_FILE, TOKENIZER_FILE, ARCHITECTURE_FILE, ENCODER_FILE)
LARGEST_TOKEN_ID = 2**22  # tables of that many tokens are made; the largest vocabularies have a quarter of a million
_TEMPORARY_MARK = ".writing-"


def sha256_of(path: Path) -> str:
    """Checksum of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of what a checkpoint's numbers depend on."""
    libraries = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    texts: Mapping[str, str],
    metadata: Mapping[str, Any],
    training_state: Any = None,
    store: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint folder; a crash at any moment leaves either the old folder or the new one.

    Args:
        folder: final name; replaced if it exists.
        tensors: what `model.safetensors` holds, dense.
        texts: other files by name, such as `config.yaml`.
        metadata: JSON values for `metadata.json`; versions and checksums are added.
        training_state: dense tensors and plain values for `training_state.pt`, from which training resumes.
        store: tensors of the caption store; None for none.

    Raises:
        OSError: the folder cannot be written (no space, no permission), in a sentence that names the file; an older one of
            that name stays whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{folder.name}{_TEMPORARY_MARK}{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    owned = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    parts: dict[str, Callable[[Path], object]] = {MODEL_FILE: lambda path: save_file(owned, path)}
    if store is not None:
        parts[STORE_FILE] = lambda path: save_file(dict(store), path)
    parts |= {name: partial(Path.write_text, data=text, encoding="utf-8") for name, text in texts.items()}
    if training_state is not None:
        parts[TRAINING_STATE_FILE] = lambda path: torch.save(training_state, path)
    try:
        for name, write in parts.items():
            _write_part(temporary, folder, name, write)
        checksums = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        content = {"format_version": FORMAT_VERSION, "versions": library_versions(), **metadata, "files": checksums}
        text = _metadata_text(content)
        _write_part(temporary, folder, METADATA_FILE, partial(Path.write_text, data=text, encoding="utf-8"))
        sync(temporary)
        _replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_part(temporary: Path, folder: Path, name: str, write: Callable[[Path], object]) -> None:
    """Write one file of a checkpoint and sync it; what goes wrong is told of its final name."""
    try:
        write(temporary / name)
        sync(temporary / name)
    except (OSError, SafetensorError, RuntimeError) as error:  # a full disk, by its three names
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise FileNotWrittenError(getattr(error, "errno", None), reason, str(folder / name)) from error


def sweep_leftovers(folder: Path) -> list[str]:
    """Remove what an interrupted `write_checkpoint` left in `folder`; returns the names removed."""
    leftovers = [path for path in folder.glob(f"*{_TEMPORARY_MARK}*") if path.is_dir() and not path.is_symlink()]
    for path in leftovers:
        shutil.rmtree(path)
    return [path.name for path in leftovers]


def checkpoint_folder(path: Path) -> Path:
    """The checkpoint that a folder is, or the best one of a run's folder."""
    return path / "best" if not (path / METADATA_FILE).exists() and (path / "best").is_dir() else path


def add_metadata(folder: Path, entries: Mapping[str, Any]) -> None:
    """Put entries into a checkpoint's `metadata.json`, whole or not at all; its other files and their checksums stay.

    Raises:
        CheckpointError: the checkpoint is damaged.
        OSError: the file cannot be written; the old one stays whole.
    """
    write_file(folder / METADATA_FILE, _metadata_text({**read_metadata(folder), **entries}))


def drop_training_state(folder: Path) -> None:
    """Remove `training_state.pt` from a checkpoint that no training resumes from any more.

    Raises:
        CheckpointError: its `metadata.json` is damaged.
        OSError: the folder cannot be written.
    """
    path = folder / TRAINING_STATE_FILE
    if not path.exists():
        return
    # metadata first: a crash between the two leaves a file that nobody lists, never a listed file that is missing
    metadata = read_metadata(folder, check_files=False)
    metadata["files"].pop(TRAINING_STATE_FILE, None)
    write_file(folder / METADATA_FILE, _metadata_text(metadata))
    path.unlink()


def _metadata_text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def read_metadata(folder: Path, check_files: bool = True) -> dict[str, Any]:
    """Read `metadata.json` and compare every file with its checksum.

    Raises:
        CheckpointError: a file is missing, was changed or cut, or is not listed; the training state holds more than numbers; or
            the format is newer than this program knows.
    """
    path = folder / METADATA_FILE
    try:
        metadata = read_json_object(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is no checkpoint: {METADATA_FILE} is missing; give a folder that train.py wrote."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy the checkpoint again.") from error
    files, found_version = metadata.get("files"), metadata.get("format_version")
    if not isinstance(files, dict) or not isinstance(found_version, int) or isinstance(found_version, bool):
        lacks = "files and their checksums" if not isinstance(files, dict) else "format_version, a whole number"
        raise CheckpointError(f"{path} is damaged (expected {lacks}): copy the checkpoint again.")
    if found_version > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format {found_version}, this program reads up to {FORMAT_VERSION}: update Audio Caption."
        )
    if check_files:
        _check_files(folder, files)
    return metadata


def _check_files(folder: Path, files: Mapping[str, Any]) -> None:
    if MODEL_FILE not in files:
        raise CheckpointError(
            f"{folder / METADATA_FILE} lists no {MODEL_FILE}, so nothing says whether the weights are whole: "
            "copy the checkpoint again."
        )
    for name in CHECKED_FILES:
        if name not in files and (folder / name).exists():
            raise CheckpointError(
                f"{folder / name} is there although {METADATA_FILE} does not list it, so nothing says whether it is whole: "
                "copy the checkpoint again."
            )
    for name, expected in files.items():
        file = folder / name
        if not name or name != Path(name).name:
            raise CheckpointError(
                f"{folder / METADATA_FILE} lists {name!r}, expected names of files beside it: copy the checkpoint again."
            )
        if not file.is_file():
            raise CheckpointError(f"{file} is missing although {METADATA_FILE} lists it: copy the checkpoint again.")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read ({error.strerror}): copy the checkpoint again.") from error
        if found != expected:
            raise CheckpointError(f"{file} is damaged: its sha256 is not the one in {METADATA_FILE}; copy it again.")
    if TRAINING_STATE_FILE in files:
        read_training_state(folder, lazily=True)


def read_tensors(folder: Path, name: str = MODEL_FILE) -> dict[str, Tensor]:
    """Load the tensors of one of a checkpoint's files on the CPU."""
    try:
        return load_file(folder / name)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{folder / name} cannot be read ({error}): copy the checkpoint again.") from error


def read_tokenizer(folder: Path) -> Tokenizer:
    """Load a checkpoint's tokenizer.

    Raises:
        CheckpointError: the file is no tokenizer, or numbers its tokens beyond any vocabulary.
    """
    path = folder / TOKENIZER_FILE
    try:
        tokenizer = Tokenizer.from_file(str(path))
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # tokenizers raises bare Exception, and its panics are not even that
        raise CheckpointError(
            f"{path} cannot be read as a tokenizer ({_first_line(error)}): copy the checkpoint again."
        ) from error
    if largest > LARGEST_TOKEN_ID:
        raise CheckpointError(
            f"{path} numbers a token {largest}, expected at most {LARGEST_TOKEN_ID}: copy the checkpoint again."
        )
    return tokenizer


def read_training_state(folder: Path, lazily: bool = False) -> dict[str, Any]:
    """Load `training_state.pt` on the CPU without running anything that it may hold.

    Args:
        folder: the checkpoint.
        lazily: leave the tensors' numbers on the disk until they are asked for.

    Raises:
        CheckpointError: missing, damaged, or more than dense tensors and plain values.
    """
    path = folder / TRAINING_STATE_FILE
    remedy = "copy the checkpoint again, or begin a new run"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"asks for {named[1]}" if named else "holds something else or is damaged"
        raise CheckpointError(
            f"{path} {what}, expected dense tensors and plain values: it was refused and nothing in it was run; {remedy}."
        ) from error
    except Exception as error:  # whatever a damaged archive or pickle sets off
        raise CheckpointError(f"{path} cannot be read as a training state ({_first_line(error)}): {remedy}.") from error
    if not isinstance(state, dict) or not _is_dense(state):
        raise CheckpointError(f"{path} is no table of dense tensors and plain values: {remedy}.")
    return state


def _is_dense(state: Any) -> bool:
    waiting, seen = [state], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor) and value.layout is not torch.strided:
            return False
        if isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, Mapping) else value
    return True


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def point_link(link: Path, target: Path) -> None:
    """Let `link` name the checkpoint `target` beside it, in one atomic step; where links are not allowed, copy."""
    temporary = link.with_name(f"{link.name}{_TEMPORARY_MARK}{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(target.name, target_is_directory=True)
        os.replace(temporary, link)
        sync(link.parent)
    except (OSError, NotImplementedError):
        if os.name != "nt":
            raise
        shutil.copytree(target, temporary)
        _replace_folder(temporary, link)


def _replace_folder(temporary: Path, folder: Path) -> None:
    if folder.exists():
        aside = folder.with_name(f"{folder.name}{_TEMPORARY_MARK}old-{os.getpid()}")
        os.replace(folder, aside)
        os.replace(temporary, folder)
        shutil.rmtree(aside)
    else:
        os.replace(temporary, folder)
    sync(folder.parent)

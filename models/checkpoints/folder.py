"""Checkpoint folders: written atomically, and verified by checksums before use.

A folder has the files `model.safetensors`, `config.yaml`, `tokenizer.json`, optionally `captions.safetensors` (the caption store
of `generation/retrieval.py`), and `metadata.json`, whose `files` lists the sha256 of each other file. A folder is written
under a temporary name, synced to the disk and renamed, so that one with its final name is complete.
"""

import os
import pickle
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from configs import checkpoint_files
from configs.atomic_files import FileNotWrittenError, new_file, sync, write_file
from configs.checkpoint_files import (
    CHECKED_FILES,
    DECODER_NETWORK,
    FORMAT_VERSION,
    METADATA_FILE,
    MODEL_FILE,
    STORE_FILE,
    TRAINING_STATE_FILE,
    first_line,
    metadata_text,
    sha256_of,
)
from configs.errors import CheckpointError

_TEMPORARY_MARK = ".writing-"
Writer = Callable[[Path], object]  # of the file with this path


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect a checkpoint's results."""
    libraries = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in libraries}


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, Tensor],
    texts: Mapping[str, str],
    metadata: Mapping[str, Any],
    training_state: Any = None,
    store: Mapping[str, Tensor] | None = None,
    marks: Mapping[str, str] | None = None,
) -> None:
    """Write a checkpoint folder; a crash leaves either the old folder or the new one.

    Args:
        folder: folder to write; replaced if it exists.
        tensors: dense tensors of `model.safetensors`.
        texts: other files by name, such as `config.yaml`.
        metadata: JSON values for `metadata.json`; versions and checksums are added.
        training_state: dense tensors and plain values of `training_state.pt`, from which training resumes; None for none.
        store: tensors of the caption store; None for none.
        marks: texts for the header of `model.safetensors`, by name; None for none.

    Raises:
        OSError: the folder cannot be written (no space, no permission); the message names the file, and an existing folder
            stays unchanged.
    """
    owned = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    parts: dict[str, Writer] = {MODEL_FILE: lambda path: save_file(owned, path, dict(marks or {}))}
    if store is not None:
        parts[STORE_FILE] = lambda path: save_file(dict(store), path)
    parts |= {name: text_writer(text) for name, text in texts.items()}
    if training_state is not None:
        parts[TRAINING_STATE_FILE] = partial(_save_state, training_state)
    write_folder(folder, parts, metadata)


def text_writer(text: str) -> Writer:
    """Function that writes a text file."""
    return partial(Path.write_text, data=text, encoding="utf-8")


def write_folder(folder: Path, parts: Mapping[str, Writer], metadata: Mapping[str, Any]) -> None:
    """Write a folder of checked files; a crash leaves either the old folder or the new one.

    Args:
        folder: folder to write; replaced if it exists.
        parts: by file name, the functions that write the files.
        metadata: JSON values for `metadata.json`; versions and checksums are added.

    Raises:
        OSError: as for `write_checkpoint`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{folder.name}{_TEMPORARY_MARK}{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        for name, write in parts.items():
            _write_part(temporary, folder, name, write)
        checksums = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        content = {"format_version": FORMAT_VERSION, "versions": library_versions(), **metadata, "files": checksums}
        _write_part(temporary, folder, METADATA_FILE, text_writer(metadata_text(content)))
        sync(temporary)
        _replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _save_state(state: Any, path: Path) -> None:
    with new_file(path, synced=False) as file:  # torch.save alone does not say why a file cannot be written
        torch.save(state, file)


def _write_part(temporary: Path, folder: Path, name: str, write: Writer) -> None:
    """Write one file of a checkpoint and sync it; errors name the final path."""
    try:
        write(temporary / name)
        sync(temporary / name)
    except (OSError, SafetensorError) as error:  # the two errors of a full disk
        reason = getattr(error, "strerror", None) or first_line(error)
        raise FileNotWrittenError(getattr(error, "errno", None), reason, str(folder / name)) from error


def sweep_leftovers(folder: Path) -> list[str]:
    """Remove temporary folders of an interrupted `write_checkpoint` from `folder`; returns their names."""
    leftovers = [path for path in folder.glob(f"*{_TEMPORARY_MARK}*") if path.is_dir() and not path.is_symlink()]
    for path in leftovers:
        shutil.rmtree(path)
    return [path.name for path in leftovers]


def checkpoint_folder(path: Path) -> Path:
    """Return the given checkpoint folder, or the best checkpoint of a run's folder."""
    return path / "best" if not (path / METADATA_FILE).exists() and (path / "best").is_dir() else path


def add_metadata(folder: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to a checkpoint's `metadata.json` atomically; its other files and their checksums stay unchanged.

    Raises:
        CheckpointError: the checkpoint is damaged.
        OSError: the file cannot be written; the existing one stays unchanged.
    """
    write_file(folder / METADATA_FILE, metadata_text({**read_metadata(folder), **entries}))


def drop_training_state(folder: Path) -> None:
    """Remove `training_state.pt` from a checkpoint that will not be resumed.

    Raises:
        CheckpointError: its `metadata.json` is damaged.
        OSError: the folder cannot be written.
    """
    path = folder / TRAINING_STATE_FILE
    if not path.exists():
        return
    # Metadata first: a crash in between leaves an unlisted file, not a missing one.
    metadata = read_metadata(folder, check_files=False)
    metadata["files"].pop(TRAINING_STATE_FILE, None)
    write_file(folder / METADATA_FILE, metadata_text(metadata))
    path.unlink()


def read_metadata(folder: Path, check_files: bool = True) -> dict[str, Any]:
    """Read `metadata.json` and verify the checksum of every file.

    Raises:
        CheckpointError: a file is missing, changed, truncated or not listed, the training state has unexpected content, or the
            format is newer than this version supports.
    """
    metadata = checkpoint_files.read_metadata(folder)
    if not check_files:
        return metadata
    files = metadata["files"]
    if MODEL_FILE not in files and DECODER_NETWORK in files:
        raise CheckpointError(
            f"{folder} is an exported captioner, which torch does not run: caption with --engine onnx."
        )
    if MODEL_FILE not in files:
        raise CheckpointError(
            f"{folder / METADATA_FILE} does not list {MODEL_FILE}, so the weights cannot be verified: "
            "copy the checkpoint again."
        )
    checkpoint_files.check_files(folder, files, CHECKED_FILES)
    if TRAINING_STATE_FILE in files:
        read_training_state(folder, lazily=True)
    return metadata


def not_finite(values: Any, name: str = "") -> str:
    """Return the dotted name of the first non-finite tensor in nested mappings and lists; empty if there is none."""
    if isinstance(values, Tensor):
        if not values.is_floating_point():
            return ""
        values = values.float() if values.element_size() == 1 else values  # 8-bit floats lack most operations
        return "" if bool(torch.isfinite(values).all()) else name
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(values, Mapping):
        items = values.items()
    elif isinstance(values, list | tuple):
        items = enumerate(values)
    return next((found for key, value in items if (found := not_finite(value, f"{name}.{key}".lstrip(".")))), "")


def read_tensors(folder: Path, name: str = MODEL_FILE) -> dict[str, Tensor]:
    """Load the tensors of a checkpoint's file on the CPU.

    Raises:
        CheckpointError: the file cannot be read, or has numbers that are not finite.
    """
    try:
        tensors = load_file(folder / name)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{folder / name} cannot be read ({error}): copy the checkpoint again.") from error
    for key, tensor in tensors.items():
        if key.endswith("running_var") and bool((tensor.float() < 0).any()):  # 8-bit floats lack comparisons
            raise CheckpointError(f"{folder / name} has a negative variance in {key}: copy the checkpoint again.")
    if found := not_finite(tensors):
        raise CheckpointError(f"{folder / name} has numbers in {found} that are not finite: use an earlier checkpoint.")
    return tensors


def read_marks(folder: Path) -> dict[str, str]:
    """Return the texts in the header of a checkpoint's weights, by name; empty for older checkpoints.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with safe_open(folder / MODEL_FILE, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{folder / MODEL_FILE} cannot be read ({error}): copy the checkpoint again.") from error


def read_training_state(folder: Path, lazily: bool = False) -> dict[str, Any]:
    """Load `training_state.pt` on the CPU without executing code in it.

    Args:
        folder: checkpoint folder.
        lazily: memory-map the tensors instead of reading them.

    Raises:
        CheckpointError: the file is missing, damaged, or has other content than dense tensors and plain values.
    """
    path = folder / TRAINING_STATE_FILE
    remedy = "copy the checkpoint again, or start a new run"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"contains {named[1]}" if named else "has other content or is damaged"
        raise CheckpointError(
            f"{path} {what}, expected dense tensors and plain values: it was not loaded and no code in it was run; {remedy}."
        ) from error
    except Exception as error:  # a damaged archive or pickle can raise any error
        raise CheckpointError(f"{path} cannot be read as a training state ({first_line(error)}): {remedy}.") from error
    if not isinstance(state, dict) or not _is_dense(state):
        raise CheckpointError(f"{path} is not a dictionary of dense tensors and plain values: {remedy}.")
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


def point_link(link: Path, target: Path) -> None:
    """Point `link` to the checkpoint `target` beside it, atomically; where links are not allowed, copy it."""
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

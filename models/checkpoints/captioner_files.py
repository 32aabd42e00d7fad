"""Saving and loading captioners: from an `AudioCaptioner` to a checkpoint folder and back."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from configs.checkpoint_files import (
    ARCHITECTURE_FILE,
    CONFIG_FILE,
    ENCODER_FILE,
    METADATA_FILE,
    MODEL_FILE,
    STORE_FILE,
    TOKENIZER_FILE,
    read_tokenizer,
    vocabulary_sha256,
)
from configs.errors import CheckpointError
from configs.json_files import read_json_object
from configs.loading import ConfigError, config_to_yaml, load_checkpoint_config
from configs.schema import Config
from generation.retrieval import CaptionStore
from models.checkpoints.folder import checkpoint_folder, read_marks, read_metadata, read_tensors, write_checkpoint
from models.checkpoints.initialization import NoInitialization
from models.decoder.llama import least_parameters, llama_sizes
from models.encoders.build import weights_sha256

if TYPE_CHECKING:
    from models.captioner import AudioCaptioner

VOCABULARY_MARK = "vocabulary_sha256"  # in the header of the weights


def owned_state(captioner: "AudioCaptioner") -> dict[str, Tensor]:
    """Return the tensors that a checkpoint stores: all except those of an encoder with published weights."""
    state = captioner.state_dict()
    if captioner.encoder_is_published:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("encoder.")}
    if captioner.decoder.ties_embeddings:  # safetensors stores a tensor under one name only
        state = {name: tensor for name, tensor in state.items() if not name.endswith("lm_head.weight")}
    return state


def save(
    captioner: "AudioCaptioner",
    path: Path,
    metadata: Mapping[str, Any] | None = None,
    state: Mapping[str, Tensor] | None = None,
    training_state: Any = None,
) -> None:
    """Write a checkpoint folder that `load` reads.

    Args:
        captioner: captioner to save.
        path: folder to write; an existing one is replaced as a whole.
        metadata: JSON values to store in addition to versions and checksums, such as step, metrics, data and licence.
        state: tensors to save instead of the current ones, by name, such as their moving average.
        training_state: tensors and plain values needed to resume training.
    """
    config, published = captioner.config, captioner.encoder_is_published
    if published and not config.captioner.encoder.weights_sha256:
        digest = weights_sha256(config.captioner.encoder, captioner.encoder)
        encoder = replace(config.captioner.encoder, weights_sha256=digest)
        config = replace(config, captioner=replace(config.captioner, encoder=encoder))
    texts = {CONFIG_FILE: config_to_yaml(config), TOKENIZER_FILE: captioner.tokenizer.to_str(pretty=False)}
    if config.captioner.decoder.pretrained:
        texts[ARCHITECTURE_FILE] = json.dumps(captioner.decoder.architecture(), indent=1, sort_keys=True)
    encoder_architecture = None if published else captioner.encoder.architecture()
    if encoder_architecture is not None:
        texts[ENCODER_FILE] = json.dumps(encoder_architecture, indent=1, sort_keys=True)
    content = {**captioner.metadata, **(metadata or {}), "encoder_included": not published}
    owned = {name: (state or {}).get(name, tensor) for name, tensor in owned_state(captioner).items()}
    store = None
    if captioner.search.store is not None:
        store = {name: torch.from_numpy(values) for name, values in captioner.search.store.tensors.items()}
    write_checkpoint(
        path, owned, texts, content, training_state, store, {VOCABULARY_MARK: vocabulary_sha256(captioner.tokenizer)}
    )


def load(
    captioner_class: "type[AudioCaptioner]", path_or_hub_id: str | Path, encoder_weights: str | None = None
) -> "AudioCaptioner":
    """Load a captioner on the CPU; arguments and errors as for `AudioCaptioner.from_pretrained`."""
    path = Path(path_or_hub_id)
    if path.is_file():
        _refuse_part(path)
        from models.checkpoints.mini_audio_caption import read_parts

        config, tokenizer, weights = read_parts(path, encoder_weights)
        captioner = captioner_class(config, tokenizer)
        captioner.decoder.llama.load_state_dict(weights.llama.state_dict())
        captioner.projection.layers.load_state_dict(weights.projection)
        return captioner
    if not path.is_dir():
        path = _from_hub(str(path_or_hub_id))
    path = checkpoint_folder(path)
    metadata = read_metadata(path)
    config, tokenizer = read_config(path), read_tokenizer(path)
    if read_marks(path).get(VOCABULARY_MARK, expected := vocabulary_sha256(tokenizer)) != expected:
        raise CheckpointError(
            f"{path / TOKENIZER_FILE} has another vocabulary than the one with which {MODEL_FILE} was trained: copy the "
            "checkpoint again."
        )
    architecture, encoder_architecture = (_read_json(path / name) for name in (ARCHITECTURE_FILE, ENCODER_FILE))
    config_to_build = _config_to_build(config, metadata, encoder_weights)
    with _described(path, "built from its files"):
        tensors = read_tensors(path)
        _check_size(path, tensors, config, tokenizer, architecture, encoder_architecture)
        with NoInitialization():
            captioner = captioner_class(config_to_build, tokenizer, architecture, encoder_architecture)
        captioner.encoder_is_published = not metadata.get("encoder_included", True)
        load_state(captioner, tensors, path)
    if STORE_FILE in metadata["files"]:
        with _described(path / STORE_FILE, "read as a caption store"):
            tensors = read_tensors(path, STORE_FILE)
            captioner.search.store = CaptionStore({name: tensor.numpy() for name, tensor in tensors.items()})
    captioner.config, captioner.metadata = config, metadata
    with _described(path / METADATA_FILE, "read"):
        _ = captioner.calibration  # raises an error for an unreadable calibration
    return captioner


def _refuse_part(path: Path) -> None:
    """Raise a CheckpointError for a file of a checkpoint folder, and for an archive of one."""
    if (path.parent / METADATA_FILE).is_file():
        raise CheckpointError(f"{path} is one file of a checkpoint: give its folder, {path.parent}.")
    if zipfile.is_zipfile(path):  # as are files of torch.save
        with zipfile.ZipFile(path) as archive:
            if any(Path(name).name == METADATA_FILE for name in archive.namelist()):
                raise CheckpointError(f"{path} is an archive of a checkpoint: unpack it, and give the folder.")


def read_config(path: Path) -> Config:
    """Read the configuration of a checkpoint folder.

    Raises:
        CheckpointError: it is missing, damaged, or has unknown settings.
    """
    try:
        return load_checkpoint_config(path / CONFIG_FILE, whole=True)
    except ConfigError as error:
        raise CheckpointError(f"{path / CONFIG_FILE}: {error}") from error


def load_buffers(captioner: "AudioCaptioner", path: Path) -> None:
    """Copy buffers (batch norm statistics) from a checkpoint folder; parameters stay unchanged."""
    tensors = read_tensors(path)
    for name, buffer in captioner.named_buffers():
        if name in tensors:
            buffer.copy_(tensors[name])


def load_state(captioner: "AudioCaptioner", tensors: Mapping[str, Tensor], source: Path) -> None:
    """Load a checkpoint's tensors.

    Args:
        captioner: network to fill.
        tensors: tensors by name; every one that the checkpoint owns must be present.
        source: checkpoint folder, for error messages.

    Raises:
        CheckpointError: a tensor is missing, unknown, or of another shape or kind.
    """
    own = captioner.state_dict()
    unfit = [
        name
        for name, tensor in tensors.items()
        if name not in own
        or own[name].shape != tensor.shape
        or own[name].is_floating_point() != tensor.is_floating_point()
    ]
    needed = set(own) if any(name.startswith("encoder.") for name in tensors) else set(owned_state(captioner))
    missing = sorted(name for name in needed - set(tensors) if not name.endswith("lm_head.weight"))
    if unfit or missing:
        raise CheckpointError(
            f"{source} does not fit its configuration: {(unfit + missing)[0]} is missing, unknown or of another shape."
        )
    captioner.load_state_dict(dict(tensors), strict=False)


@contextmanager
def _described(path: Path, what: str) -> Iterator[None]:
    """Convert errors about a file's content to a CheckpointError of one sentence; `what` describes the failed operation."""
    try:
        yield
    except CheckpointError as error:
        if str(path) in str(error):
            raise
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # damaged settings can raise any error while networks are built
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise CheckpointError(
            f"{path} cannot be {what} ({type(error).__name__}: {reason}): copy the checkpoint again."
        ) from error


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}): copy the checkpoint again.") from error


def _check_size(
    path: Path,
    tensors: Mapping[str, Tensor],
    config: Config,
    tokenizer: Tokenizer,
    architecture: Mapping[str, Any] | None,
    encoder_architecture: Mapping[str, Any] | None,
) -> None:
    """Raise a CheckpointError for networks larger than the stored weights, before they exhaust the memory."""
    decoder = config.captioner.decoder
    needed = {}
    if architecture is not None:
        from models.decoder.pretrained import sizes_of

        needed[ARCHITECTURE_FILE] = least_parameters(sizes_of(dict(architecture)))
    elif not decoder.pretrained:  # the size of a pretrained decoder is given by its folder
        needed[CONFIG_FILE] = least_parameters(llama_sizes(decoder, tokenizer.get_vocab_size()))
    if encoder_architecture is not None:
        from models.encoders.transformers_audio import least_of_encoder

        needed[ENCODER_FILE] = least_of_encoder(encoder_architecture)
    found = sum(tensor.numel() for tensor in tensors.values())
    for name, least in needed.items():
        if least > found:
            raise CheckpointError(
                f"{path / name} describes a network of at least {least:,} parameters, but {MODEL_FILE} holds {found:,}: "
                "copy the checkpoint again."
            )


def _config_to_build(config: Config, metadata: Mapping[str, Any], encoder_weights: str | None) -> Config:
    """Return the configuration with the encoder's weights file replaced, or removed if the checkpoint stores the weights."""
    encoder = config.captioner.encoder
    if metadata.get("encoder_included", True):
        encoder = replace(encoder, weights=None, weights_sha256=None)
    elif encoder_weights:
        encoder = replace(encoder, weights=encoder_weights)
    return replace(config, captioner=replace(config.captioner, encoder=encoder))


def _from_hub(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import, rarely needed
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(hub_id))
    except (OSError, HfHubHTTPError, HFValidationError, ValueError) as error:
        name = hub_id if hub_id.isprintable() else repr(hub_id)
        raise CheckpointError(
            f"{name} is not a checkpoint folder, and the hub has no repository of that name or cannot be reached: check the "
            "path."
        ) from error

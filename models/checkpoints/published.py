"""Published weights: tensor files, and networks in transformers' format from a folder or the hub."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from configs.checkpoint_files import sha256_of
from configs.errors import CheckpointError


def read_weights(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """Load the tensors of a published weights file (.safetensors or .pth) without executing code in it.

    Args:
        path: file to read.
        sha256: expected checksum; None accepts any file.

    Raises:
        CheckpointError: the file is missing, damaged, or has another checksum.
    """
    if not path.is_file():
        raise CheckpointError(
            f"the encoder's weights {path} are missing: download them with python -m data.download, or name the file by "
            "captioner.encoder.weights (--encoder_weights in inference)."
        )
    if sha256 is not None and sha256_of(path) != sha256:
        raise CheckpointError(f"{path} is not the weights file of this checkpoint: its sha256 is not {sha256}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: download it again.") from error
    except Exception as error:  # pickle.UnpicklingError: it has other content
        raise CheckpointError(
            f"{path} contains other data than tensors and was not loaded: download it again from its authors."
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) and value.layout is torch.strided for value in state.values()
    ):
        raise CheckpointError(
            f"{path} is not a dictionary of dense tensors: give a weights file as published by its authors."
        )
    return dict(state)


def state_sha256(module: nn.Module) -> str:
    """Checksum of a network's tensors and their names as 64 hexadecimal digits, independent of the file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_pretrained(
    model_class: Any, source: str, what: str, dtype: torch.dtype = torch.float32, unused: Sequence[str] = ()
) -> Any:
    """Load a transformers network with all of its weights; no code from the checkpoint is executed.

    transformers initialises weights that a checkpoint lacks at random; here that is an error.

    Args:
        model_class: transformers class, such as LlamaForCausalLM.
        source: folder or hub id.
        what: name of the network in error messages, such as "Llama".
        dtype: dtype of the weights in memory.
        unused: suffixes of weight names that may be missing because they are not used.

    Raises:
        CheckpointError: transformers cannot load it, or weights are missing.
    """
    model, info = _explained(
        lambda: model_class.from_pretrained(source, dtype=dtype, output_loading_info=True), source, what
    )
    parameters = {name for name, _ in model.named_parameters()}  # buffers such as positions are computed
    missing = sorted(
        name
        for name in info["missing_keys"]
        if (name in parameters or name.endswith(("running_mean", "running_var"))) and not name.endswith(tuple(unused))
    )
    if missing:
        raise CheckpointError(
            f"{source} is not a complete {what}: {missing[0]} and {len(missing) - 1} more weights are missing."
        )
    return model


def load_settings(settings_class: Any, source: str, what: str) -> Any:
    """Load a transformers configuration, feature extractor or tokenizer from a folder or the hub.

    Raises:
        CheckpointError: transformers cannot load it.
    """
    return _explained(lambda: settings_class.from_pretrained(source), source, what)


def _explained(load: Callable[[], Any], source: str, what: str) -> Any:
    try:
        return load()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"no {what} could be loaded from {source} ({reason.rstrip('.')}): give a folder in transformers' format, or a hub "
            "id while the network is there (captioner.encoder.weights or captioner.decoder.pretrained; of a checkpoint that only "
            "names its encoder, --encoder_weights)."
        ) from error

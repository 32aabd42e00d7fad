"""Encoders by name, and their construction from a configuration; only the requested encoder is imported."""

import difflib
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from configs.checkpoint_files import sha256_of
from configs.errors import CheckpointError
from configs.schema import EncoderConfig
from models.checkpoints.published import read_weights, state_sha256
from models.encoders.base import PREFIX, AudioEncoder

# Encoders with a weights file of their authors, and transformers encoders, which are loaded from a folder or hub id.
ENCODERS = {"cnn14": ("cnn14", "Cnn14"), "mobilenet": ("mobilenet", "MobileNet")}  # module and class
TRANSFORMERS_ENCODERS = {
    "htsat": ("htsat", "HtsAt"),
    "clap": ("clap", "Clap"),
    PREFIX: ("transformers_audio", "TransformersEncoder"),
}


def build_encoder(config: EncoderConfig, architecture: dict[str, Any] | None = None) -> AudioEncoder:
    """Build an encoder, with its published weights if the configuration names some.

    Args:
        config: name, weights and settings of the encoder.
        architecture: result of the encoder's `architecture` if its weights come from a checkpoint; None otherwise.

    Raises:
        CheckpointError: the name is unknown, or the weights are missing, damaged, of another checksum, or do not fit.
    """
    kind = PREFIX if config.name.startswith(PREFIX) else config.name
    if kind in TRANSFORMERS_ENCODERS:
        encoder = _class(*TRANSFORMERS_ENCODERS[kind])(config, architecture)
        if architecture is None and config.weights_sha256 and state_sha256(encoder) != config.weights_sha256:
            raise CheckpointError(
                f"{published_source(config)} has other weights than this checkpoint needs: expected the sha256 "
                f"{config.weights_sha256}."
            )
        return encoder
    if kind not in ENCODERS:
        names = [*ENCODERS, *TRANSFORMERS_ENCODERS]
        near = difflib.get_close_matches(kind, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f": one of {', '.join(names)}FOLDER_OR_HUB_ID."
        raise CheckpointError(f"captioner.encoder.name {config.name} is not an encoder{hint}")
    encoder = _class(*ENCODERS[kind])(config)
    if config.weights is not None:
        state = encoder.with_branch(read_weights(Path(config.weights), config.weights_sha256))
        # Some files omit batch norm's counter.
        own = {name: value for name, value in encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
        unfit = [name for name, tensor in own.items() if name not in state or state[name].shape != tensor.shape]
        if unfit:
            raise CheckpointError(
                f"{config.weights} does not fit {config.name} at this width: {unfit[0]} is missing or of another shape; "
                "check captioner.encoder.name, width and weights."
            )
        encoder.load_state_dict({name: state[name] for name in own}, strict=False)
    return encoder


def _class(module: str, name: str) -> Callable[..., AudioEncoder]:
    encoder_class: Callable[..., AudioEncoder] = getattr(import_module(f"models.encoders.{module}"), name)
    return encoder_class


def published_source(config: EncoderConfig) -> str | None:
    """File, folder or hub id of an encoder's published weights; None for random initial weights."""
    if config.weights is None and config.name.startswith(PREFIX):
        return config.name.removeprefix(PREFIX)
    return config.weights


def weights_sha256(config: EncoderConfig, encoder: AudioEncoder) -> str:
    """Checksum of published weights: of their file, or of the tensors loaded by transformers."""
    return sha256_of(Path(str(config.weights))) if config.name in ENCODERS else state_sha256(encoder)


def encoder_label(name: str) -> str:
    """Return an encoder's name for use in folder names, such as "whisper-tiny" for "hf:openai/whisper-tiny"."""
    return re.sub(r"[^\w.-]+", "_", name.removeprefix(PREFIX).rstrip("/\\").replace("\\", "/").split("/")[-1]) or "hf"

"""Networks in transformers' format, from a folder or the hub: loaded whole, as float32, or refused in one sentence."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from models.errors import CheckpointError


def load_pretrained(
    model_class: Any, source: str, what: str, dtype: torch.dtype = torch.float32, unused: Sequence[str] = ()
) -> Any:
    """A network with the weights that `source` holds.

    transformers fills what a checkpoint lacks with random values; here that is an error. No code of others is run.

    Args:
        model_class: of transformers, such as LlamaForCausalLM.
        source: folder or hub id.
        what: for messages, such as "Llama".
        dtype: of the weights in memory, whatever the file's.
        unused: ends of the names of weights that may be missing, since nothing here uses them.

    Raises:
        CheckpointError: nothing there that transformers can load, or not all of the network's weights.
    """
    model, info = _explained(
        lambda: model_class.from_pretrained(source, dtype=dtype, output_loading_info=True), source, what
    )
    learnt = {name for name, _ in model.named_parameters()}  # other buffers, such as positions, are the same everywhere
    missing = sorted(
        name
        for name in info["missing_keys"]
        if (name in learnt or name.endswith(("running_mean", "running_var"))) and not name.endswith(tuple(unused))
    )
    if missing:
        raise CheckpointError(f"{source} holds no whole {what}: {missing[0]} and {len(missing) - 1} more are missing.")
    return model


def load_settings(settings_class: Any, source: str, what: str) -> Any:
    """A configuration, feature extractor or tokenizer of transformers from a folder or the hub.

    Raises:
        CheckpointError: nothing there that transformers can load.
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

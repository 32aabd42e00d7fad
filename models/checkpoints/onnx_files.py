"""Export of captioners for `runtime/`, which needs neither torch nor transformers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from configs.checkpoint_files import (
    CONFIG_FILE,
    DECODER_NETWORK,
    ENCODER_NETWORK,
    FRONT_END_KEY,
    PREFIX_NETWORK,
    STORE_FILE,
    TOKENIZER_FILE,
)
from configs.errors import CheckpointError
from configs.loading import config_to_yaml
from models.checkpoints.folder import Writer, text_writer, write_folder
from models.checkpoints.onnx_networks import write_decoder, write_encoder, write_prefix
from models.decoder.network import Llama
from models.encoders import mobilenet
from models.encoders.mobilenet import MobileNet

if TYPE_CHECKING:
    from models.captioner import AudioCaptioner


def export(captioner: "AudioCaptioner", folder: Path) -> None:
    """Write a folder that `runtime.captioner.OnnxCaptioner` reads.

    Args:
        captioner: captioner on the CPU.
        folder: folder to write; replaced if it exists.

    Raises:
        CheckpointError: the captioner cannot be exported; the message says why.
        OSError: the folder cannot be written; an existing one stays unchanged.
    """
    encoder, llama = captioner.encoder, captioner.decoder.llama
    if not isinstance(encoder, MobileNet) or captioner.config.captioner.encoder.output != "frames":
        raise CheckpointError(
            "only captioners with the encoder mobilenet and output frames can be exported, because the runtime has its front "
            f"end alone: this one has {captioner.config.captioner.encoder.name}, which needs torch."
        )
    if not isinstance(llama, Llama):
        raise CheckpointError(
            "this captioner has a pretrained decoder or LoRA adapters, which transformers runs: only decoders trained here can "
            "be exported."
        )
    parts: dict[str, Writer] = {
        ENCODER_NETWORK: lambda path: write_encoder(encoder, path),
        PREFIX_NETWORK: lambda path: write_prefix(captioner, path),
        DECODER_NETWORK: lambda path: write_decoder(llama, path),
        CONFIG_FILE: text_writer(config_to_yaml(captioner.config)),
        TOKENIZER_FILE: text_writer(captioner.tokenizer.to_str(pretty=False)),
    }
    if captioner.search.store is not None:
        store = {name: torch.from_numpy(values) for name, values in captioner.search.store.tensors.items()}
        parts[STORE_FILE] = lambda path: save_file(store, path)
    kept = {name: value for name, value in captioner.metadata.items() if name not in ("files", "versions")}
    write_folder(folder, parts, {**kept, FRONT_END_KEY: _front_end()})


def _front_end() -> dict[str, Any]:
    """Settings of `runtime.front_end.FrontEnd`."""
    return {
        "sample_rate": mobilenet.SAMPLE_RATE,
        "n_fft": mobilenet.N_FFT,
        "hop": mobilenet.HOP,
        "window": mobilenet.WINDOW,
        "pre_emphasis": mobilenet.PRE_EMPHASIS,
        "window_s": mobilenet.WINDOW_S,
        "min_samples": mobilenet.MIN_SAMPLES,
    }

"""Folders of exported captioners: files of `export.py`, verified by checksums."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from configs.checkpoint_files import (
    CONFIG_FILE,
    DECODER_NETWORK,
    ENCODER_NETWORK,
    FRONT_END_KEY,
    METADATA_FILE,
    PREFIX_NETWORK,
    STORE_FILE,
    TOKENIZER_FILE,
    check_files,
    read_metadata,
    read_tokenizer,
)
from configs.checks import LONGEST_CLIP_S
from configs.errors import CheckpointError
from configs.loading import ConfigError, load_checkpoint_config
from configs.schema import Config
from generation.calibration import Calibration, calibration_of
from generation.retrieval import CaptionStore
from runtime.front_end import FrontEnd

# Names of the inputs and outputs of each network; the prefix of a captioner with styles has the input "style" too.
NETWORKS = {
    ENCODER_NETWORK: ({"power"}, {"embeddings"}),
    PREFIX_NETWORK: ({"embeddings"}, {"part_scores", "prefix"}),
    DECODER_NETWORK: ({"prefix", "token_ids", "rows", "past"}, {"logits", "cache"}),
}
LARGEST_FFT = 1 << 16
AGAIN = "export the checkpoint again"


@dataclass(frozen=True)
class ExportedFiles:
    """Content of an exported folder.

    Attributes:
        config: configuration of the checkpoint.
        tokenizer: tokenizer of the decoder.
        front_end: front end of the encoder.
        calibration: calibration of caption probabilities; None for none.
        store: caption store; None for none.
        encoder: ONNX Runtime session of the encoder.
        prefix: ONNX Runtime session of the tagger's heads and the decoder's prefix.
        decoder: ONNX Runtime session of the decoder.
    """

    config: Config
    tokenizer: Tokenizer
    front_end: FrontEnd
    calibration: Calibration | None
    store: CaptionStore | None
    encoder: Any
    prefix: Any
    decoder: Any


def read_folder(path: Path, num_threads: int) -> ExportedFiles:
    """Read an exported folder.

    Args:
        path: folder that `export.py` wrote.
        num_threads: number of threads of each session; 0 for the number of cores.

    Raises:
        CheckpointError: the folder is no exported captioner, or damaged.
    """
    if not path.is_dir():
        raise CheckpointError(
            f"{path} is no folder: give an exported captioner (python export.py checkpoints/any_sound --output any_sound.onnx)."
        )
    metadata = read_metadata(path)
    if not {*NETWORKS, CONFIG_FILE, TOKENIZER_FILE} <= set(metadata["files"]):
        raise CheckpointError(
            f"{path} is not an exported captioner: write one with python export.py {path} --output {path.name}.onnx, and give "
            "that folder."
        )
    check_files(path, metadata["files"], (*NETWORKS, STORE_FILE, CONFIG_FILE, TOKENIZER_FILE))
    try:
        config = load_checkpoint_config(path / CONFIG_FILE, whole=True)
    except ConfigError as error:
        raise CheckpointError(f"{path / CONFIG_FILE}: {error}") from error
    store = _read_store(path / STORE_FILE) if STORE_FILE in metadata["files"] else None
    front_end, tokenizer = _front_end(path, metadata, config), read_tokenizer(path)
    encoder, prefix, decoder = (_session(path / name, num_threads) for name in NETWORKS)
    return ExportedFiles(
        config,
        tokenizer,
        front_end,
        calibration_of(metadata, has_tagger=True, has_store=store is not None),
        store,
        encoder,
        prefix,
        decoder,
    )


def _front_end(path: Path, metadata: dict[str, Any], config: Config) -> FrontEnd:
    found = metadata.get(FRONT_END_KEY)
    names = {item.name for item in fields(FrontEnd)}
    if (
        not isinstance(found, dict)
        or set(found) != names
        or not all(type(value) in (int, float) for value in found.values())
    ):
        raise CheckpointError(
            f"{path / METADATA_FILE} has no {FRONT_END_KEY} with {', '.join(sorted(names))}: {AGAIN}."
        )
    front_end, whole = FrontEnd(**found), ("sample_rate", "n_fft", "hop", "window", "min_samples")
    if (
        not all(isinstance(found[name], int) for name in whole)
        or not 0 < front_end.hop <= front_end.window <= front_end.n_fft <= LARGEST_FFT
        or not 0 <= front_end.min_samples <= LARGEST_FFT
        or not abs(front_end.pre_emphasis) <= 1
        or not 1 <= front_end.window_s <= LONGEST_CLIP_S
        or front_end.sample_rate != config.captioner.encoder.sample_rate
    ):
        raise CheckpointError(
            f"{path / METADATA_FILE} has a {FRONT_END_KEY} that does not fit: expected hop, window and n_fft in this order of "
            f"size, and the sample rate of {CONFIG_FILE}, {config.captioner.encoder.sample_rate} Hz: {AGAIN}."
        )
    return front_end


def _read_store(path: Path) -> CaptionStore:
    try:
        return CaptionStore(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:  # a CheckpointError is a ValueError
        raise CheckpointError(f"{path} cannot be read ({error}): {AGAIN}.") from error


def import_onnxruntime() -> Any:
    """Return the module `onnxruntime`, told to keep and send no usage data.

    When it is imported, version 1.32 otherwise writes a device id to ~/.cache, and it sends usage data to Microsoft.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _session(path: Path, num_threads: int) -> Any:
    """Load a network as an `onnxruntime.InferenceSession`."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3  # errors
    options.enable_cpu_mem_arena = False  # the arena keeps twice as much memory
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # networks are small, and machines are shared
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several classes derived from RuntimeError, and RuntimeError
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise CheckpointError(f"{path} cannot be loaded ({reason}): {AGAIN}.") from error
    inputs, outputs = ({item.name for item in items} for items in (session.get_inputs(), session.get_outputs()))
    expected, results = NETWORKS[path.name]
    if inputs - {"style"} != expected or outputs != results:
        raise CheckpointError(
            f"{path} is another network: it has the inputs {', '.join(sorted(inputs))}, expected "
            f"{', '.join(sorted(expected))}: {AGAIN}."
        )
    return session

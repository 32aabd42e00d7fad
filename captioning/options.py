"""Command-line options shared by all commands: the captioner, its device and its decoding settings.

torch and the models are imported inside functions: importing them takes seconds, and a command that only computes metrics or
shows its help does not need them.
"""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning.files import DEFAULT_CHECKPOINT
from captioning.onnx_engine import load_onnx
from configs.checks import POSITIVE_COUNT, decoding_problems, outside, refuse
from configs.loading import ConfigError, load_checkpoint_config
from configs.schema import Config, DecodingConfig, EncoderConfig, TagDecodingConfig

if TYPE_CHECKING:
    import torch

    from captioning.captioner import Captioner

DECODING_HELP = {  # of each field of `DecodingConfig` and `TagDecodingConfig`, which have the details
    "method": "search for the most probable captions (beam), the most probable token at each step (greedy), or sampling (sample)",
    "num_beams": "number of beams, 1 or more",
    "num_captions": "captions per clip, best first, 1 or more",
    "max_tokens": "maximum caption length in tokens, 1 or more",
    "min_tokens": "minimum caption length in tokens, 0 to --max_tokens",
    "length_penalty": "exponent of the length by which beam scores are divided; above 1 favours longer captions",
    "temperature": "divisor of the logits before sampling, above 0",
    "top_k": "sample from this many most probable tokens; 0 for all",
    "top_p": "sample from the smallest set of tokens with this total probability, above 0 and at most 1",
    "repetition_ban": "forbid repeated content words (content) or allow them (none)",
    "seed": "random seed of sampling",
    "style": "caption style, one of the checkpoint's (any_sound: audiocaps, clotho, plain)",
    "word_bonus": "bonus of the search for words of tags that the caption has not named yet, 0 or more",
    "coverage_weight": "weight of the share of the high tag scores that a caption names, 0 or more",
    "min_score": "minimum tag score of sounds that a caption names, 0 to 1; 0 for no minimum",
    "consensus_weight": "weight of the expected similarity to captions retrieved by the tag scores, 0 or more",
}


def add_captioner_options(parser: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """Add the options for the captioner, its device and the batch size."""
    parser.add_argument(
        "--ckpt_path",
        default=str(DEFAULT_CHECKPOINT),
        help="checkpoint folder, step=N.pth file or Hub id; an exported folder for --engine onnx",
    )
    parser.add_argument(
        "--encoder_weights", help="file with the encoder's published weights, if the checkpoint does not contain them"
    )
    parser.add_argument(
        "--tagger",
        choices=("own", "cnn14"),
        default="own",
        help="tagger for the decoder's tags: the encoder's own (default) or PANNs CNN14 (--encoder_weights or data.download)",
    )
    parser.add_argument("--device", default="auto", help="device: auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--batch_size", type=int, default=8, help="number of clips per batch (default: 8)")


def add_decoding_options(parser: argparse.ArgumentParser) -> None:
    """Add one option for each decoding setting; the default is the checkpoint's setting."""
    search = parser.add_argument_group("decoding (default: the checkpoint's settings)")
    for item in _decoding_fields():
        default = item.default
        choices = {"method": ("beam", "greedy", "sample"), "repetition_ban": ("content", "none")}.get(item.name)
        search.add_argument(f"--{item.name}", type=type(default), choices=choices, help=DECODING_HELP[item.name])


def choose_device(name: str) -> "torch.device":
    """Return the device of a name; "auto" selects CUDA, then Apple's MPS, then the CPU."""
    import torch

    if name != "auto":
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"--device {name} needs a CUDA device, and none is available: use --device cpu.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_decoding(
    own: DecodingConfig, options: argparse.Namespace, styles: Sequence[str] | None = None
) -> DecodingConfig:
    """Return the checkpoint's decoding settings, overridden by those of the command line.

    Args:
        own: decoding settings of the checkpoint.
        options: parsed options of `add_decoding_options`.
        styles: styles of the captioner; None to skip the check of the style.

    Raises:
        ValueError: one sentence that names every wrong setting.
    """
    decoding = _override(own, options)
    refuse(_decoding_option_problems(decoding, styles))
    return decoding


def option_problems(options: argparse.Namespace, config: Config | None = None) -> list[str]:
    """Return error messages for the captioner and decoding options, for `configs.checks.refuse`.

    Args:
        options: parsed options.
        config: configuration of the checkpoint; None (not known yet) to skip the check of the decoding options.
    """
    problems = [
        problem
        for name in ("batch_size", "workers")
        if getattr(options, name, None) is not None
        for problem in outside(f"--{name}", getattr(options, name), POSITIVE_COUNT)
    ]
    if config is None:
        return problems
    return problems + _decoding_option_problems(_override(config.decoding, options), config.captioner.styles)


def checkpoint_config(ckpt_path: str) -> Config | None:
    """Read the configuration of a checkpoint folder without PyTorch; None if it cannot be read (loading reports the error)."""
    folder = Path(ckpt_path)
    if not (folder / "metadata.json").exists() and (folder / "best").is_dir():
        folder = folder / "best"
    log = logging.getLogger(load_checkpoint_config.__module__)
    log.disabled = True  # loading the captioner repeats the warnings
    try:
        return load_checkpoint_config(folder / "config.yaml")
    except ConfigError:
        return None
    finally:
        log.disabled = False


def _decoding_option_problems(decoding: DecodingConfig, styles: Sequence[str] | None) -> list[str]:
    return [f"--{problem.removeprefix('tags.')}" for problem in decoding_problems(decoding, styles)]


def _override(own: DecodingConfig, options: argparse.Namespace) -> DecodingConfig:
    given = {item.name: value for item in _decoding_fields() if (value := getattr(options, item.name)) is not None}
    of_tags = {item.name: given.pop(item.name) for item in dataclasses.fields(own.tags) if item.name in given}
    return dataclasses.replace(own, **given, tags=dataclasses.replace(own.tags, **of_tags))


def _decoding_fields() -> "list[dataclasses.Field[Any]]":
    """Return the decoding fields that have an option; fields of the tag settings have no prefix."""
    plain = [item for item in dataclasses.fields(DecodingConfig) if item.name != "tags"]
    return [*plain, *dataclasses.fields(TagDecodingConfig)]


def load_captioner(options: argparse.Namespace) -> "Captioner":
    """Load the captioner given on the command line onto its device."""
    refuse(option_problems(options))
    if getattr(options, "engine", "local") == "onnx":
        return load_onnx(options)
    from models.captioner import AudioCaptioner

    device = choose_device(options.device)
    if options.tagger == "own":
        return AudioCaptioner.from_pretrained(options.ckpt_path, device, options.encoder_weights)
    from models.checkpoints.mini_audio_caption import DEFAULT_ENCODER_WEIGHTS
    from models.encoders.build import build_encoder

    captioner = AudioCaptioner.from_pretrained(options.ckpt_path, device)
    weights = options.encoder_weights or DEFAULT_ENCODER_WEIGHTS
    captioner.use_tagger(build_encoder(EncoderConfig(name="cnn14", weights=weights)))
    return captioner

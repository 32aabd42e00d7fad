"""Small encoders trained from scratch, compared with the same decoder, data set and budget.

    python -m benchmarks encoders --dataset_root datasets/sounds50 --minutes 20
    python -m benchmarks encoders --dataset_root datasets/sounds50 --steps 1500 --encoders cnn14 htsat

train.py trains each encoder on the development split; the measures of benchmarks/sounds.py are computed on the validation
split. With --minutes all encoders train for the same time (with a constant learning rate, so that no schedule is cut short);
with --steps all train on the same clips (cosine schedule). Runs and captions are written to --work; the table is written to
--output after each encoder. The same command continues an interrupted comparison.
"""

import argparse
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import markdown_table, write_text
from benchmarks.sounds import HEADER, Row, caption_all, judge
from configs.commands import command_parser, run_command
from configs.loading import config_to_yaml
from configs.schema import (
    AugmentConfig,
    CaptionerConfig,
    Config,
    DataConfig,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    ProjectionConfig,
    TokenizerConfig,
    TrainingConfig,
)
from data.clotho import FileClip, load_split
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_training_state
from models.encoders.build import encoder_label

logger = logging.getLogger(__name__)
ROOT = Path(__file__).parents[1]
NO_LIMIT = 1_000_000  # steps
COSTS = ["validation loss per token", "encoder, M parameters", "captioner, M parameters", "steps", "training minutes"]
TABLE_HEADER = ["encoder", *HEADER[1:], *COSTS]
FRAMES_PER_TOKEN = 16  # for networks with 50 frames per second; the others have about 3


@dataclass(frozen=True)
class Contender:
    """An encoder of the table.

    Attributes:
        config: encoder configuration.
        pool: frames averaged into one prefix token.
        make: function (folder, scale) that writes a transformers network with random weights; None for other encoders.
    """

    config: EncoderConfig
    pool: int = 1
    make: Callable[[Path, float], None] | None = None


def contenders(scale: float) -> dict[str, Contender]:
    """Encoders with one to two million parameters, by name; `scale` multiplies their widths."""
    scratch = EncoderConfig(train_from_step=0, max_duration_s=10.0)
    hf = replace(scratch, sample_rate=16000)
    return {
        "cnn14": Contender(replace(scratch, name="cnn14", width=0.125 * scale)),
        "mobilenet": Contender(replace(scratch, name="mobilenet", width=0.4 * scale)),
        "htsat": Contender(replace(scratch, name="htsat", width=0.25 * scale, sample_rate=48000)),
        "clap": Contender(replace(scratch, name="clap", width=0.25 * scale, sample_rate=48000)),
        "ast": Contender(hf, 1, make_ast),
        "whisper": Contender(hf, FRAMES_PER_TOKEN, make_whisper),
        "wav2vec2-bert": Contender(hf, FRAMES_PER_TOKEN, make_wav2vec2_bert),
    }


def _sizes(scale: float) -> dict[str, int]:
    width = 16 * max(1, round(10 * scale))
    return {"hidden_size": width, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 4 * width}


def make_ast(folder: Path, scale: float) -> None:
    """Write an AST with 8 x 64 non-overlapping patches in a window of 10.24 s."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    ASTModel(ASTConfig(**_sizes(scale), frequency_stride=16, time_stride=16)).save_pretrained(folder)
    ASTFeatureExtractor().save_pretrained(folder)


def make_whisper(folder: Path, scale: float) -> None:
    """Write a Whisper encoder with a window of 10 s."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    sizes = _sizes(scale)
    width, layers, heads, inner = sizes.values()
    config = WhisperConfig(
        d_model=width, encoder_layers=layers, encoder_attention_heads=heads, encoder_ffn_dim=inner,
        decoder_layers=1, decoder_attention_heads=heads, decoder_ffn_dim=inner, max_source_positions=500,
        vocab_size=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    WhisperModel(config).save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=10).save_pretrained(folder)


def make_wav2vec2_bert(folder: Path, scale: float) -> None:
    """Write a wav2vec2-BERT with half the layers, since each has two feed-forward networks, attention and a convolution."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    Wav2Vec2BertModel(Wav2Vec2BertConfig(**_sizes(scale) | {"num_hidden_layers": 2})).save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)


def experiment(name: str, contender: Contender, options: argparse.Namespace) -> Config:
    """Configuration of one encoder's training; only the encoder and its pooling differ between encoders."""
    encoder = contender.config
    if contender.make:
        folder = options.work / "networks" / name
        if not (folder / "preprocessor_config.json").exists():
            torch.manual_seed(options.seed)
            contender.make(folder, options.scale)
        encoder = replace(encoder, name=f"hf:{folder}")
    steps = options.steps or NO_LIMIT
    return Config(
        captioner=CaptionerConfig(
            encoder=encoder,
            projection=ProjectionConfig(pool=contender.pool, dropout=0.2),
            decoder=DecoderConfig(num_layers=3, num_heads=4, width=192, dropout=0.1, max_positions=256),
            tokenizer=TokenizerConfig(vocab_size=1200),
        ),
        data=DataConfig(
            dataset_root=options.dataset_root,
            mixtures=options.mixtures,
            batch_size=options.batch_size,
            cache_dir=None,
            augment=AugmentConfig(time_masks=1, time_mask_share=0.15, band_masks=1, band_mask_share=0.1, gain_db=6.0),
        ),
        training=TrainingConfig(
            run_name=name,
            checkpoints_dir=str(options.work),
            seed=options.seed,
            num_steps=steps,
            max_minutes=options.minutes or 0.0,
            learning_rate=1e-3,
            encoder_learning_rate=5e-4,
            weight_decay=0.1,
            label_smoothing=0.1,
            warmup_steps=min(100, max(1, steps // 10)),
            schedule="cosine" if options.steps else "constant",
            ema_decay=0.99,
            validate_every=NO_LIMIT,
            select="last",
            max_validation_captions=20,
            keep=0,
        ),
        decoding=DecodingConfig(max_tokens=50),
    )


def train(name: str, config: Config, work: Path) -> Path:
    """Run train.py in a subprocess; returns the checkpoint.

    Raises:
        RuntimeError: it failed.
    """
    run = work / name / f"{encoder_label(config.captioner.encoder.name)}_llama"
    experiment_file = work / f"{name}.yaml"
    experiment_file.parent.mkdir(parents=True, exist_ok=True)
    experiment_file.write_text(config_to_yaml(config), encoding="utf-8")
    command = [sys.executable, str(ROOT / "train.py"), "--config", str(experiment_file)]
    if any(run.glob("step=*")):
        state = training_state(run / "last")
        out_of_time = 0 < config.training.max_minutes <= state["seconds"] / 60
        if state["step"] >= config.training.num_steps or out_of_time:
            return run / "last"
        command.append("--resume")
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        status = process.wait()
    except BaseException:  # interrupted or terminated: the training saves a checkpoint
        process.terminate()
        process.wait()
        raise
    if status != 0:
        raise RuntimeError(
            f"train.py failed for {name}: see its message above; its configuration is {experiment_file}."
        )
    return run / "last"


def training_state(checkpoint: Path) -> dict[str, Any]:
    """Training state of a checkpoint, such as its steps and seconds."""
    return read_training_state(checkpoint)


def cells(row: Row, captioner: AudioCaptioner, checkpoint: Path) -> list[str]:
    """A row of the table: the measures of benchmarks/sounds.py, the final loss, and the costs."""
    state = training_state(checkpoint)
    encoder = sum(parameter.numel() for parameter in captioner.encoder.parameters())
    whole = sum(parameter.numel() for parameter in captioner.parameters())
    loss = f"{captioner.metadata['validation']['loss']:.3f}"
    costs = [f"{encoder / 1e6:.2f}", f"{whole / 1e6:.2f}", str(state["step"]), f"{state['seconds'] / 60:.1f}"]
    return [*row.cells(), loss, *costs]


def run(options: argparse.Namespace) -> int:
    """Train and evaluate the encoders; returns the exit status."""
    options.work = options.work.resolve()
    clips: list[FileClip] = load_split(options.dataset_root, "validation", 0.0, options.seed)
    clips = clips[:: max(1, len(clips) // options.max_clips)] if options.max_clips else clips
    every = contenders(options.scale)
    rows = []
    for name in options.encoders or every:
        checkpoint = train(name, experiment(name, every[name], options), options.work)
        captioner = AudioCaptioner.from_pretrained(checkpoint)
        captions, milliseconds = caption_all(captioner, clips)
        write_text(options.work / f"{name}.json", json.dumps(captions, indent=1))
        rows.append(cells(judge(name, clips, captions, milliseconds), captioner, checkpoint))
        table = markdown_table(TABLE_HEADER, rows)
        write_text(options.output, table)
    print(table, end="")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Command line."""
    parser = command_parser("python -m benchmarks encoders", __doc__)
    parser.add_argument("--dataset_root", required=True, help="folder written by python -m data.labelled.mixtures")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="training time of each encoder, in minutes")
    budget.add_argument("--steps", type=int, help="training steps of each encoder")
    parser.add_argument(
        "--encoders", nargs="+", choices=sorted(contenders(1.0)), help="encoders to compare (default: all)"
    )
    parser.add_argument("--batch_size", type=int, default=16, help="clips per training step (default: 16)")
    parser.add_argument("--mixtures", type=int, default=1200, help="training mixtures per epoch (default: 1200)")
    parser.add_argument(
        "--max_clips", type=int, default=0, help="maximum number of validation clips, evenly spaced (default: 0, all)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor of all encoder widths, for quick trials (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/encoders"), help="folder for runs and captions (default: runs/encoders)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("benchmarks/results/encoders.md"),
        help="Markdown file to write the table to (default: benchmarks/results/encoders.md)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the training is terminated too
    return run_command(build_parser(), run, arguments, logger)

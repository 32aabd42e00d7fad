"""Train an audio captioner.

python train.py                                   # CNN14 + Llama on Clotho, configs/cnn14_llama.yaml
python train.py --config configs/sounds_small.yaml --data.batch_size 16 --resume
torchrun --nproc_per_node 2 train.py              # several devices
"""

from configs.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from jsonargparse import ArgumentParser

from configs.checks import check_config
from configs.commands import TRACEBACK_HELP, log_to_console, tell_errors
from configs.loading import build_parser as config_parser
from configs.loading import parse_config
from configs.stopping import StopSignals

logger = logging.getLogger("train")
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "cnn14_llama.yaml"
LONGEST_SAVE_S = 25.0  # after a stop signal; torchrun kills after 30


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = config_parser("Train an audio captioner on a Clotho-layout data set.")
    parser.add_argument("--resume", action="store_true", help="resume from the newest intact checkpoint of this run")
    parser.add_argument("--traceback", action="store_true", help=TRACEBACK_HELP)
    return parser


def run(arguments: Sequence[str], closing: ExitStack) -> int:
    """Train with the given arguments; return the exit status."""
    if not any(argument.split("=")[0] == "--config" for argument in arguments):
        arguments = ["--config", str(DEFAULT_CONFIG), *arguments]
    config, options = parse_config(build_parser(), arguments)
    check_config(config)
    from training.loop import fit  # the imports take seconds; --help and invalid settings do not need them
    from training.processes import restarts
    from training.trainer import Trainer

    with StopSignals(LONGEST_SAVE_S) as signals:
        trainer = Trainer(config, options.resume or restarts() > 0, signals, closing)
        fit(trainer)
    if trainer.run:
        logger.info("checkpoints: %s", trainer.run.path)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    log_to_console("--traceback" in arguments)
    with ExitStack() as closing:
        return tell_errors(lambda: run(arguments, closing), logger)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

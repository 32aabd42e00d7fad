"""Train an audio captioner.

python train.py                                   # CNN14 + Llama on Clotho, configs/cnn14_llama.yaml
python train.py --config configs/sounds_small.yaml --data.batch_size 16 --resume
torchrun --nproc_per_node 2 train.py              # several devices
"""

from configs.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from configs.checks import check_config
from configs.loading import ConfigError, build_parser, parse_config

if TYPE_CHECKING:
    from training.trainer import Trainer

logger = logging.getLogger("train")
DEFAULT_CONFIG = Path(__file__).parent / "configs" / "cnn14_llama.yaml"


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    parser = build_parser("Train an audio captioner on a Clotho-layout data set.")
    parser.add_argument("--resume", action="store_true", help="go on from the newest whole checkpoint of this run")
    if not any(argument.split("=")[0] == "--config" for argument in arguments):
        arguments = ["--config", str(DEFAULT_CONFIG), *arguments]
    trainer: Trainer | None = None
    try:
        config, options = parse_config(parser, arguments)
        check_config(config)
        from training import trainer as loop  # takes seconds, which --help and a wrong setting do without

        trainer = loop.Trainer(config, options.resume or loop.restarts() > 0)
        finished = loop.fit(trainer)
    except (ConfigError, ValueError, OSError) as error:
        logger.error("%s", error)
        return 2
    finally:
        if trainer and trainer.run:
            trainer.run.close()
    if trainer.run:
        logger.info("checkpoints: %s", trainer.run.path)
    return 0 if finished else 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What every command does: it logs to standard error and tells a user's mistake in one sentence."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
    logger: logging.Logger,
) -> int:
    """Run a command; a user's mistake is told in one sentence, with exit status 2. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except (ValueError, OSError, RuntimeError) as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130

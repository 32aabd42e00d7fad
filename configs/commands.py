"""Common behaviour of all commands: logging to standard error, and user errors in one sentence."""

import argparse
import io
import logging
import sys
from collections.abc import Callable, Sequence

from configs import __version__


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
    logger: logging.Logger,
) -> int:
    """Run a command; returns its exit status, which is 2 for user errors, reported in one sentence."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    parser.add_argument("--version", action="version", version=f"Audio Caption {__version__}")
    for stream in (sys.stdout, sys.stderr):  # names and captions of any script, on a terminal of any encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except (ValueError, OSError, RuntimeError) as error:
        logger.error("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130

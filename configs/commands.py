"""Common behaviour of all commands: logging to standard error, and user errors in one sentence."""

import argparse
import copy
import io
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from configs import __version__

TRACEBACK_HELP = "also print where in the program an error was raised"


class _Sentences(logging.Formatter):
    """Records without their tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        record.exc_info = record.exc_text = record.stack_info = None
        return super().format(record)


class LogFile(logging.FileHandler):
    """While it is entered, everything that is logged goes into a file too, every error with its traceback.

    A disk that is full costs the file alone: the console has all but the traceback.

    Args:
        path: added to, if it exists; made with the first line.
        level: of what is logged there at least.
    """

    def __init__(self, path: Path, level: int = logging.INFO) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setLevel(level)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Do not put a traceback of the file's own trouble onto the console."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            super().emit(record)
        except OSError:  # raised while the file is opened
            self.handleError(record)

    def __enter__(self) -> "LogFile":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        if isinstance(error, Exception):  # a mistake of the program, which Python itself is going to print
            info = (type(error), error, trace)
            self.handle(logging.LogRecord("", logging.CRITICAL, "", 0, "the program has a mistake", None, info))
        with suppress(OSError):  # what a full disk has not taken
            self.close()


def log_to_console(with_tracebacks: bool = False) -> None:
    """Log to standard error, errors as the sentences that they are or with their tracebacks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((logging.Formatter if with_tracebacks else _Sentences)("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def tell_errors(run: Callable[[], int], logger: logging.Logger) -> int:
    """Call `run` and return its exit status; 2 after an error of a user, or of the machine, which is logged as its sentence."""
    try:
        return run()
    except (ValueError, OSError) as error:
        logger.error("%s", error, exc_info=True)
        return 2
    except RuntimeError as error:  # a library's: out of memory, devices that differ
        what = " ".join(str(error).split()) or type(error).__name__
        logger.error("%s (--traceback shows where it was raised)", what, exc_info=True)
        return 2
    except KeyboardInterrupt:
        return 130


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
    logger: logging.Logger,
) -> int:
    """Run a command with the parser's options, --version and --traceback; returns the exit status as `tell_errors` does."""
    parser.add_argument("--version", action="version", version=f"Audio Caption {__version__}")
    parser.add_argument("--traceback", action="store_true", help=TRACEBACK_HELP)
    for stream in (sys.stdout, sys.stderr):  # names and captions of any script, on a terminal of any encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    log_to_console(options.traceback)
    return tell_errors(lambda: run(options), logger)

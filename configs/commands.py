"""Common behaviour of all commands: logging to standard error, and user errors in one sentence."""

import argparse
import copy
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from configs import __version__

TRACEBACK_HELP = "print the traceback of an error"


# No file system has a name of more than 255 characters: such a part of a path was not meant as one.
_NO_NAME = re.compile(r"[^\s/\\]{256,}")


class _Sentences(logging.Formatter):
    """Formats records without tracebacks, and with names of at most 255 characters."""

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        record.exc_info = record.exc_text = record.stack_info = None
        return _NO_NAME.sub(_shortened, super().format(record))


def _shortened(match: re.Match[str]) -> str:
    return f"{match[0][:60]}... ({len(match[0]):,} characters)"


class LogFile(logging.FileHandler):
    """Context manager that writes all log records to a file, errors with their tracebacks.

    If the file cannot be written, for example on a full disk, the console still shows all messages.

    Args:
        path: file to append to; it is created with the first record.
        level: minimum level of the records in the file.
    """

    def __init__(self, path: Path, level: int = logging.INFO) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self.setLevel(level)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Ignore errors of writing the file, which `logging` would print with a traceback."""

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
        if isinstance(error, Exception):  # an unexpected error, which Python prints itself
            info = (type(error), error, trace)
            self.handle(logging.LogRecord("", logging.CRITICAL, "", 0, "unexpected error", None, info))
        with suppress(OSError):  # the last records do not fit on a full disk
            self.close()


def log_to_console(with_tracebacks: bool = False) -> None:
    """Log to standard error.

    Args:
        with_tracebacks: whether errors are printed with their tracebacks, or only as one sentence.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((logging.Formatter if with_tracebacks else _Sentences)("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def tell_errors(run: Callable[[], int], logger: logging.Logger) -> int:
    """Call `run` and return its exit status; errors of the user or the machine are logged as one sentence and return 2."""
    try:
        return run()
    except (ValueError, OSError) as error:
        logger.error("%s", _sentence(error), exc_info=True)
        return 2
    except ModuleNotFoundError as error:
        logger.error(
            "this needs the package %s, which is not installed: run bash env.sh (--lite installs only what --engine onnx needs).",
            (error.name or str(error)).partition(".")[0],
            exc_info=True,
        )
        return 2
    except RuntimeError as error:  # raised by libraries, for example out of memory
        what = " ".join(str(error).split()) or type(error).__name__
        logger.error("%s (--traceback shows where it was raised)", what, exc_info=True)
        return 2
    except KeyboardInterrupt:
        return 130


def _sentence(error: ValueError | OSError) -> str:
    """Return the message of an error; for one of the operating system that no module has described, with its file's name."""
    if not isinstance(error, OSError) or type(error).__str__ is not OSError.__str__:
        return str(error)
    if error.filename is None:
        no_folder = str(error.strerror).startswith("No usable temporary directory")  # of the module tempfile
        return f"{error.strerror}: set TMPDIR to a writable folder." if no_folder else str(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
    return f"{name} cannot be used ({error.strerror}): check the path and its permissions, or choose another."


def command_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Create the parser of a command.

    Args:
        name: how the command is started, such as "python -m data.download".
        description: text of --help, usually the module's docstring; its line breaks are kept.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(prog=name, description=description, formatter_class=formatter)


def run_command(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], int],
    arguments: Sequence[str],
    logger: logging.Logger,
) -> int:
    """Run a command with the parser's options, --version and --traceback; returns the exit status of `tell_errors`."""
    parser.add_argument("--version", action="version", version=f"Audio Caption {__version__}")
    parser.add_argument("--traceback", action="store_true", help=TRACEBACK_HELP)
    for stream in (sys.stdout, sys.stderr):  # terminals whose encoding lacks some characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    log_to_console(options.traceback)
    return tell_errors(lambda: run(options), logger)

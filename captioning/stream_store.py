"""Write captions to stdout, a pipe or a device: in order, each as soon as the preceding ones are available."""

import contextlib
import logging
import os
import stat
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from captioning.formats.base import ColumnFinder, Layout, TableColumns
from captioning.formats.registry import text_format
from captioning.jobs import Event, Job
from captioning.order import InOrder
from captioning.pipeline import CaptionerInfo
from captioning.shown import Selection
from data.caption_formats import CaptionRecord, merge_neighbours

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 1.0  # timeout for a blocked write when the process is stopped
_STREAM_FOLDERS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
_TABLES = ("csv", "raven")  # formats whose columns depend on the first record that is not silent


class OutputError(ValueError):
    """Captions cannot be written; the message is one sentence with the path and the number of saved captions."""


class OutputClosed(Exception):  # noqa: N818 (not an error)
    """The reader closed the pipe, such as `| head`."""


def is_stream(output: Path | None) -> bool:
    """Return whether an output is stdout (None), a pipe or a device, which cannot be rewritten.

    Raises:
        OutputError: its type cannot be determined.
    """
    if output is None:
        return True
    try:
        mode = output.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"--output {output} cannot be written ({error.strerror}): choose another file.") from error
    return output.absolute().parent in _STREAM_FOLDERS or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


class StreamStore:
    """Write records in a text format.

    Args:
        output: a pipe or a device; None for stdout.
        form: name of a format that is text.
        timeline: whether records are windows with times.
        num_references: number of columns of reference captions in a table.
        compared: whether records that are not silent have similarities.
        selection: records to write.

    Attributes:
        num_records: number of records written so far.

    Raises:
        OutputError: the output is not writable.
        ValueError: the format is not a text format.
    """

    def __init__(
        self,
        output: Path | None,
        form: str,
        *,
        timeline: bool = False,
        num_references: int = 0,
        compared: bool = False,
        selection: Selection | None = None,
    ) -> None:
        self._layout = Layout(timeline, TableColumns(num_references))
        self._format = text_format(form, self._layout)
        self._selection = selection or Selection()
        self._compared, self._finder = compared, ColumnFinder()
        self._columns_known = form not in _TABLES
        self._head_written = False
        self.num_records = self._num_omitted = 0
        self._order = InOrder()
        self._waiting: list[CaptionRecord] = []
        self._lock = threading.Lock()
        self._name = "stdout" if output is None else str(output)
        try:
            self._stream = sys.stdout if output is None else output.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise OutputError(
                f"--output {output} cannot be written ({error.strerror}): choose another file."
            ) from error

    def begin(self, info: CaptionerInfo) -> None:
        """Called once the captioner is loaded."""
        self._layout.max_frequency_hz = info.sample_rate / 2

    def pending(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return all jobs: nothing is captioned in advance."""
        return jobs

    def take(self, events: Sequence[Event]) -> None:
        """Write the records that are next in order.

        Raises:
            OutputError: no space, or an input/output error.
            OutputClosed: the reader closed the pipe.
        """
        with self._lock:
            self._add(self._order.take(events))

    def finish(self) -> None:
        """Write the remaining records after the last recording."""
        with self._lock:
            self._add([], all_of_them=True)
            if self._stream is not sys.stdout:
                self._stream.close()
        if omitted := self._selection.omitted_notice(self._num_omitted):
            logger.info("captions are in %s%s.", self._name, omitted)

    def keep(self) -> str:
        """Write waiting records before the process ends and return a sentence with the number written."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_S):  # the lock is kept
            return f"{self.num_records} captions were written before the output was blocked"
        return self._keep()

    def __enter__(self) -> "StreamStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, OutputError | OutputClosed):
            with self._lock:
                self._keep()

    def _keep(self) -> str:
        with contextlib.suppress(OutputError, OutputClosed):
            self._add(self._order.rest(), all_of_them=True, with_head=False)
        if not self.num_records:
            return "nothing was captioned yet"
        return f"{'1 caption is' if self.num_records == 1 else f'{self.num_records} captions are'} in {self._name}"

    def _add(self, records: Iterable[CaptionRecord], all_of_them: bool = False, with_head: bool = True) -> None:
        records = list(records)
        self._num_omitted += self._selection.num_omitted(records)
        new = [record for record in records if self._selection.is_probable(record)]
        for record in new:
            self._finder.see(record)
        waiting = [*self._waiting, *new]
        if self._selection.merge_gap_s is not None:
            waiting = merge_neighbours(waiting, self._selection.merge_gap_s)
        if not self._columns_known:
            found = self._finder.columns
            found.num_references = self._layout.columns.num_references
            self._layout.columns = found
            self._columns_known = found.similarity or (not self._compared and self._finder.num_audible > 0)
        number = len(waiting) if self._columns_known or all_of_them else 0
        if self._selection.merge_gap_s is not None and number and not all_of_them:
            number -= 1  # the next window may have the same caption
        pieces = [] if self._head_written or not (number or (all_of_them and with_head)) else [self._format.head()]
        self._head_written |= bool(pieces)
        pieces += [self._format.piece(record, self.num_records + 1 + at) for at, record in enumerate(waiting[:number])]
        self._write(pieces)
        self.num_records += number
        self._waiting = waiting[number:]

    def _write(self, pieces: Sequence[str]) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            for piece in pieces:
                self._stream.write(piece.encode(encoding, "backslashreplace").decode(encoding))
            if pieces:
                self._stream.flush()
        except BrokenPipeError as error:
            self._drop_buffer()
            raise OutputClosed from error
        except OSError as error:
            self._drop_buffer()
            kept = "1 caption is" if self.num_records == 1 else f"{self.num_records or 'no'} captions are"
            raise OutputError(
                f"{self._name} cannot be written any further ({error.strerror}): {kept} kept there."
            ) from error

    def _drop_buffer(self) -> None:
        """Discard Python's buffer, which would otherwise be flushed at exit and raise an error."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

"""A table of captions without a manifest, as written by `evaluate.py`: each caption is written to disk immediately.

A file is written as `NAME.part` and renamed at the end, so that a file with its final name is complete. Captions that
arrive out of order are also in `NAME.part`, and are moved to their place once the preceding ones have arrived.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from captioning.formats.base import Layout, TableColumns
from captioning.formats.registry import text_format
from configs.atomic_files import open_locked, sync
from data.caption_formats import SILENCE, CaptionRecord, merge_neighbours

logger = logging.getLogger(__name__)

PART_SUFFIX = ".part"
_LONGEST_WAIT_S = 1.0  # timeout for a blocked write when the process is stopped


class OutputError(ValueError):
    """Captions cannot be written; the message is one sentence with the path and the number of saved captions."""


class CaptionOutput:
    """A file of records in a text format.

    Used as a context manager: a normal exit completes the file; an exception logs where the captions so far are.

    Args:
        output: file to write.
        form: one of FORMATS.
        timeline: whether records are windows: times are written, and adjacent windows with equal captions are merged.
        num_references: number of columns of reference captions in a CSV table.
        compared: whether records that are not silent have similarities.

    Raises:
        OutputError: the path is not writable.
    """

    def __init__(
        self,
        output: Path,
        form: str,
        *,
        timeline: bool = False,
        num_references: int = 0,
        compared: bool = False,
    ) -> None:
        self._layout = Layout(timeline, TableColumns(num_references))
        self._format = text_format(form, self._layout)
        self._merged, self._compared = timeline, compared
        self._columns_known = form not in ("csv", "raven")
        self._head_written = False
        self._num_settled = 0
        self._waiting: list[CaptionRecord] = []  # in order; may still be merged
        self._ahead: list[CaptionRecord] = []  # out of order: preceding records are missing
        self._finished = False
        self._lock = threading.Lock()
        self._sink = PartFile(output)

    @property
    def num_records(self) -> int:
        """Number of records written so far."""
        return self._num_settled + len(self._waiting) + len(self._ahead)

    def add(self, ready: Sequence[CaptionRecord], ahead: Sequence[CaptionRecord] = ()) -> None:
        """Write records.

        Args:
            ready: the next records, in order.
            ahead: all records after a gap; they are passed again once the gap is filled.

        Raises:
            OutputError: the disk is full, or the file is no longer writable.
        """
        with self._lock:
            waiting = [*self._waiting, *ready]
            if self._merged:
                waiting = merge_neighbours(waiting)
            self._choose_columns([*waiting, *ahead])
            num_settled = len(waiting) if self._columns_known else 0
            if self._merged and num_settled:
                num_settled -= 1  # the next window may have the same caption
            self._write(waiting, num_settled, ahead)

    def finish(self) -> None:
        """Write the last records and rename the file to its final name."""
        with self._lock:
            if not self._finished:
                self._write(self._waiting, len(self._waiting), self._ahead)
                self._sink.finish()
                self._finished = True

    def keep(self) -> str:
        """Save the records before the process ends and return a sentence with their path; no records can be added afterwards."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_S):  # the lock is kept
            return f"{self.num_records} captions were written before the output was blocked"
        return self._keep()

    def __enter__(self) -> "CaptionOutput":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif not self._finished:
            with self._lock:
                message = self._keep()
            if self.num_records and not isinstance(error, OutputError):
                logger.warning("not finished: %s.", message)

    def _keep(self) -> str:
        return self._sink.stop(self.num_records)

    def _choose_columns(self, records: Sequence[CaptionRecord]) -> None:
        """Choose the columns of a table from the first record that is not silent."""
        if self._columns_known:
            return
        found = TableColumns.of(records)
        found.num_references = self._layout.columns.num_references
        self._layout.columns = found
        self._columns_known = found.similarity or (
            not self._compared and any(record.captions != SILENCE for record in records)
        )

    def _write(self, waiting: Sequence[CaptionRecord], num_settled: int, ahead: Sequence[CaptionRecord]) -> None:
        """Write the waiting records; the first `num_settled` of them are final."""
        shown = [*waiting[num_settled:], *ahead]
        shown = [*waiting[:num_settled], *(merge_neighbours(shown) if self._merged else shown)]
        pieces = [self._format.piece(record, number) for number, record in enumerate(shown, self._num_settled + 1)]
        settled, rest = pieces[:num_settled], pieces[num_settled:]
        head = [] if self._head_written else [self._format.head()]
        settles_head = bool(head) and (bool(settled) or not pieces)
        try:
            self._sink.write(head + settled if settles_head else settled, rest if settles_head else head + rest)
        except WriteError as error:
            kept = max(0, error.num_pieces - len(head)) + self._num_settled
            self._waiting, self._ahead, self._num_settled = [], [], kept
            raise OutputError(f"{error}: {_count(kept)} kept there.") from error
        self._head_written |= settles_head
        self._num_settled += num_settled
        self._waiting, self._ahead = list(waiting[num_settled:]), list(ahead)


class WriteError(Exception):
    """A write failed after `num_pieces` complete pieces."""

    def __init__(self, message: str, num_pieces: int) -> None:
        super().__init__(message)
        self.num_pieces = num_pieces


class PartFile:
    """The file `NAME.part`, renamed to `NAME` at the end and locked against other runs.

    Args:
        path: final path. Its folder is created.

    Raises:
        OutputError: it is not writable.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(path.name + PART_SUFFIX)
        self._settled = 0  # number of final bytes
        if path.is_dir():
            raise OutputError(f"--output {path} is a folder: name a file.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
        except OSError as error:
            raise OutputError(f"--output {path} cannot be written ({error.strerror}): choose another file.") from error

    def _open(self) -> int:
        if self.part.is_dir():
            raise OutputError(f"--output {self.path} cannot be written: {self.part} is a folder.")
        file = self._locked()
        if os.fstat(file).st_size:  # keep the captions of a killed run
            number = 1
            while (kept := self.part.with_name(f"{self.part.name}.{number}")).exists():
                number += 1
            os.rename(self.part, kept)
            os.close(file)
            logger.warning("captions of a run that did not finish are now in %s.", kept)
            file = self._locked()
        return file

    def _locked(self) -> int:
        file = open_locked(self.part)
        if file is None:
            raise OutputError(f"another run is writing {self.part}: choose another --output.")
        return file

    def write(self, settled: Sequence[str], rest: Sequence[str]) -> None:
        """Append `settled` to the final part; `rest` replaces the rest of the previous call."""
        pieces = [piece.encode("utf-8", "backslashreplace") for piece in (*settled, *rest)]
        content = memoryview(b"".join(pieces))
        done = 0
        try:
            os.lseek(self._file, self._settled, os.SEEK_SET)
            while done < len(content):
                done += os.write(self._file, content[done:])
            os.ftruncate(self._file, self._settled + len(content))
            os.fsync(self._file)
        except OSError as error:
            num_pieces = whole = 0
            while num_pieces < len(pieces) and whole + len(pieces[num_pieces]) <= done:
                whole += len(pieces[num_pieces])
                num_pieces += 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._settled + whole)
            raise WriteError(f"{self.part} cannot be written any further ({error.strerror})", num_pieces) from error
        self._settled += sum(map(len, pieces[: len(settled)]))

    def finish(self) -> None:
        """Rename the file to its final name."""
        try:
            os.close(self._file)  # Windows cannot rename an open file
            os.replace(self.part, self.path)
        except OSError as error:
            raise OutputError(
                f"all captions are in {self.part}, which cannot be renamed ({error.strerror}): rename it."
            ) from error
        with contextlib.suppress(OSError):  # some file systems cannot sync folders
            sync(self.path.parent)

    def stop(self, num_records: int) -> str:
        """Save what is written and return a sentence with its path."""
        if not self.part.exists():
            return f"{_count(num_records)} in {self.path}"
        if not num_records:
            self.part.unlink(missing_ok=True)
            return "nothing was captioned yet"
        return f"{_count(num_records)} in {self.part}, and {self.path.name} was not written"


def _count(num_records: int) -> str:
    return "1 caption is" if num_records == 1 else f"{num_records or 'no'} captions are"

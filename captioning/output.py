"""One table of captions without a manifest, as `evaluate.py` writes it: each caption is on the disk at once.

A file is written as `NAME.part` beside its final name and renamed when all is done, so that a file with its final name is
whole. Captions that are known before those in front of them stand in `NAME.part` too, and are moved to their place once
the others are there.
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
_LONGEST_WAIT_S = 1.0  # for a write that hangs, when the process is to end


class OutputError(ValueError):
    """Captions cannot be written; the message is one sentence that says where and what is kept."""


class CaptionOutput:
    """A file to which records go in a text format.

    Leaving it without an error makes the file whole; leaving it with one says where the captions so far are.

    Args:
        output: file to write.
        form: one of FORMATS.
        timeline: records are windows: times are shown, and neighbours that say the same become one.
        num_references: columns of ground truths in a CSV table.
        compared: records of sounds have similarities.

    Raises:
        OutputError: nothing can be written there.
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
        self._waiting: list[CaptionRecord] = []  # in order, may still change
        self._ahead: list[CaptionRecord] = []  # others before them are missing
        self._finished = False
        self._lock = threading.Lock()
        self._sink = PartFile(output)

    @property
    def num_records(self) -> int:
        """Records written so far."""
        return self._num_settled + len(self._waiting) + len(self._ahead)

    def add(self, ready: Sequence[CaptionRecord], ahead: Sequence[CaptionRecord] = ()) -> None:
        """Write records.

        Args:
            ready: the next ones in their order.
            ahead: all that are known beyond a gap; they come again when the gap is filled.

        Raises:
            OutputError: the disk is full, or the file cannot be written any more.
        """
        with self._lock:
            waiting = [*self._waiting, *ready]
            if self._merged:
                waiting = merge_neighbours(waiting)
            self._choose_columns([*waiting, *ahead])
            num_settled = len(waiting) if self._columns_known else 0
            if self._merged and num_settled:
                num_settled -= 1  # the next window may say the same
            self._write(waiting, num_settled, ahead)

    def finish(self) -> None:
        """All records were added: settle the last ones and give the file its name."""
        with self._lock:
            if not self._finished:
                self._write(self._waiting, len(self._waiting), self._ahead)
                self._sink.finish()
                self._finished = True

    def keep(self) -> str:
        """Keep what is done, because the process is about to end, and say where it is; nothing can be added afterwards."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_S):  # and it stays locked
            return f"{self.num_records} captions were done when the output got stuck"
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
                kept = self._keep()
            if self.num_records and not isinstance(error, OutputError):
                logger.warning("not finished: %s.", kept)

    def _keep(self) -> str:
        return self._sink.stop(self.num_records)

    def _choose_columns(self, records: Sequence[CaptionRecord]) -> None:
        """Columns of a table are known with the first record that is not silent."""
        if self._columns_known:
            return
        found = TableColumns.of(records)
        found.num_references = self._layout.columns.num_references
        self._layout.columns = found
        self._columns_known = found.similarity or (
            not self._compared and any(record.captions != SILENCE for record in records)
        )

    def _write(self, waiting: Sequence[CaptionRecord], num_settled: int, ahead: Sequence[CaptionRecord]) -> None:
        """Settle the first `num_settled` of the waiting records."""
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
            raise OutputError(f"{error}: {_told(kept)} kept there.") from error
        self._head_written |= settles_head
        self._num_settled += num_settled
        self._waiting, self._ahead = list(waiting[num_settled:]), list(ahead)


class WriteError(Exception):
    """So many of the pieces were written whole."""

    def __init__(self, message: str, num_pieces: int) -> None:
        super().__init__(message)
        self.num_pieces = num_pieces


class PartFile:
    """`NAME.part`, which becomes `NAME` at the end; one run at a time writes it.

    Args:
        path: its final name. Its folder is made.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.part = path, path.with_name(path.name + PART_SUFFIX)
        self._settled = 0  # bytes that stay
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
        if os.fstat(file).st_size:  # of a run that was killed: whoever starts it again may still want them
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
        """Add `settled` behind what was settled before; `rest` replaces the rest of the last time."""
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
        """All is settled: give the file its name."""
        try:
            os.close(self._file)  # Windows renames no open file
            os.replace(self.part, self.path)
        except OSError as error:
            raise OutputError(
                f"all captions are in {self.part}, which cannot be renamed ({error.strerror}): rename it."
            ) from error
        with contextlib.suppress(OSError):  # a file system whose folders cannot be synced
            sync(self.path.parent)

    def stop(self, num_records: int) -> str:
        """Keep what is written and say where it is; the process may end now."""
        if not self.part.exists():
            return f"{_told(num_records)} in {self.path}"
        if not num_records:
            self.part.unlink(missing_ok=True)
            return "nothing was captioned yet"
        return f"{_told(num_records)} in {self.part}, and {self.path.name} was not written"


def _told(num_records: int) -> str:
    return "1 caption is" if num_records == 1 else f"{num_records or 'no'} captions are"

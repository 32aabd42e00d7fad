"""Queue of files to caption, processed one at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ui.store.documents import Document


class Status(Enum):
    """Status of a file of the queue."""

    WAITING = "waiting"
    WORKING = "captioning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OPEN = (Status.WAITING, Status.WORKING)


@dataclass
class QueueItem:
    """Entry of the queue.

    Attributes:
        document: document of the file.
        status: status of the file.
        share: captioned fraction, 0 to 1.
        message: error message if it failed, else empty.
    """

    document: Document
    status: Status = Status.WAITING
    share: float = 0.0
    message: str = ""

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.document.path)


class CaptionQueue:
    """Queue of files with status, progress and estimated remaining time.

    Args:
        clock: monotonic clock, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = 0.0
        self._run: list[QueueItem] = []  # items of the current run, including items removed since
        self.items: list[QueueItem] = []

    def add(self, documents: Sequence[Document]) -> None:
        """Append files that are not in the queue yet; cancelled files are queued again."""
        there = {item.document.key: item for item in self.items}
        added = []
        for document in documents:
            item = there.get(document.key)
            if item is None:
                item = there[document.key] = QueueItem(document)
                added.append(item)
            elif item.status not in _OPEN:
                item.status, item.message, item.share = Status.WAITING, "", 0.0
        self.items += added
        if any(item.status in _OPEN for item in self._run):  # it is captioned in the current run
            self._run += added

    def begin(self) -> None:
        """Start a run; progress and remaining time cover the waiting files and files added during the run.

        Failed and cancelled files are queued again.
        """
        for item in self.items:
            if item.status in (Status.FAILED, Status.CANCELLED):
                item.status, item.message, item.share = Status.WAITING, "", 0.0
        self._started = self._clock()
        self._run = [item for item in self.items if item.status is Status.WAITING]

    def next(self) -> QueueItem | None:
        """Start the first waiting file; returns None if there is none or a file is being captioned."""
        if self.working is not None:
            return None
        item = next((item for item in self.items if item.status is Status.WAITING), None)
        if item is not None:
            item.status = Status.WORKING
        return item

    @property
    def working(self) -> QueueItem | None:
        """File being captioned, or None."""
        return next((item for item in self.items if item.status is Status.WORKING), None)

    @property
    def share(self) -> float:
        """Completed fraction of the current run, 0 to 1; all files have equal weight."""
        if not self._run:
            return 0.0
        return sum(item.share if item.status in _OPEN else 1.0 for item in self._run) / len(self._run)

    @property
    def time_left_s(self) -> float | None:
        """Estimated remaining time of the run, seconds; None while it is unknown."""
        share, spent = self.share, self._clock() - self._started
        return spent * (1 - share) / share if share >= 0.02 and spent >= 1 else None

    def cancel(self) -> None:
        """Cancel waiting files and the file being captioned."""
        for item in self.items:
            if item.status in _OPEN:
                item.status = Status.CANCELLED

    def clear(self) -> None:
        """Remove finished files from the queue."""
        self.items = [item for item in self.items if item.status in _OPEN]

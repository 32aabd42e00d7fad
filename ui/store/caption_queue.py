"""Files that wait for their captions, one worked on at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ui.store.documents import Document


class Status(Enum):
    """Where a file of the queue stands."""

    WAITING = "waiting"
    WORKING = "captioning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OPEN = (Status.WAITING, Status.WORKING)


@dataclass
class QueueItem:
    """A file of the queue.

    Attributes:
        document: the file and its captions.
        status: where it stands.
        share: how much of it is captioned, 0 to 1.
        message: why it failed.
    """

    document: Document
    status: Status = Status.WAITING
    share: float = 0.0
    message: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.document.path)


class CaptionQueue:
    """Order, status, percentage and time left of several files.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = 0.0
        self._run: list[QueueItem] = []  # what the present run captions, also what was forgotten meanwhile
        self.items: list[QueueItem] = []

    def add(self, documents: Sequence[Document]) -> None:
        """Put files at the end, but none that is there already; those that were given up wait again."""
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
        if any(item.status in _OPEN for item in self._run):  # it is captioned in the run that is under way
            self._run += added

    def begin(self) -> None:
        """Start a run: percentage and time left are of what waits now, and of what is added meanwhile.

        Files that failed or were cancelled are tried again.
        """
        for item in self.items:
            if item.status in (Status.FAILED, Status.CANCELLED):
                item.status, item.message, item.share = Status.WAITING, "", 0.0
        self._started = self._clock()
        self._run = [item for item in self.items if item.status is Status.WAITING]

    def next(self) -> QueueItem | None:
        """Start the first file that waits; None if none does, or one is under way."""
        if self.working is not None:
            return None
        item = next((item for item in self.items if item.status is Status.WAITING), None)
        if item is not None:
            item.status = Status.WORKING
        return item

    @property
    def working(self) -> QueueItem | None:
        """The file under way."""
        return next((item for item in self.items if item.status is Status.WORKING), None)

    @property
    def share(self) -> float:
        """How much of the present run is done, 0 to 1; files count alike."""
        if not self._run:
            return 0.0
        return sum(item.share if item.status in _OPEN else 1.0 for item in self._run) / len(self._run)

    @property
    def time_left_s(self) -> float | None:
        """Seconds that the rest of the run may take, at the pace so far; None while that cannot be said."""
        share, spent = self.share, self._clock() - self._started
        return spent * (1 - share) / share if share >= 0.02 and spent >= 1 else None

    def cancel(self) -> None:
        """Give up what waits and what is under way."""
        for item in self.items:
            if item.status in _OPEN:
                item.status = Status.CANCELLED

    def clear(self) -> None:
        """Forget what has ended."""
        self.items = [item for item in self.items if item.status in _OPEN]

"""Files that wait for their captions, one worked on at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from data.caption_formats import CaptionRecord


class Status(Enum):
    """Where a file of the queue stands."""

    WAITING = "waiting"
    WORKING = "captioning"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class QueueItem:
    """A file of the queue.

    Attributes:
        path: the file.
        status: where it stands.
        share: how much of it is captioned, 0 to 1.
        message: why it failed.
        records: its captions.
    """

    path: Path
    status: Status = Status.WAITING
    share: float = 0.0
    message: str = ""
    records: list[CaptionRecord] = field(default_factory=list)


class CaptionQueue:
    """Order, status, percentage and time left of several files.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = 0.0
        self._first = 0  # the first item of the present run
        self.items: list[QueueItem] = []

    def add(self, paths: Sequence[Path]) -> None:
        """Put files at the end, but none that waits already."""
        waiting = {item.path for item in self.items if item.status in (Status.WAITING, Status.WORKING)}
        if not waiting:
            self._started, self._first = self._clock(), len(self.items)
        self.items += [QueueItem(path) for path in dict.fromkeys(paths) if path not in waiting]

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
        run = self.items[self._first :]
        if not run:
            return 0.0
        ended = (Status.DONE, Status.FAILED, Status.CANCELLED)
        return sum(1.0 if item.status in ended else item.share for item in run) / len(run)

    @property
    def time_left_s(self) -> float | None:
        """Seconds that the rest of the run may take, at the pace so far; None while that cannot be said."""
        share, spent = self.share, self._clock() - self._started
        return spent * (1 - share) / share if share >= 0.02 and spent >= 1 else None

    def cancel(self) -> None:
        """Give up what waits and what is under way."""
        for item in self.items:
            if item.status in (Status.WAITING, Status.WORKING):
                item.status = Status.CANCELLED

    def clear(self) -> None:
        """Forget what has ended."""
        self.items = [item for item in self.items if item.status in (Status.WAITING, Status.WORKING)]
        self._first = 0

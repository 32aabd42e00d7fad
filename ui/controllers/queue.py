"""Connects the file queue with the captioner."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PyQt6.QtCore import QObject

from ui.controllers.captions import CaptionController, Job
from ui.controllers.session import Session
from ui.store.caption_queue import CaptionQueue, QueueItem, Status
from ui.widgets.numbers import minutes_seconds, per_cent
from ui.widgets.tabs import FILES


class QueueController(QObject):
    """Captions the queued files one after another.

    Args:
        session: state shared by all controllers.
        captions: captions recordings.
    """

    def __init__(self, session: Session, captions: CaptionController) -> None:
        super().__init__()
        self._session, self._captions = session, captions
        self._window, self._history = session.window, session.history
        self.files = CaptionQueue()
        self._job: Job | None = None
        self._cleared: list[QueueItem] = []
        panel = self._window.queue
        panel.run_clicked.connect(self.run)
        panel.cancel_clicked.connect(captions.cancel)
        panel.clear_clicked.connect(self.clear)
        captions.progressed.connect(self._on_progress)
        captions.ended.connect(self._on_ended)

    def add(self, paths: Sequence[Path]) -> None:
        """Add files to the queue."""
        self.files.add([self._history.of(str(path)) for path in paths])
        self._window.tabs.show_tab(FILES)
        self._show()
        self._window.set_status(f"{len(paths)} files were added: press Caption All.")

    def run(self) -> None:
        """Caption the files that are waiting, cancelled or failed, one after another."""
        self.files.begin()
        self._next()

    def clear(self) -> None:
        """Remove finished files from the queue; their captions stay in the history. Can be undone."""
        before = list(self.files.items)
        self.files.clear()
        self._show()
        gone = len(before) - len(self.files.items)
        if gone:
            self._window.offer(f"{gone} files were removed from the list; their captions stay in the history.", "Undo",
                               lambda: self._put_back(before))  # fmt: skip

    def _put_back(self, items: list[QueueItem]) -> None:
        self.files.items = items + [item for item in self.files.items if item not in items]
        self._show()

    def _next(self) -> None:
        item = self.files.next()
        if item is not None:
            self._job = Job(item.document)
            self._show()
            self._window.queue.follow(self.files.items.index(item))
            self._captions.add(self._job)
        self._show()

    def _on_progress(self, job: Job, share: float) -> None:
        item = self.files.working
        if job is self._job and item is not None:
            item.share = share
            self._show()
            self._window.controls.set_share(self.files.share, self.files.time_left_s)

    def _on_ended(self, job: Job, status: Status, sentence: str) -> None:
        item = self.files.working
        if job is not self._job or item is None:
            return
        self._job = None
        item.status, item.message = status, sentence
        if status is Status.CANCELLED:
            self.files.cancel()
            self._show()
        else:
            self._next()

    def _show(self) -> None:
        items = self.files.items
        counts = Counter(item.status for item in items)
        left = self.files.time_left_s if self.files.working is not None else None
        summary = f"{counts[Status.DONE]} of {len(items)} done" if items else ""
        for status in (Status.FAILED, Status.CANCELLED):
            summary += f", {counts[status]} {status.value}" if counts[status] else ""
        if left is not None:
            summary += f", {per_cent(self.files.share)}, about {minutes_seconds(left + 0.999)} left"
        self._window.queue.set_items(items, summary)
        waiting = sum(counts[status] for status in (Status.WAITING, Status.FAILED, Status.CANCELLED))
        self._session.update(num_waiting=waiting)

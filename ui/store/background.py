"""Writing of files beside the window's thread, which a sync to a busy disk would block for up to seconds."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

logger = logging.getLogger(__name__)
Run = Callable[[Callable[[], None]], None]


def run_now(task: Callable[[], None]) -> None:
    """Run a task in the calling thread."""
    task()


class Background:
    """Runs tasks in the order given, on one thread of its own; after `close`, in the calling thread."""

    def __init__(self) -> None:
        self._executor: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="writing")

    def run(self, task: Callable[[], None]) -> None:
        """Queue a task, which handles its own foreseeable errors; others are logged."""
        if self._executor is None:
            task()
        else:
            self._executor.submit(task).add_done_callback(_report)

    def flush(self) -> None:
        """Wait until all tasks queued so far have run."""
        if self._executor is not None:
            self._executor.submit(lambda: None).result()

    def close(self) -> None:
        """Run the queued tasks and end the thread."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()


def _report(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        logger.error("a file could not be written", exc_info=error)

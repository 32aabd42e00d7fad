"""A temporary file of names listed by a thread, so that captioning starts immediately and the total is soon known."""

import threading
from collections.abc import Iterable, Iterator

from captioning.temporary import TemporaryBytes, TemporaryFileError

_AT_ONCE = 4096  # bytes read at once


class Spool:
    """Byte strings of an iterable, consumed by a thread and stored in a temporary file.

    Args:
        items: byte strings without the byte 0.

    Attributes:
        num_listed: number of items so far.
        finished: whether the iterable is exhausted.

    Raises:
        TemporaryFileError: the temporary file cannot be made; if it cannot be written later, `wait` and the iterator raise it.
    """

    def __init__(self, items: Iterable[bytes]) -> None:
        self.num_listed, self.finished = 0, False
        self._file = TemporaryBytes()
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._list, args=(items,), name="listing", daemon=True).start()

    def wait(self, number: int) -> int:
        """Wait until `number` items, or all, are listed; return how many are listed.

        Raises:
            Exception: the exception raised by the iterable, if it ended early.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.num_listed >= number or self.finished)
            if self._error is not None and self.num_listed < number:
                raise self._error
            return self.num_listed

    def __iter__(self) -> Iterator[bytes]:
        """Yield all items in order, as they are listed.

        Raises:
            Exception: the exception raised by the iterable, after the items before it.
        """
        place, rest = 0, b""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._file.size > place or self.finished)  # noqa: B023 (called before it changes)
                part = self._file.read(place, min(_AT_ONCE, self._file.size - place))
            if not part:
                break
            place += len(part)
            *items, rest = (rest + part).split(b"\0")
            yield from items
        if self._error is not None:
            raise self._error

    def _list(self, items: Iterable[bytes]) -> None:
        waiting: list[bytes] = []
        try:
            for item in items:
                waiting.append(item)
                if len(waiting) >= 256 or self.num_listed < 256:
                    self._write(waiting)
                    waiting = []
        except BaseException as error:  # raised again in the consumer
            self._error = error
        finally:
            try:
                self._write(waiting)
            except TemporaryFileError as error:
                self._error = self._error or error
            with self._changed:
                self.finished = True
                self._changed.notify_all()

    def _write(self, items: list[bytes]) -> None:
        content = b"".join(item + b"\0" for item in items)
        with self._changed:
            self._file.append(content)
            self.num_listed += len(items)
            self._changed.notify_all()

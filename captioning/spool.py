"""Names that a thread lists ahead, in a temporary file: captioning begins at once, and the total is known soon."""

import tempfile
import threading
from collections.abc import Iterable, Iterator

_AT_ONCE = 4096  # bytes read back


class Spool:
    """Byte strings of an iterable, taken as fast as it gives them and kept on disk.

    Args:
        items: without the byte 0; iterated by a thread of this object's own.

    Attributes:
        num_listed: items so far.
        finished: whether these are all.
    """

    def __init__(self, items: Iterable[bytes]) -> None:
        self.num_listed, self.finished = 0, False
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as this is)
        self._size = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._list, args=(items,), name="listing", daemon=True).start()

    def wait(self, number: int) -> int:
        """Wait until so many items, or all, are listed; returns how many there are.

        Raises:
            Exception: what the iterable raised, if that is why there are no more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.num_listed >= number or self.finished)
            if self._error is not None and self.num_listed < number:
                raise self._error
            return self.num_listed

    def __iter__(self) -> Iterator[bytes]:
        """All items in their order, as they become known.

        Raises:
            Exception: what the iterable raised, after the items before.
        """
        place, rest = 0, b""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._size > place or self.finished)  # noqa: B023 (called before it changes)
                part = b""
                if self._size > place:
                    self._file.seek(place)
                    part = self._file.read(min(_AT_ONCE, self._size - place))
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
        except BaseException as error:  # told to whoever asks for the items
            self._error = error
        finally:
            try:
                self._write(waiting)
            except OSError as error:
                self._error = self._error or error
            with self._changed:
                self.finished = True
                self._changed.notify_all()

    def _write(self, items: list[bytes]) -> None:
        content = b"".join(item + b"\0" for item in items)
        with self._changed:
            self._file.seek(self._size)
            self._file.write(content)
            self._size += len(content)
            self.num_listed += len(items)
            self._changed.notify_all()

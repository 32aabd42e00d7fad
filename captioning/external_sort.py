"""Sorting of more names than fit in memory: sorted runs go to a temporary file and are merged."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

RUN_LENGTH = 200_000  # names sorted in memory at once
_READ_AT_ONCE = 1000


def sorted_bytes(items: Iterable[bytes], run_length: int = RUN_LENGTH) -> Iterator[bytes]:
    """Return items in ascending order.

    The iterable is consumed before this returns; at most `run_length` items are in memory at a time.

    Args:
        items: byte strings, each shorter than 65,536 bytes.
        run_length: number of items sorted in memory at once.

    Raises:
        OSError: no space for the temporary file.
    """
    rest = iter(items)
    run = sorted(islice(rest, run_length))
    if len(run) < run_length:
        return iter(run)
    file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as its items are read)
    spans = []
    while run:
        start = file.tell()
        file.writelines(len(item).to_bytes(2, "big") + item for item in run)
        spans.append((start, file.tell()))
        run = sorted(islice(rest, run_length))
    return heapq.merge(*(_read(file, start, end) for start, end in spans))


def _read(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the items between two offsets of a file that has several readers."""
    while start < end:
        file.seek(start)
        part: list[bytes] = []
        while start < end and len(part) < _READ_AT_ONCE:
            length = int.from_bytes(file.read(2), "big")
            part.append(file.read(length))
            start += 2 + length
        yield from part

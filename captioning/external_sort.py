"""Sorting of more names than fit in memory: sorted runs go to a temporary file and are merged."""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

from captioning.temporary import TemporaryBytes

RUN_LENGTH = 200_000  # names sorted in memory at once
_READ_AT_ONCE = 65_536  # bytes


def sorted_bytes(items: Iterable[bytes], run_length: int = RUN_LENGTH) -> Iterator[bytes]:
    """Return items in ascending order.

    The iterable is consumed before this returns; at most `run_length` items are in memory at a time.

    Args:
        items: byte strings, each shorter than 65,536 bytes.
        run_length: number of items sorted in memory at once.

    Raises:
        TemporaryFileError: no space for the temporary file.
    """
    rest = iter(items)
    run = sorted(islice(rest, run_length))
    if len(run) < run_length:
        return iter(run)
    file = TemporaryBytes()
    spans = []
    while run:
        start = file.size
        file.append(b"".join(len(item).to_bytes(2, "big") + item for item in run))
        spans.append((start, file.size))
        run = sorted(islice(rest, run_length))
    return heapq.merge(*(_read(file, start, end) for start, end in spans))


def _read(file: TemporaryBytes, start: int, end: int) -> Iterator[bytes]:
    """Yield the items between two offsets of a file that has several readers."""
    part, place = b"", 0
    while True:
        if len(part) < place + 2 or len(part) < place + 2 + int.from_bytes(part[place : place + 2], "big"):
            if start == end:
                return
            part, place = part[place:] + file.read(start, min(_READ_AT_ONCE, end - start)), 0
            start = min(end, start + _READ_AT_ONCE)
            continue
        length = int.from_bytes(part[place : place + 2], "big")
        yield part[place + 2 : place + 2 + length]
        place += 2 + length

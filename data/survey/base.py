"""The result of a survey, and helpers to read binary structures."""

from dataclasses import dataclass, field
from typing import BinaryIO

CACHE_BYTES = 1 << 18


@dataclass(frozen=True)
class Survey:
    """Properties of a file, from its structure.

    Attributes:
        duration_s: duration in seconds; None if it must be decoded.
        held_samples: number of samples per channel in the file, including codec padding; None if unknown.
        promised_samples: number of samples per channel declared by the header; None if there is none.
        cut: a clause about data missing at the end; empty for a complete file.
        unclosed: whether only the end marker is missing.
        patches: offset and bytes to be read in place of a wrong size in the file.
        by_ffmpeg: whether libsndfile would stop before the end.
        links: first byte and end of each of several Ogg streams of different rates or channels, which no decoder here
            follows; else empty.
    """

    duration_s: float | None = None
    held_samples: int | None = None
    promised_samples: int | None = None
    cut: str = ""
    unclosed: bool = False
    patches: dict[int, bytes] = field(default_factory=dict)
    by_ffmpeg: bool = False
    links: tuple[tuple[int, int], ...] = ()


class Bytes:
    """A file's bytes at any place, read in pieces of some size."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self._start, self._cache = 0, b""

    def at(self, offset: int, count: int) -> bytes:
        """The bytes from an offset on; fewer at the end of the file."""
        if not 0 <= offset < self.size:
            return b""
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._cache):
            self._file.seek(offset)
            self._start, self._cache = offset, self._file.read(max(count, CACHE_BYTES))
            begin = 0
        return self._cache[begin : begin + count]

    def number(self, offset: int, count: int, order: str = "big") -> int:
        """An unsigned integer."""
        return int.from_bytes(self.at(offset, count), "little" if order == "little" else "big")


def cut(promised: int, available: int) -> str:
    """The clause about bytes that are missing; empty where none is."""
    if promised <= available:
        return ""
    return f"its header promises {promised:,} bytes of sound and {max(0, available):,} are there"


def is_placeholder(size: int) -> bool:
    """Whether a size of four bytes is one that programs write which cannot know it: about 2^31 or 2^32, or none."""
    return size == 0 or 0x7FFF0000 <= size <= 0x8000FFFF or size >= 0xFFFF0000

"""Result of the analysis of a file's structure, and helpers to read binary structures."""

from dataclasses import dataclass, field
from typing import BinaryIO

MAX_UNITS = 5_000_000  # frames or elements that are looked at; one day of AMR has 4.3 million
CACHE_BYTES = 1 << 18  # smallest number of bytes per read, and size of the cache


@dataclass(frozen=True)
class Survey:
    """Properties of a file, obtained from its structure without decoding.

    Attributes:
        duration_s: Duration in seconds; None if the structure does not give it. Default: None.
        held_samples: Number of samples per channel in the file, including codec padding; None if unknown.
            Default: None.
        promised_samples: Number of samples per channel declared by the header; None if not declared. Default: None.
        cut: Clause that describes data missing at the end; empty for a complete file. Default: "".
        unclosed: True if only the end marker is missing. Default: False.
        patches: Maps the offset of an incorrect size field, in bytes, to its replacement. Default: empty.
        by_ffmpeg: True if FFmpeg must decode the file because libsndfile would not read all of it. Default: False.
        end: Offset in bytes at which the recording ends if a decoder would read beyond it; None for the end of the file.
            Default: None.
        unread: Clause that describes content after the recording which is not read; empty if there is none. Default: "".
        links: Start and end offset, in bytes, of each chained Ogg stream if each must be decoded separately, because they
            differ in codec, sample rate or number of channels; otherwise empty. Default: empty.
    """

    duration_s: float | None = None
    held_samples: int | None = None
    promised_samples: int | None = None
    cut: str = ""
    unclosed: bool = False
    patches: dict[int, bytes] = field(default_factory=dict)
    by_ffmpeg: bool = False
    end: int | None = None
    unread: str = ""
    links: tuple[tuple[int, int], ...] = ()


class Bytes:
    """Cached random access to the bytes of a file.

    Args:
        file: Seekable binary file.

    Attributes:
        size: Size of the file in bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        self._start, self._cache = 0, b""

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer at the end of the file, none if `offset` is outside it."""
        if not 0 <= offset < self.size:
            return b""
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._cache):
            self._file.seek(offset)
            self._start, self._cache = offset, self._file.read(max(count, CACHE_BYTES))
            begin = 0
        return self._cache[begin : begin + count]

    def number(self, offset: int, count: int, order: str = "big") -> int:
        """Return the unsigned integer stored in `count` bytes at `offset`; `order` is "big" (default) or "little"."""
        return int.from_bytes(self.at(offset, count), "little" if order == "little" else "big")


def cut(promised: int, available: int) -> str:
    """Return a clause that describes missing bytes; an empty string if `available` is at least `promised`."""
    if promised <= available:
        return ""
    return f"its header declares {promised:,} bytes of audio, of which {max(0, available):,} are present"


def is_placeholder(size: int) -> bool:
    """Return whether a 32-bit size is a placeholder for an unknown size: 0, or close to 2^31 or 2^32."""
    return size == 0 or 0x7FFF0000 <= size <= 0x8000FFFF or size >= 0xFFFF0000


def partial(available: int, block: int) -> str:
    """Return a clause if bytes of unknown length end within a block; an empty string if they do not.

    A padding byte after an odd number of bytes is no part of a block.

    Args:
        available: Number of bytes of sound.
        block: Size of a block of samples of all channels in bytes; 0 if unknown.
    """
    rest = available % block if block > 1 else 0
    if not rest or (rest == 1 and block % 2 and available % 2 == 0):
        return ""
    return f"it ends {rest} bytes into a block of {block}"


_BEGINNINGS = (
    b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"ID3\x03", b"ID3\x04",
)  # fmt: skip
_INNER = {b"RIFF": b"WAVE", b"RIFX": b"WAVE", b"RF64": b"WAVE", b"FORM": b"AIF"}


def another(content: Bytes, offset: int) -> str:
    """Return a clause for `Survey.unread` if another sound file begins at the offset; otherwise an empty string."""
    start = content.at(offset, 12)
    found = next((name for name in _BEGINNINGS if start.startswith(name)), None)
    if found is None or not start[8:].startswith(_INNER.get(found, b"")):
        return ""
    return f"another recording begins at byte {offset:,} ({content.size - offset:,} bytes)"

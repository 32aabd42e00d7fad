"""Structure of FLAC (RFC 9639)."""

import re

from data.survey.base import CACHE_BYTES, Bytes, Survey

_FLAC_SCAN_BYTES = 1 << 28  # searched for a second, concatenated FLAC stream
_JOINED_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_TAIL_BYTES = 1 << 19  # end of the file that is searched for the last frames
_FRAME_START = re.compile(rb"\xff[\xf8\xf9]")
_BLOCK_SIZES = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def survey_flac(content: Bytes, start: int) -> Survey:
    """Return the survey of a FLAC file that begins at the offset `start`."""
    packed = content.number(start + 18, 8)
    rate, total = packed >> 44, packed & (1 << 36) - 1
    if not total or not rate:
        return Survey(by_ffmpeg=True)
    overlap, joined_s = b"", []
    for offset in range(start + 42, min(content.size, _FLAC_SCAN_BYTES), CACHE_BYTES):
        piece = overlap + content.at(offset, CACHE_BYTES)
        joined_s += [_seconds(content, offset - len(overlap) + match.start()) for match in _JOINED_FLAC.finditer(piece)]
        overlap = piece[-7:]
    if joined_s:
        return Survey(duration_s=total / rate + sum(joined_s) if all(joined_s) else None, by_ffmpeg=True)
    held = _samples_held(content, content.number(start + 8, 2))
    if held is not None and held > total:  # libsndfile would stop at the number of samples in the header
        return Survey(duration_s=held / rate, by_ffmpeg=True)
    return Survey(duration_s=min(total, held or total) / rate, held_samples=held, promised_samples=total)


def _seconds(content: Bytes, start: int) -> float:
    """Return the duration that the header of a FLAC stream at the offset `start` declares, in seconds; 0 if it does not."""
    packed = content.number(start + 18, 8)
    return (packed & (1 << 36) - 1) / max(1, packed >> 44)


def _samples_held(content: Bytes, block_size: int) -> int | None:
    """Return the number of samples up to the end of the last frame that directly follows another; None if not found."""
    tail = content.at(max(0, content.size - _TAIL_BYTES), _TAIL_BYTES)
    held = end = None
    for match in _FRAME_START.finditer(tail):
        span = _frame_span(tail[match.start() : match.start() + 16], block_size)
        if span is None:
            continue
        if end == span[0]:
            held = span[1]
        end = span[1]
    return held


def _frame_span(header: bytes, block_size: int) -> tuple[int, int] | None:
    """Return the first sample index of a frame and the index after its last; None if the header is not valid."""
    ones = _leading_ones(header[4]) if len(header) == 16 else 1
    if ones == 1 or ones > 7 or header[3] & 1:
        return None
    number, place = header[4] & (0x7F >> ones), 4 + max(1, ones)
    for byte in header[5:place]:
        number = number << 6 | byte & 63
    size_code, rate_code = header[2] >> 4, header[2] & 15
    size = _BLOCK_SIZES[size_code]
    if size_code in (6, 7):
        size = int.from_bytes(header[place : place + size_code - 5], "big") + 1
        place += size_code - 5
    place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not size or rate_code == 15 or place >= len(header) or _crc8(header[:place]) != header[place]:
        return None
    first = number if header[1] & 1 else number * block_size  # sample number if block sizes vary, else frame number
    return first, first + size


def _leading_ones(byte: int) -> int:
    """Return the number of leading one bits of a byte, 0 to 8."""
    return 8 - (byte ^ 0xFF).bit_length()


def _crc8(content: bytes) -> int:
    """Return the CRC-8 with the polynomial x^8 + x^2 + x + 1 (RFC 9639, section 9.1.8)."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value

"""Structure of formats without a declared length: raw AAC, AC-3 and AMR frames, FLV tags and packets of MPEG program streams.

Such a file is complete if its last unit ends with the file. Each function takes the file and the offset of a unit and returns the
unit's length in bytes; 0 if there is no unit at the offset.
"""

import io
from collections.abc import Callable

from data.survey.base import MAX_UNITS, Bytes, Survey, partial

# Bit rates of AC-3 in kbit/s (ATSC A/52, table 5.18).
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AMR_BYTES = (13, 14, 16, 18, 20, 21, 27, 32, 6)  # by frame type, with the header byte (RFC 4867, section 5.3)
_AMR_WB_BYTES = (18, 24, 33, 37, 41, 47, 51, 59, 61, 6)
_NO_DATA = {14: 1, 15: 1}  # frame types of AMR: speech lost, no data
_AMR, _AMR_WB = b"#!AMR\n", b"#!AMR-WB\n"
UnitLength = Callable[[Bytes, int], int]


def _adts_length(content: Bytes, offset: int) -> int:
    """Return the length of an ADTS frame (ISO/IEC 14496-3, 1.A.2.2)."""
    header = content.at(offset, 6)
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


def _ac3_length(content: Bytes, offset: int) -> int:
    """Return the length of a frame of AC-3 or Enhanced AC-3 (ATSC A/52, annex E)."""
    header = content.at(offset, 6)
    if len(header) < 6 or header[:2] != b"\x0b\x77":
        return 0
    if 10 < header[5] >> 3 <= 16:
        return 2 * (((header[2] & 7) << 8 | header[3]) + 1)
    if header[4] >> 6 == 3 or (header[4] & 63) >> 1 >= len(_AC3_KBPS):
        return 0
    kbps, odd = _AC3_KBPS[(header[4] & 63) >> 1], header[4] & 1
    return 2 * {0: 2 * kbps, 1: 320 * kbps // 147 + odd, 2: 3 * kbps}[header[4] >> 6]


def _amr_length(sizes: tuple[int, ...]) -> UnitLength:
    def length(content: Bytes, offset: int) -> int:
        header = content.at(offset, 1)
        if not header or header[0] & 0x83:
            return 0
        kind = header[0] >> 3 & 15
        return sizes[kind] if kind < len(sizes) else _NO_DATA.get(kind, 0)

    return length


def _flv_length(content: Bytes, offset: int) -> int:
    """Return the length of a tag of Flash video with the size field that follows it."""
    header = content.at(offset, 4)
    return 15 + int.from_bytes(header[1:], "big") if len(header) == 4 and header[0] & 0xDF in (8, 9, 18) else 0


def _program_length(content: Bytes, offset: int) -> int:
    """Return the length of a pack header or packet of an MPEG program stream (ISO/IEC 13818-1, 2.5.3)."""
    header = content.at(offset, 14)
    if header[:3] != b"\0\0\1" or len(header) < 4 or header[3] < 0xB9:
        return 0
    if header[3] == 0xB9:  # end of the program
        return 4
    if header[3] == 0xBA:
        return 12 if header[4:5] < b"\x40" else 14 + (header[13] & 7 if len(header) > 13 else 0)
    return 6 + int.from_bytes(header[4:6], "big")


def survey_units(content: Bytes, start: int) -> Survey | None:
    """Return the survey of a file of one of these formats that begins at the offset `start`; None for any other file."""
    magic = content.at(start, 9)
    if magic == _AMR_WB:
        return Survey(cut=_cut_unit(content, start + len(_AMR_WB), _amr_length(_AMR_WB_BYTES)))
    if magic[:6] == _AMR:
        return Survey(cut=_cut_unit(content, start + len(_AMR), _amr_length(_AMR_BYTES)))
    if magic[:4] == b"FLV\x01":
        return Survey(by_ffmpeg=True, cut=_cut_unit(content, start + content.number(start + 5, 4) + 4, _flv_length))
    if magic[:4] == b"\0\0\1\xba":
        return Survey(by_ffmpeg=True, cut=_cut_unit(content, start, _program_length))
    if packet := transport_packet(content.at(start, 600)):
        return Survey(by_ffmpeg=True, cut=partial(content.size - start, packet))
    unit_length = _raw_frames(content, start)
    return None if unit_length is None else Survey(cut=_cut_unit(content, start, unit_length))


def transport_packet(start: bytes) -> int:
    """Return the size of the packets of an MPEG-2 transport stream, 188 or 192 bytes (with time code); 0 for another file.

    Args:
        start: First bytes of the file, three packets or more.
    """
    for offset, size in ((0, 188), (4, 192)):
        if start[offset::size][:3] == b"GGG":
            return size
    return 0


def is_raw_frames(start: bytes) -> bool:
    """Return whether the first bytes of a file are two adjacent frames of AAC (ADTS) or AC-3."""
    return _raw_frames(Bytes(io.BytesIO(start)), 0) is not None


def _raw_frames(content: Bytes, start: int) -> UnitLength | None:
    for unit_length in (_adts_length, _ac3_length):
        length = unit_length(content, start)
        if length and unit_length(content, start + length):
            return unit_length
    return None


def _cut_unit(content: Bytes, offset: int, unit_length: UnitLength) -> str:
    """Return a clause if the file ends within a unit; an empty string if it does not, or other content follows a unit.

    Args:
        content: The file.
        offset: Offset of the first unit in bytes.
        unit_length: Function that returns the length of the unit at an offset in bytes; 0 if there is none.
    """
    for _ in range(MAX_UNITS):
        if offset >= content.size:
            break
        length = unit_length(content, offset)
        if not length:
            rest = content.size - offset
            return f"it ends {rest} bytes into a frame" if rest < 6 else ""
        if offset + length > content.size:
            return f"it ends {content.size - offset:,} bytes into a frame of {length:,}"
        offset += length
    return ""

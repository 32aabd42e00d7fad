"""Structure of MPEG audio (ISO/IEC 11172-3 and 13818-3): frames, and ID3 and APE tags."""

from dataclasses import dataclass

from data.survey.base import Bytes, Survey

_MAX_TRIES, _MAX_GAPS = 1 << 12, 100  # candidates per search for the next frame, and searches per file
_KILOBITS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),  # MPEG-1, layer I
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),  # MPEG-2 and 2.5
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


@dataclass(frozen=True)
class Frame:
    """Properties of an MPEG audio frame.

    Attributes:
        length: Size in bytes, including the header.
        samples: Number of samples per channel: 384, 576 or 1152.
        rate: Sample rate in hertz.
        kilobits: Bit rate in kbit/s.
        kind: Version and layer, as coded in the header, and sample rate; the same for all frames of a stream.
    """

    length: int
    samples: int
    rate: int
    kilobits: int
    kind: tuple[int, int, int]


def parse_frame(header: bytes) -> Frame | None:
    """Return the frame described by a header of four bytes; None if the bytes are not a valid header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 0 or not 1 <= index <= 14 or rate_index == 3:
        return None
    kilobits, rate = _KILOBITS[3 if version == 3 else 2, layer][index - 1], _RATES[version][rate_index]
    samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1152
    slot = 4 if layer == 3 else 1
    length = (samples // 8 // slot * kilobits * 1000 // rate + padding) * slot
    return Frame(length, samples, rate, kilobits, (version, layer, rate))


def after_id3(content: Bytes, offset: int) -> int:
    """Return the offset of the first byte after the ID3v2 tags at `offset`; `offset` if there are none."""
    while (header := content.at(offset, 10))[:3] == b"ID3" and len(header) == 10 and max(header[6:]) < 128:
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        offset += 10 + size + (10 if header[5] & 0x10 else 0)
    return offset


def next_frame(content: Bytes, offset: int, end: int) -> int | None:
    """Search for two adjacent frames of one stream.

    Args:
        content: The file.
        offset: Offset in bytes at which the search begins.
        end: End offset of the audio data in bytes.

    Returns:
        Offset of the first of the two frames, or of a single frame that ends at `end`; None if none is found within
        _MAX_TRIES candidates.
    """
    for _ in range(_MAX_TRIES):
        piece = content.at(offset, 4096)
        found = piece.find(b"\xff")
        if offset >= end or not piece:
            return None
        if found < 0:
            offset += len(piece)
            continue
        offset += found
        frame = parse_frame(content.at(offset, 4))
        if frame is not None:
            following = parse_frame(content.at(offset + frame.length, 4))
            if (following is not None and following.kind == frame.kind) or offset + frame.length == end:
                return offset
        offset += 1
    return None


def survey_mpeg(content: Bytes, start: int) -> Survey:
    """Return the survey of MPEG audio (layers I to III) that begins at the offset `start`; reads all frame headers."""
    end = _before_tags(content)
    frames: dict[bytes, Frame | None] = {}  # cache: headers repeat
    offset, num_samples, num_tables, promised, longest_gap = start, 0, 0, None, 0
    kinds, bitrates = set(), set()
    duration_s, cut, num_gaps, gap_bytes = 0.0, "", 0, 0
    while offset < end - 3:
        header = content.at(offset, 4)
        if header not in frames:
            frames[header] = parse_frame(header)
        frame = frames[header]
        if frame is None:
            found = next_frame(content, after_id3(content, offset), end)
            num_gaps += 1
            if num_gaps > _MAX_GAPS:
                return Survey(by_ffmpeg=True)
            gap_bytes += (end if found is None else found) - offset
            if found is None:
                break
            longest_gap, offset = max(longest_gap, found - offset), found
            continue
        if offset + frame.length > end:
            cut = f"it ends {end - offset:,} bytes into a frame of {frame.length:,}"
            break
        opening = content.at(offset, 48)
        if b"Xing" in opening or b"Info" in opening or b"VBRI" in opening:
            num_tables += 1
            promised = promised or _table_samples(opening, frame)
        else:
            num_samples, duration_s = num_samples + frame.samples, duration_s + frame.samples / frame.rate
            kinds.add(frame.kind)
            bitrates.add(frame.kilobits)
        offset += frame.length
    if gap_bytes > (end - start) / 2:  # another format, in which two headers were found by chance
        return Survey()
    if promised and num_samples < promised * 0.98:
        cut = f"its header declares {promised:,} samples, of which {num_samples:,} are present"
    known = promised is not None and promised >= num_samples - 2 * 1152
    return Survey(
        duration_s=duration_s,
        held_samples=num_samples,
        cut=cut,
        by_ffmpeg=num_tables > 1 or len(kinds) > 1 or longest_gap > 1024 or (not known and len(bitrates) > 1),
    )


def _table_samples(opening: bytes, frame: Frame) -> int | None:
    """Return the number of samples declared by the Xing or Info table of a first frame; None if not declared."""
    place = max(opening.find(b"Xing"), opening.find(b"Info"))
    if place >= 0 and place + 12 <= len(opening) and opening[place + 7] & 1:
        return int.from_bytes(opening[place + 8 : place + 12], "big") * frame.samples
    return None


def _before_tags(content: Bytes) -> int:
    """Return the start offset of the ID3v1 and APE tags at the end of an MP3; the size of the file if there are none."""
    end = content.size
    if content.at(end - 128, 3) == b"TAG":
        end -= 128
    footer = content.at(end - 32, 32)
    if footer[:8] == b"APETAGEX":
        end -= min(end, int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0))
    return end

"""MPEG audio (ISO/IEC 11172-3 and 13818-3), frame by frame, and the tags around it."""

from dataclasses import dataclass

from data.survey.base import Bytes, Survey

_MAX_TRIES, _MAX_GAPS = 1 << 12, 100  # places that are tried for an MP3's next frame, and how often that is done
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
    """A frame of MPEG audio."""

    length: int  # bytes, with the header
    samples: int
    rate: int
    kilobits: int
    kind: tuple[int, int, int]  # version, layer, rate: what all frames of a stream share


def parse_frame(header: bytes) -> Frame | None:
    """Parse the four bytes of a frame header; None if they are not a header."""
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
    """Return the end offset of the ID3v2 tags that start at an offset."""
    while (header := content.at(offset, 10))[:3] == b"ID3" and len(header) == 10 and max(header[6:]) < 128:
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        offset += 10 + size + (10 if header[5] & 0x10 else 0)
    return offset


def next_frame(content: Bytes, offset: int, end: int) -> int | None:
    """Return the offset of the next two adjacent frames of one stream, searching from an offset; None after many tries."""
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
    """Walk over the frames of MP3 (and its layers I and II)."""
    end = _before_tags(content)
    frames: dict[bytes, Frame | None] = {}  # headers repeat
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
    if gap_bytes > (end - start) / 2:  # something else, in which two headers were found by chance
        return Survey()
    if promised and num_samples < promised * 0.98:
        cut = f"its header promises {promised:,} samples and {num_samples:,} are there"
    known = promised is not None and promised >= num_samples - 2 * 1152
    return Survey(
        duration_s=duration_s,
        held_samples=num_samples,
        cut=cut,
        by_ffmpeg=num_tables > 1 or len(kinds) > 1 or longest_gap > 1024 or (not known and len(bitrates) > 1),
    )


def _table_samples(opening: bytes, frame: Frame) -> int | None:
    """Samples that the table of a first frame declares."""
    place = max(opening.find(b"Xing"), opening.find(b"Info"))
    if place >= 0 and place + 12 <= len(opening) and opening[place + 7] & 1:
        return int.from_bytes(opening[place + 8 : place + 12], "big") * frame.samples
    return None


def _before_tags(content: Bytes) -> int:
    """Return the start offset of the tags at the end of an MP3."""
    end = content.size
    if content.at(end - 128, 3) == b"TAG":
        end -= 128
    footer = content.at(end - 32, 32)
    if footer[:8] == b"APETAGEX":
        end -= min(end, int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0))
    return end

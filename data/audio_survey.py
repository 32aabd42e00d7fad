"""What the structure of a sound file says: how much it holds, how much it promised, and which of its sizes are wrong.

libsndfile and FFmpeg believe headers. A recorder that died, a pipe, a copy that broke off and files joined end to end
leave headers that are wrong, each in its own way, so that the structure is read here first: a few headers of most
formats, every page of Ogg, every frame header of MP3 (0.2 s for an hour). Nothing is decoded.

Sources: RFC 3533 (Ogg), RFC 9639 (FLAC), ISO/IEC 11172-3 and 13818-3 (MPEG audio), EBU Tech 3306 (RF64), ISO/IEC
14496-12 (MP4), RFC 8794 (EBML, for Matroska).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

_CACHE_BYTES = 1 << 18
_MAX_TRIES, _MAX_GAPS = 1 << 12, 100  # places that are tried for an MP3's next frame, and how often that is done
_FLAC_SCAN_BYTES = 1 << 28  # of a FLAC this much is searched for a second one behind it
_JOINED_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")


@dataclass(frozen=True)
class Survey:
    """What a file's structure says.

    Attributes:
        duration_s: seconds of sound that it holds; None where only the decoder can tell.
        held_samples: samples a channel that it holds, with a codec's padding; None: unknown.
        promised_samples: samples a channel that the header declares; None: none, or left open.
        cut: a clause that says what is missing at the end; empty for a file that is whole.
        unclosed: whether a mark of the end is missing, and nothing else.
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


class _Bytes:
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
            self._start, self._cache = offset, self._file.read(max(count, _CACHE_BYTES))
            begin = 0
        return self._cache[begin : begin + count]

    def number(self, offset: int, count: int, order: str = "big") -> int:
        """An unsigned integer."""
        return int.from_bytes(self.at(offset, count), "little" if order == "little" else "big")


def survey_file(file: BinaryIO) -> Survey:
    """Read the structure of an open file; one of an unknown format gives an empty survey."""
    content = _Bytes(file)
    start = _after_id3(content, 0)
    magic = content.at(start, 16)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and magic[8:12] == b"WAVE":
        return _survey_wav(content, start)
    if magic[:4] == b"fLaC":
        return _survey_flac(content, start)
    if magic[:4] == b"OggS":
        return _survey_ogg(content, start)
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return _survey_aiff(content, start)
    if magic[:4] == b".snd":
        return _survey_au(content, start)
    if magic[:4] == b"caff":
        return _survey_caf(content, start)
    if magic[:16] == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
        return _survey_w64(content, start)
    if magic[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return _survey_mp4(content, start)
    if magic[:4] == b"\x1a\x45\xdf\xa3":
        return _survey_matroska(content, start)
    if (first := _next_frame(content, start, content.size)) is not None and first < start + 4096:
        return _survey_mpeg(content, first)
    return Survey()


def _after_id3(content: _Bytes, offset: int) -> int:
    while (header := content.at(offset, 10))[:3] == b"ID3" and len(header) == 10 and max(header[6:]) < 128:
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        offset += 10 + size + (10 if header[5] & 0x10 else 0)
    return offset


def _cut(promised: int, available: int) -> str:
    if promised <= available:
        return ""
    return f"its header promises {promised:,} bytes of sound and {max(0, available):,} are there"


def _is_placeholder(size: int) -> bool:
    """Whether a size of four bytes is one that programs write which cannot know it: about 2^31 or 2^32, or none."""
    return size == 0 or 0x7FFF0000 <= size <= 0x8000FFFF or size >= 0xFFFF0000


def _chunks(content: _Bytes, offset: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset of the content and declared size of each chunk of RIFF or AIFF."""
    while len(header := content.at(offset, 8)) == 8:
        size = int.from_bytes(header[4:], "little" if order == "little" else "big")
        yield header[:4], offset + 8, size
        offset += 8 + size + size % 2


def _survey_wav(content: _Bytes, start: int) -> Survey:
    order = "big" if content.at(start, 4) == b"RIFX" else "little"
    ds64 = None  # where RF64 keeps the size of its data
    for name, offset, size in _chunks(content, start + 12, order):
        if name == b"ds64":
            ds64 = offset + 8
        if name != b"data":
            continue
        available = content.size - offset
        if ds64 is not None and size == 0xFFFFFFFF:
            size = content.number(ds64, 8, order)
            open_ended = size == 0 or size >= 1 << 62
            patches = {ds64: available.to_bytes(8, "little")} if open_ended or size > available else {}
            return Survey(cut="" if open_ended else _cut(size, available), patches=patches)
        if size == 0 and available and not _ends_in_chunks(content, offset, order):
            length = min(available, 0xFFFFFFFE).to_bytes(4, "big" if order == "big" else "little")
            return Survey(patches={offset - 4: length})
        return Survey(cut="" if _is_placeholder(size) else _cut(size, available))
    return Survey()


def _ends_in_chunks(content: _Bytes, offset: int, order: str) -> bool:
    """Whether whole chunks fill the file from an offset on: behind a size of 0 that is meant."""
    for name, begin, size in _chunks(content, offset, order):
        if not all(32 <= letter < 127 for letter in name) or begin + size > content.size:
            return False
        if begin + size + size % 2 >= content.size:
            return True
    return False


def _survey_aiff(content: _Bytes, start: int) -> Survey:
    for name, offset, size in _chunks(content, start + 12, "big"):
        if name == b"SSND":
            return Survey(cut="" if _is_placeholder(size) else _cut(size, content.size - offset))
    return Survey()


def _survey_au(content: _Bytes, start: int) -> Survey:
    available, size = content.size - start - content.number(start + 4, 4), content.number(start + 8, 4)
    if size == 0 and available > 0:
        return Survey(patches={start + 8: b"\xff\xff\xff\xff"})
    return Survey(cut="" if _is_placeholder(size) else _cut(size, available))


def _survey_caf(content: _Bytes, start: int) -> Survey:
    offset = start + 8
    while len(header := content.at(offset, 12)) == 12:
        size = int.from_bytes(header[4:], "big")
        if header[:4] == b"data":
            return Survey(cut="" if size == 0 or size >= 1 << 62 else _cut(size, content.size - offset - 12))
        offset += 12 + size
    return Survey()


def _survey_w64(content: _Bytes, start: int) -> Survey:
    offset = start + 40
    while len(header := content.at(offset, 24)) == 24:
        size = int.from_bytes(header[16:], "little")  # with the 24 bytes of the header
        if header[:4] == b"data":
            return Survey(cut="" if size <= 24 or size >= 1 << 62 else _cut(size - 24, content.size - offset - 24))
        offset += max(24, size + -size % 8)
    return Survey()


def _survey_mp4(content: _Bytes, start: int) -> Survey:
    offset = start
    while len(header := content.at(offset, 16)) >= 8:
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size == 0:  # to the end of the file
            break
        if size < 8 or not all(32 <= letter < 127 for letter in name):
            break
        if offset + size > content.size:
            return Survey(cut=_cut(size, content.size - offset))
        offset += size
    return Survey()


def _survey_matroska(content: _Bytes, start: int) -> Survey:
    offset = start + 4
    size, width = _ebml_size(content, offset)
    offset += width + size
    if content.at(offset, 4) != b"\x18\x53\x80\x67":
        return Survey()
    size, width = _ebml_size(content, offset + 4)
    if size == (1 << 7 * width) - 1:  # unknown: a live recording
        return Survey()
    return Survey(cut=_cut(size, content.size - offset - 4 - width))


def _ebml_size(content: _Bytes, offset: int) -> tuple[int, int]:
    """A size of EBML and the bytes that it takes."""
    first = content.number(offset, 1)
    width = 9 - first.bit_length() if first else 8
    return content.number(offset, width) & (1 << 7 * width) - 1, width


def _survey_flac(content: _Bytes, start: int) -> Survey:
    packed = content.number(start + 18, 8)
    rate, total = packed >> 44, packed & (1 << 36) - 1
    if not total or not rate:
        return Survey(by_ffmpeg=True)
    overlap = b""
    for offset in range(start + 42, min(content.size, _FLAC_SCAN_BYTES), _CACHE_BYTES):
        piece = overlap + content.at(offset, _CACHE_BYTES)
        if _JOINED_FLAC.search(piece):
            return Survey(by_ffmpeg=True)
        overlap = piece[-7:]
    return Survey(duration_s=total / rate, promised_samples=total)


@dataclass
class _OggTrack:
    rate: int = 0
    num_channels: int = 0
    pre_skip: int = 0
    first: int = -1  # samples at the end of the first page that has some
    last: int = -1
    closed: bool = False

    @property
    def duration_s(self) -> float:
        if not self.rate or self.last < 0:
            return 0.0
        begin = self.first if self.first > 10 * self.rate else self.pre_skip  # cut out of a broadcast
        return max(0, self.last - begin) / self.rate


def _survey_ogg(content: _Bytes, start: int) -> Survey:
    links: list[dict[int, _OggTrack]] = [{}]  # one for each chained stream
    begins = [start]
    offset, cut, in_data = start, "", False
    while len(header := content.at(offset, 27)) == 27:
        if header[:4] != b"OggS":
            offset = _find_page(content, offset)
            continue
        sizes = content.at(offset + 27, header[26])
        end = offset + 27 + header[26] + sum(sizes)
        if end > content.size:
            break
        flags, granule = header[5], int.from_bytes(header[6:14], "little", signed=True)
        serial = int.from_bytes(header[14:18], "little")
        if flags & 2:
            if in_data:
                links.append({})
                begins.append(offset)
            in_data = False
            links[-1][serial] = _ogg_track(content.at(offset + 27 + header[26], 80))
        elif track := links[-1].get(serial):
            in_data = True
            if granule > 0:
                track.first, track.last = (track.first if track.first >= 0 else granule), granule
            track.closed = track.closed or bool(flags & 4)
        offset = end
    if offset < content.size:
        cut = f"it ends {content.size - offset:,} bytes into a page of Ogg"
    audio = [[track for track in link.values() if track.rate] for link in links]
    if not all(audio):
        return Survey(cut=cut)
    chosen = [tracks[0] for tracks in audio]
    duration_s = sum(track.duration_s for track in chosen)
    chained, many = len(chosen) > 1, len(audio[0]) > 1
    differ = len({(track.rate, track.num_channels) for track in chosen}) > 1
    return Survey(
        duration_s=duration_s,
        held_samples=None if chained else round(duration_s * chosen[0].rate),
        cut=cut,
        unclosed=not cut and not chosen[-1].closed,
        by_ffmpeg=chained or many,
        links=tuple(zip(begins, [*begins[1:], content.size], strict=True)) if differ else (),
    )


def _find_page(content: _Bytes, offset: int) -> int:
    offset += 1
    while piece := content.at(offset, 1 << 16):
        if (found := piece.find(b"OggS")) >= 0:
            return offset + found
        offset += max(1, len(piece) - 3)
    return content.size


def _ogg_track(packet: bytes) -> _OggTrack:
    if packet[:7] == b"\x01vorbis":
        return _OggTrack(int.from_bytes(packet[12:16], "little"), int.from_bytes(packet[11:12], "big"))
    if packet[:8] == b"OpusHead":
        return _OggTrack(48000, int.from_bytes(packet[9:10], "big"), int.from_bytes(packet[10:12], "little"))
    if packet[:8] == b"Speex   ":
        return _OggTrack(int.from_bytes(packet[36:40], "little"), int.from_bytes(packet[48:52], "little"))
    if packet[:5] == b"\x7fFLAC":
        return _OggTrack(int.from_bytes(packet[27:30], "big") >> 4, (int.from_bytes(packet[29:30], "big") >> 1 & 7) + 1)
    return _OggTrack()


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
class _Frame:
    length: int  # bytes, with the header
    samples: int
    rate: int
    kilobits: int
    kind: tuple[int, int, int]  # version, layer, rate: what all frames of a stream share


def _parse_frame(header: bytes) -> _Frame | None:
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
    return _Frame(length, samples, rate, kilobits, (version, layer, rate))


def _next_frame(content: _Bytes, offset: int, end: int) -> int | None:
    """Where, from an offset on, two frames of one stream begin that touch; None after many tries."""
    for _ in range(_MAX_TRIES):
        piece = content.at(offset, 4096)
        found = piece.find(b"\xff")
        if offset >= end or not piece:
            return None
        if found < 0:
            offset += len(piece)
            continue
        offset += found
        frame = _parse_frame(content.at(offset, 4))
        if frame is not None:
            following = _parse_frame(content.at(offset + frame.length, 4))
            if (following is not None and following.kind == frame.kind) or offset + frame.length == end:
                return offset
        offset += 1
    return None


def _survey_mpeg(content: _Bytes, start: int) -> Survey:
    """Walk over the frames of MP3 (and its layers I and II)."""
    end = _before_tags(content)
    frames: dict[bytes, _Frame | None] = {}  # headers repeat
    offset, num_samples, num_tables, promised, longest_gap = start, 0, 0, None, 0
    kinds, bitrates = set(), set()
    duration_s, cut, num_gaps, gap_bytes = 0.0, "", 0, 0
    while offset < end - 3:
        header = content.at(offset, 4)
        if header not in frames:
            frames[header] = _parse_frame(header)
        frame = frames[header]
        if frame is None:
            found = _next_frame(content, _after_id3(content, offset), end)
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


def _table_samples(opening: bytes, frame: _Frame) -> int | None:
    """Samples that the table of a first frame declares."""
    place = max(opening.find(b"Xing"), opening.find(b"Info"))
    if place >= 0 and place + 12 <= len(opening) and opening[place + 7] & 1:
        return int.from_bytes(opening[place + 8 : place + 12], "big") * frame.samples
    return None


def _before_tags(content: _Bytes) -> int:
    """Where the tags at the end of an MP3 begin."""
    end = content.size
    if content.at(end - 128, 3) == b"TAG":
        end -= 128
    footer = content.at(end - 32, 32)
    if footer[:8] == b"APETAGEX":
        end -= min(end, int.from_bytes(footer[12:16], "little") + (32 if footer[23] & 0x80 else 0))
    return end

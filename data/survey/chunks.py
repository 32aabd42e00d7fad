"""Structure of WAV and its variants (RF64: EBU Tech 3306), AIFF, AU, CAF and W64."""

from collections.abc import Iterator

from data.survey.base import Bytes, Survey, another, cut, is_placeholder, partial

UNDECLARED_BYTES = 1 << 20  # less content after the sound, such as tags of unknown kinds, is not reported
_WAV_PCM = (
    1,
    3,
    6,
    7,
    0xFFFE,
)  # format tags of integers, floats, A-law, mu-law, and one of these in an extensible header
_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # bytes per sample, by encoding


def chunks(content: Bytes, offset: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Iterate over the chunks of a RIFF or AIFF file.

    Args:
        content: The file.
        offset: Offset of the first chunk header in bytes.
        order: Byte order of the sizes, "big" or "little".

    Yields:
        Name, offset of the content in bytes, and declared size in bytes.
    """
    while len(header := content.at(offset, 8)) == 8:
        size = int.from_bytes(header[4:], "little" if order == "little" else "big")
        yield header[:4], offset + 8, size
        offset += 8 + size + size % 2


def survey_wav(content: Bytes, start: int) -> Survey:
    """Return the survey of a WAV, RF64 or BW64 file that begins at the offset `start`."""
    order = "big" if content.at(start, 4) == b"RIFX" else "little"
    ds64 = None  # offset of the 64-bit data size in RF64
    block = 0
    for name, offset, size in chunks(content, start + 12, order):
        if name == b"ds64":
            ds64 = offset + 8
        if name == b"fmt ":
            is_pcm = content.number(offset, 2, order) in _WAV_PCM
            block = content.number(offset + 12, 2, order) if is_pcm else 0
        if name != b"data":
            continue
        available = content.size - offset
        if ds64 is not None and size == 0xFFFFFFFF:
            size = content.number(ds64, 8, order)
            open_ended = size == 0 or size >= 1 << 62
            patches = {ds64: available.to_bytes(8, "little")} if open_ended or size > available else {}
            return Survey(cut=partial(available, block) if open_ended else cut(size, available), patches=patches)
        if size == 0 and available and not _ends_in_chunks(content, offset, order):
            length = min(available, 0xFFFFFFFE).to_bytes(4, "big" if order == "big" else "little")
            return Survey(cut=partial(available, block), patches={offset - 4: length})
        if is_placeholder(size) and size:
            return Survey(cut=partial(available, block))
        return Survey(cut=cut(size, available), unread=_after(content, offset + size, order))
    return Survey()


def _after(content: Bytes, end: int, order: str) -> str:
    """Return the clause `Survey.unread` for the content after the data chunk, which ends at `end`."""
    for name, offset, _ in chunks(content, end + end % 2, order):
        if unread := another(content, offset - 8):
            return unread
        if not all(32 <= letter < 127 for letter in name):
            break
    rest = content.size - end
    if rest > max(UNDECLARED_BYTES, end) or (end < content.size and content.size > 1 << 32):
        return f"{rest:,} bytes follow that its header does not declare"
    return ""


def _ends_in_chunks(content: Bytes, offset: int, order: str) -> bool:
    """Return whether complete chunks fill the file from `offset` to its end, so that a data size of 0 is correct."""
    for name, begin, size in chunks(content, offset, order):
        if not all(32 <= letter < 127 for letter in name) or begin + size > content.size:
            return False
        if begin + size + size % 2 >= content.size:
            return True
    return False


def survey_aiff(content: Bytes, start: int) -> Survey:
    """Return the survey of an AIFF file that begins at the offset `start`."""
    block = 0
    for name, offset, size in chunks(content, start + 12, "big"):
        if name == b"COMM" and content.at(start + 8, 4) == b"AIFF":
            block = content.number(offset, 2) * -(-content.number(offset + 6, 2) // 8)
        if name == b"SSND" and is_placeholder(size):
            return Survey(cut=partial(content.size - offset - 8, block))
        if name == b"SSND":
            return Survey(cut=cut(size, content.size - offset), unread=_after(content, offset + size, "big"))
    return Survey()


def survey_au(content: Bytes, start: int) -> Survey:
    """Return the survey of an AU file that begins at the offset `start`."""
    begin = start + content.number(start + 4, 4)
    available, size = content.size - begin, content.number(start + 8, 4)
    block = content.number(start + 20, 4) * _AU_BYTES.get(content.number(start + 12, 4), 0)
    if size == 0 and available > 0:
        return Survey(cut=partial(available, block), patches={start + 8: b"\xff\xff\xff\xff"})
    if is_placeholder(size):
        return Survey(cut=partial(available, block))
    return Survey(cut=cut(size, available), unread=another(content, begin + size))


def survey_caf(content: Bytes, start: int) -> Survey:
    """Return the survey of a CAF file that begins at the offset `start`."""
    offset, block = start + 8, 0
    while len(header := content.at(offset, 12)) == 12:
        size = int.from_bytes(header[4:], "big")
        if header[:4] == b"desc":
            block = content.number(offset + 28, 4)
        if header[:4] == b"data":
            available = content.size - offset - 12
            if size == 0 or size >= 1 << 62:
                return Survey(cut=partial(available - 4, block))  # after an edit count
            return Survey(cut=cut(size, available), unread=_after_caf(content, offset + 12 + size))
        offset += 12 + size
    return Survey()


def _after_caf(content: Bytes, offset: int) -> str:
    """Return the clause `Survey.unread` for the chunks of a CAF file from `offset`."""
    while len(header := content.at(offset, 12)) == 12 and not (unread := another(content, offset)):
        if not all(32 <= letter < 127 for letter in header[:4]):
            return ""
        offset += 12 + int.from_bytes(header[4:], "big")
    return unread if len(header) == 12 else ""


def survey_w64(content: Bytes, start: int) -> Survey:
    """Return the survey of a W64 file that begins at the offset `start`."""
    offset, block = start + 40, 0
    while len(header := content.at(offset, 24)) == 24:
        size = int.from_bytes(header[16:], "little")  # includes the 24 bytes of the header
        if header[:4] == b"fmt ":
            block = content.number(offset + 36, 2, "little")
        if header[:4] == b"data":
            available = content.size - offset - 24
            if size <= 24 or size >= 1 << 62:
                return Survey(cut=partial(available, block))
            end = offset + size  # libsndfile 1.2.2 reads on to the end of the file
            return Survey(
                cut=cut(size - 24, available),
                end=end if end < content.size else None,
                unread=another(content, end) or another(content, end + -end % 8),
            )
        offset += max(24, size + -size % 8)
    return Survey()


def survey_voc(content: Bytes, start: int) -> Survey:
    """Return the survey of a Creative Voice file, which FFmpeg decodes: libsndfile 1.2.2 reads headers of blocks as samples."""
    offset = start + content.number(start + 20, 2, "little")
    while content.number(offset, 1):
        size = content.number(offset + 1, 3, "little")
        if offset + 4 + size > content.size:
            return Survey(by_ffmpeg=True, cut=cut(size, content.size - offset - 4))
        offset += 4 + size
    return Survey(by_ffmpeg=True)

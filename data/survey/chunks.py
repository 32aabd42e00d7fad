"""Structure of WAV and its variants (RF64: EBU Tech 3306), AIFF, AU, CAF and W64."""

from collections.abc import Iterator

from data.survey.base import Bytes, Survey, cut, is_placeholder


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
    for name, offset, size in chunks(content, start + 12, order):
        if name == b"ds64":
            ds64 = offset + 8
        if name != b"data":
            continue
        available = content.size - offset
        if ds64 is not None and size == 0xFFFFFFFF:
            size = content.number(ds64, 8, order)
            open_ended = size == 0 or size >= 1 << 62
            patches = {ds64: available.to_bytes(8, "little")} if open_ended or size > available else {}
            return Survey(cut="" if open_ended else cut(size, available), patches=patches)
        if size == 0 and available and not _ends_in_chunks(content, offset, order):
            length = min(available, 0xFFFFFFFE).to_bytes(4, "big" if order == "big" else "little")
            return Survey(patches={offset - 4: length})
        return Survey(cut="" if is_placeholder(size) else cut(size, available))
    return Survey()


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
    for name, offset, size in chunks(content, start + 12, "big"):
        if name == b"SSND":
            return Survey(cut="" if is_placeholder(size) else cut(size, content.size - offset))
    return Survey()


def survey_au(content: Bytes, start: int) -> Survey:
    """Return the survey of an AU file that begins at the offset `start`."""
    available, size = content.size - start - content.number(start + 4, 4), content.number(start + 8, 4)
    if size == 0 and available > 0:
        return Survey(patches={start + 8: b"\xff\xff\xff\xff"})
    return Survey(cut="" if is_placeholder(size) else cut(size, available))


def survey_caf(content: Bytes, start: int) -> Survey:
    """Return the survey of a CAF file that begins at the offset `start`."""
    offset = start + 8
    while len(header := content.at(offset, 12)) == 12:
        size = int.from_bytes(header[4:], "big")
        if header[:4] == b"data":
            return Survey(cut="" if size == 0 or size >= 1 << 62 else cut(size, content.size - offset - 12))
        offset += 12 + size
    return Survey()


def survey_w64(content: Bytes, start: int) -> Survey:
    """Return the survey of a W64 file that begins at the offset `start`."""
    offset = start + 40
    while len(header := content.at(offset, 24)) == 24:
        size = int.from_bytes(header[16:], "little")  # includes the 24 bytes of the header
        if header[:4] == b"data":
            return Survey(cut="" if size <= 24 or size >= 1 << 62 else cut(size - 24, content.size - offset - 24))
        offset += max(24, size + -size % 8)
    return Survey()

"""Structure of MP4 (ISO/IEC 14496-12), Matroska (EBML, RFC 8794), True Audio and WavPack."""

from data.survey.base import MAX_UNITS, Bytes, Survey, cut

_CLUSTER = b"\x1f\x43\xb6\x75"


def survey_mp4(content: Bytes, start: int) -> Survey:
    """Return the survey of an MP4 or QuickTime file that begins at the offset `start`."""
    names: set[bytes] = set()
    offset, unread = start, ""
    while len(header := content.at(offset, 16)) >= 8:
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if size == 0:  # the box extends to the end of the file
            break
        if size < 8 or not all(32 <= letter < 127 for letter in name):
            break
        if offset + size > content.size:
            return Survey(cut=cut(size, content.size - offset))
        if name == b"ftyp" and b"moov" in names and not names & {b"moof", b"styp"}:
            unread = f"another recording begins at byte {offset:,} ({content.size - offset:,} bytes)"
            break
        names.add(name)
        offset += size
    if b"mdat" in names and b"moov" not in names and offset >= content.size:
        return Survey(cut="its index (the box moov), which recorders write last, is missing")
    return Survey(unread=unread)


def survey_matroska(content: Bytes, start: int) -> Survey:
    """Return the survey of a Matroska or WebM file that begins at the offset `start`."""
    offset = start + 4
    size, width = _ebml_size(content, offset)
    offset += width + size
    if content.at(offset, 4) != b"\x18\x53\x80\x67":
        return Survey()
    size, width = _ebml_size(content, offset + 4)
    if _is_unknown(size, width):  # as in a live recording
        return Survey(cut=_cut_element(content, offset + 4 + width))
    return Survey(cut=cut(size, content.size - offset - 4 - width))


def _is_unknown(size: int, width: int) -> bool:
    """Return whether an EBML size says that it is unknown."""
    return size == (1 << 7 * width) - 1


def _cut_element(content: Bytes, offset: int) -> str:
    """Return a clause if the file ends within an element of a segment of unknown size, which begins at `offset`."""
    for _ in range(MAX_UNITS):
        if offset >= content.size:
            break
        identity = 9 - content.number(offset, 1).bit_length()  # width of the name in bytes
        size, width = _ebml_size(content, offset + identity)
        begin = offset + identity + width
        if identity > 4 or begin > content.size:
            return "" if identity > 4 else f"it ends {content.size - offset} bytes into an element"
        if content.at(offset, 4) == _CLUSTER:  # its elements are looked at, so that the size need not be known
            offset = begin
            continue
        if _is_unknown(size, width):
            return ""
        if begin + size > content.size:
            return f"it ends {content.size - begin:,} bytes into an element of {size:,}"
        offset = begin + size
    return ""


def _ebml_size(content: Bytes, offset: int) -> tuple[int, int]:
    """Return the value of the EBML size field at `offset`, and the width of the field in bytes."""
    first = content.number(offset, 1)
    width = 9 - first.bit_length() if first else 8
    return content.number(offset, width) & (1 << 7 * width) - 1, width


def survey_tta(content: Bytes, start: int) -> Survey:
    """Return the survey of a True Audio file that begins at the offset `start`."""
    return Survey(by_ffmpeg=True, promised_samples=content.number(start + 14, 4, "little") or None)


def survey_wavpack(content: Bytes, start: int) -> Survey:
    """Return the survey of a WavPack file that begins at the offset `start`."""
    total = content.number(start + 12, 4, "little")
    return Survey(by_ffmpeg=True, promised_samples=None if total in (0, 0xFFFFFFFF) else total)


def survey_asf(content: Bytes, start: int) -> Survey:
    """Return the survey of an ASF file (WMA) that begins at the offset `start`."""
    offset = start
    while len(header := content.at(offset, 24)) == 24:
        size = int.from_bytes(header[16:], "little")
        if size < 24 or size >= 1 << 62:  # unknown, as in a live recording
            break
        if offset + size > content.size:
            return Survey(by_ffmpeg=True, cut=cut(size, content.size - offset))
        offset += size
    return Survey(by_ffmpeg=True)

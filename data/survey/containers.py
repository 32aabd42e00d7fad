"""Structure of MP4 (ISO/IEC 14496-12), Matroska (EBML, RFC 8794), True Audio and WavPack."""

from data.survey.base import Bytes, Survey, cut


def survey_mp4(content: Bytes, start: int) -> Survey:
    """Return the survey of an MP4 or QuickTime file that begins at the offset `start`."""
    offset = start
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
        offset += size
    return Survey()


def survey_matroska(content: Bytes, start: int) -> Survey:
    """Return the survey of a Matroska or WebM file that begins at the offset `start`."""
    offset = start + 4
    size, width = _ebml_size(content, offset)
    offset += width + size
    if content.at(offset, 4) != b"\x18\x53\x80\x67":
        return Survey()
    size, width = _ebml_size(content, offset + 4)
    if size == (1 << 7 * width) - 1:  # unknown size, as in a live recording
        return Survey()
    return Survey(cut=cut(size, content.size - offset - 4 - width))


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

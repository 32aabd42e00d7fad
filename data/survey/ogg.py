"""Structure of Ogg (RFC 3533), from the headers of all pages."""

from dataclasses import dataclass

from data.survey.base import Bytes, Survey

_CHAINED_BY_FFMPEG = ("vorbis", "opus")  # of other codecs it takes the headers of later streams for damaged packets


@dataclass
class _OggTrack:
    """One logical stream.

    Attributes:
        codec: Name of the codec; empty if it is unknown. Default: "".
        rate: Sample rate in hertz; 0 if the stream is not audio or its codec is unknown. Default: 0.
        num_channels: Number of channels. Default: 0.
        pre_skip: Number of samples to discard at the beginning (Opus). Default: 0.
        first: Granule position of the first page with samples; -1 before it is read. Default: -1.
        last: Granule position of the last page with samples; -1 before it is read. Default: -1.
        closed: True if the last page is marked as the end of the stream. Default: False.
    """

    codec: str = ""
    rate: int = 0
    num_channels: int = 0
    pre_skip: int = 0
    first: int = -1
    last: int = -1
    closed: bool = False

    @property
    def duration_s(self) -> float:
        """Duration in seconds; 0 if the stream has no samples."""
        if not self.rate or self.last < 0:
            return 0.0
        begin = self.first if self.first > 10 * self.rate else self.pre_skip  # excerpt of a live stream
        return max(0, self.last - begin) / self.rate


def survey_ogg(content: Bytes, start: int) -> Survey:
    """Return the survey of an Ogg file that begins at the offset `start`."""
    links: list[dict[int, _OggTrack]] = [{}]  # tracks by serial number, for each chained stream
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
    differ = len({(track.codec, track.rate, track.num_channels) for track in chosen}) > 1
    if chained and chosen[0].codec not in _CHAINED_BY_FFMPEG:
        differ = True
    return Survey(
        duration_s=duration_s,
        held_samples=None if chained else round(duration_s * chosen[0].rate),
        cut=cut,
        unclosed=not cut and not chosen[-1].closed,
        by_ffmpeg=chained or many,
        links=tuple(zip(begins, [*begins[1:], content.size], strict=True)) if differ else (),
    )


def _find_page(content: Bytes, offset: int) -> int:
    """Return the offset of the next page after `offset`; the size of the file if there is none."""
    offset += 1
    while piece := content.at(offset, 1 << 16):
        if (found := piece.find(b"OggS")) >= 0:
            return offset + found
        offset += max(1, len(piece) - 3)
    return content.size


def _ogg_track(packet: bytes) -> _OggTrack:
    """Parse the first packet of a Vorbis, Opus, Speex or FLAC stream; `rate` is 0 for any other codec."""
    if packet[:7] == b"\x01vorbis":
        return _OggTrack("vorbis", int.from_bytes(packet[12:16], "little"), int.from_bytes(packet[11:12], "big"))
    if packet[:8] == b"OpusHead":
        return _OggTrack("opus", 48000, int.from_bytes(packet[9:10], "big"), int.from_bytes(packet[10:12], "little"))
    if packet[:8] == b"Speex   ":
        return _OggTrack("speex", int.from_bytes(packet[36:40], "little"), int.from_bytes(packet[48:52], "little"))
    if packet[:5] == b"\x7fFLAC":
        rate = int.from_bytes(packet[27:30], "big") >> 4
        return _OggTrack("flac", rate, (int.from_bytes(packet[29:30], "big") >> 1 & 7) + 1)
    return _OggTrack()

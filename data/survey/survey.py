"""Analyse the structure of a sound file: actual and declared length, and incorrect sizes.

libsndfile and FFmpeg rely on the headers of a file. Headers are incorrect after an interrupted recording, output to a
pipe, an incomplete copy, or the concatenation of files. The structure is therefore read before decoding: a few headers
for most formats, all page headers of Ogg, and all frame headers of MP3 (0.2 s for one hour of audio).
"""

from dataclasses import replace
from typing import BinaryIO

from data.recognition import CONTAINER, recognise
from data.survey.base import Bytes, Survey
from data.survey.chunks import survey_aiff, survey_au, survey_caf, survey_voc, survey_w64, survey_wav
from data.survey.containers import survey_asf, survey_matroska, survey_mp4, survey_tta, survey_wavpack
from data.survey.flac import survey_flac
from data.survey.frames import survey_units
from data.survey.mpeg import after_id3, next_frame, survey_mpeg
from data.survey.ogg import survey_ogg


def survey_file(file: BinaryIO) -> Survey:
    """Return the survey of a file.

    Args:
        file: Seekable binary file; its position is changed.

    Returns:
        Properties of the file; the defaults of `Survey` for an unknown format.

    Raises:
        OSError: If the file cannot be read.
    """
    content = Bytes(file)
    start = after_id3(content, 0)
    magic = content.at(start, 16)
    if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and magic[8:12] == b"WAVE":
        return survey_wav(content, start)
    if magic[:4] == b"fLaC":
        return survey_flac(content, start)
    if magic[:4] == b"OggS":
        return survey_ogg(content, start)
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return survey_aiff(content, start)
    if magic[:4] == b".snd":
        return survey_au(content, start)
    if magic[:4] == b"caff":
        return survey_caf(content, start)
    if magic[:16] == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
        return survey_w64(content, start)
    if magic[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return survey_mp4(content, start)
    if magic[:4] == b"\x1a\x45\xdf\xa3":
        return survey_matroska(content, start)
    if magic[:4] == b"TTA1":
        return survey_tta(content, start)
    if magic[:4] == b"wvpk":
        return survey_wavpack(content, start)
    if magic[:4] == b"\x30\x26\xb2\x75":
        return survey_asf(content, start)
    if magic[:4] == b"FORM" and magic[8:12] in (b"8SVX", b"16SV"):
        return Survey(by_ffmpeg=True)  # libsndfile 1.2.2 interleaves channels that are stored one after the other
    if magic[:4] == b"Crea":
        return survey_voc(content, start)
    if (survey := survey_units(content, start)) is not None:
        return survey
    if recognise(content.at(start, 1024)) == CONTAINER:
        return Survey(by_ffmpeg=True)
    if start > content.size:
        return _survey_lying_id3(content)
    if (first := next_frame(content, start, content.size)) is not None and first < start + 4096:
        return survey_mpeg(content, first)
    return Survey()


def _survey_lying_id3(content: Bytes) -> Survey:
    """Return the survey of an MP3 whose ID3 tag is larger than the file; a patch ends the tag at the first frame."""
    first = next_frame(content, 10, content.size)
    if first is None:
        return Survey()
    size = first - 10
    patch = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return replace(survey_mpeg(content, first), patches={6: patch})

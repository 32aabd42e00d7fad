"""Recognition of sound files by their suffix or first bytes, and the supported formats."""

from data.survey.frames import is_raw_frames, transport_packet
from data.survey.mpeg import parse_frame

AUDIO_SUFFIXES = frozenset(
    [
        ".3g2", ".3gp", ".3gpp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".asf", ".au", ".awb", ".bwf", ".caf",
        ".eac3",
        ".ec3", ".flac", ".m4a", ".m4b", ".m4r", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpga", ".oga", ".ogg",
        ".opus", ".rf64", ".snd", ".spx", ".tta", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm", ".wma", ".wv",
    ]
)  # fmt: skip
# AVI and all formats that refer to other files (concat, hls, image2 and similar) are excluded deliberately.
FFMPEG_FORMATS = ",".join(
    [
        "wav,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aiff,au,caf,w64,amr,ac3,eac3",
        "asf,mpegts,mpeg,flv,wv,tta,voc,iff",
    ]
)
SNIFFED_BYTES = 8192
SOUND, CONTAINER, OTHER = "sound", "container", "other"

_RIFFS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_SOUNDS = (
    b"fLaC", b"OggS", b"ID3\x02", b"ID3\x03", b"ID3\x04", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"#!AMR", b"ADIF",
    b"NIST_1A", b"Creative Voice File",
)  # fmt: skip
_BINARY_SOUNDS = (b"wvpk", b"TTA1")  # accepted only in binary files, since text can begin with these letters
_CONTAINERS = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"FLV\x01", b"\x00\x00\x01\xba")
_MP4 = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_PICTURES = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jp2 ", b"jpx ")
_UNREAD = {
    b"MAC ": "Monkey's Audio",
    b"DSD ": "DSD",
    b"FRM8": "DSD",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b".RMF": "RealMedia",
    b".ra\xfd": "RealAudio",
    b"MThd": "MIDI",
    b"\x7f\xfe\x80\x01": "DTS",
}

_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS (git lfs pull fetches the recording)",
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
    b"#extm3u": "a playlist",
    b"[playlist]": "a playlist",
    b"pk\x03\x04": "a ZIP archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"rar!": "a RAR archive",
    b"\x1f\x8b": "compressed with gzip",
    b"\0\x05\x16\x07": "a resource file of macOS (AppleDouble), which has the name of a recording",
    b"%pdf": "a PDF document",
    b"\x89png": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"{": "JSON",
}


def recognise(start: bytes) -> str:
    """Return the type of a file.

    Args:
        start: First SNIFFED_BYTES bytes of the file, or all bytes of a shorter file.

    Returns:
        SOUND, CONTAINER (with or without audio), OTHER, or the name of a known unsupported format.
    """
    if start[:4] in _RIFFS:
        return SOUND if start[8:12] == b"WAVE" else "AVI" if start[8:12] == b"AVI " else OTHER
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return SOUND
    is_binary = b"\0" in start[:64]
    if start.startswith(_SOUNDS) or (is_binary and start.startswith(_BINARY_SOUNDS)):
        return SOUND
    if _is_mpeg_audio(start) or is_raw_frames(start):
        return SOUND
    for mark, name in _UNREAD.items():
        if is_binary and start.startswith(mark):
            return name
    if start.startswith(_CONTAINERS) or transport_packet(start):
        return CONTAINER
    return CONTAINER if start[4:8] in _MP4 and start[8:12] not in _PICTURES else OTHER


def _is_mpeg_audio(start: bytes) -> bool:
    """Return whether a file begins with two adjacent frames of MPEG audio; one frame header alone is not specific."""
    frame = parse_frame(start[:4])
    return frame is not None and parse_frame(start[frame.length : frame.length + 4]) is not None


def what_else(start: bytes) -> str:
    """Return what a file is that is no recording, such as "a web page"; empty if it is not known.

    Args:
        start: First SNIFFED_BYTES bytes of the file, or all bytes of a shorter file.
    """
    text = start[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what in _OTHERS.items():
        if text.startswith(mark):
            return what
    return "" if start.strip(b"\0") else "filled with zero bytes"

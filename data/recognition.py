"""Recognition of sound files by their suffix or first bytes, and the supported formats."""

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
        "asf,mpegts,mpeg,flv,wv,tta,voc",
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
# Bit rates of AC-3 in kbit/s (ATSC A/52, table 5.18).
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


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
    if _is_mpeg_audio(start) or _is_aac(start) or _is_ac3(start):
        return SOUND
    for mark, name in _UNREAD.items():
        if is_binary and start.startswith(mark):
            return name
    if start.startswith(_CONTAINERS) or is_transport_stream(start):
        return CONTAINER
    return CONTAINER if start[4:8] in _MP4 and start[8:12] not in _PICTURES else OTHER


def is_transport_stream(start: bytes) -> bool:
    """Return whether a file begins with three packets of an MPEG-2 transport stream (188 bytes, or 192 with time code)."""
    return any(
        start[offset : offset + 1] == start[offset + size : offset + size + 1] == start[offset + 2 * size :][:1] == b"G"
        for offset, size in ((0, 188), (4, 192))
    )


def _is_mpeg_audio(start: bytes) -> bool:
    """Return whether a file begins with two adjacent frames of MPEG audio; one frame header alone is not specific."""
    frame = parse_frame(start[:4])
    return frame is not None and parse_frame(start[frame.length : frame.length + 4]) is not None


def _is_aac(start: bytes) -> bool:
    """Return whether a file begins with two adjacent ADTS frames."""
    if len(start) < 7 or start[0] != 0xFF or start[1] & 0xF6 != 0xF0:
        return False
    length = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
    following = start[length : length + 2]
    return length > 7 and following[:1] == b"\xff" and len(following) == 2 and following[1] & 0xF6 == 0xF0


def _is_ac3(start: bytes) -> bool:
    """Return whether a file begins with two adjacent frames of AC-3 or Enhanced AC-3 (ATSC A/52, annex E)."""
    if len(start) < 6 or start[:2] != b"\x0b\x77":
        return False
    if 10 < start[5] >> 3 <= 16:
        words = ((start[2] & 7) << 8 | start[3]) + 1
    elif start[4] >> 6 == 3 or (start[4] & 63) >> 1 >= len(_AC3_KBPS):
        return False
    else:
        kbps, odd = _AC3_KBPS[(start[4] & 63) >> 1], start[4] & 1
        words = {0: 2 * kbps, 1: 320 * kbps // 147 + odd, 2: 3 * kbps}[start[4] >> 6]
    return start[2 * words : 2 * words + 2] == b"\x0b\x77"

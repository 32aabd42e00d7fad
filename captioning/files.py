"""Which files to caption and with what; light to import, so that a window can open before PyTorch is there."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.audio import AUDIO_SUFFIXES, AudioError, stream_audio

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "any_sound"

# Names that tell a recording as well, of formats that data.audio reads.
MORE_SUFFIXES = frozenset(
    [
        ".3g2", ".3gp", ".3gpp", ".ac3", ".aifc", ".amr", ".awb", ".bwf", ".m4b", ".m4r", ".mp2", ".mpga", ".rf64",
        ".snd", ".spx", ".wave", ".weba",
    ]
)  # fmt: skip
_MOST_NAMED = 10  # files left out, in the line that names them
_SNIFFED_BYTES = 8192


@dataclass
class Recordings:
    """What arguments name.

    Attributes:
        files: in the order of the arguments, and sorted within a folder.
        left_out: files of folders that are not captioned, and why: media that are not read, and what cannot be opened.
        num_others: number of files of folders that are no sound at all, by suffix.
        others: the first of these.
    """

    files: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    num_others: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @property
    def num_left_out(self) -> int:
        """Files of folders that are not captioned."""
        return len(self.left_out) + self.num_others.total()

    def told(self) -> str:
        """One line that counts and names what is left out; empty where that is nothing."""
        if not self.num_left_out:
            return ""
        named = [f"{path} ({reason})" for path, reason in self.left_out[:_MOST_NAMED]]
        named += self.others[: max(0, _MOST_NAMED - len(named))]
        more = self.num_left_out - len(named)
        kinds = ", ".join(f"{number} {suffix or 'without suffix'}" for suffix, number in self.num_others.most_common(5))
        rest = f" and {more} more" + (f" (no sound: {kinds})" if kinds else "") if more else ""
        files = "1 file was" if self.num_left_out == 1 else f"{self.num_left_out} files were"
        return f"{files} left out: {', '.join(named)}{rest}."

    def _leave_out(self, path: Path, reason: str) -> None:
        if reason:
            self.left_out.append((str(path), reason))
        else:
            self.num_others[path.suffix.lower()] += 1
            if len(self.others) < _MOST_NAMED:
                self.others.append(str(path))


def expand(inputs: Sequence[str]) -> list[str]:
    """Files that arguments name: themselves, those in a folder, or those a pattern matches."""
    return list_recordings(inputs).files


def list_recordings(inputs: Sequence[str]) -> Recordings:
    """Recordings that arguments name: themselves, those in a folder, or those a pattern matches.

    In a folder a recording is told by its suffix, and by its content where the suffix does not tell. Linked folders are
    followed, each folder once; hidden files and folders are not looked at.

    Raises:
        ValueError: a folder without recordings, or a pattern that no file matches.
    """
    found = Recordings()
    for argument in inputs:
        if os.path.isdir(argument):
            number = len(found.files)
            _add_folder(found, Path(argument))
            if len(found.files) == number:
                raise ValueError(
                    f"the folder {argument} holds no audio files.{' ' if found.told() else ''}{found.told()}"
                )
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            matches = sorted(glob.glob(argument, recursive=True))
            if not matches:
                raise ValueError(f"no file matches {argument}.")
            found.files += matches
        else:
            found.files.append(argument)
    return found


def shown_name(name: str) -> str:
    r"""A file's name as UTF-8 text; bytes that are none become escapes such as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _add_folder(found: Recordings, folder: Path) -> None:
    taken = []
    for path in sorted(_files_below(folder, found)):
        reason = _why_not(path)
        if reason is None:
            taken.append(str(path))
        else:
            found._leave_out(path, reason)
    found.files += taken


def _files_below(folder: Path, found: Recordings) -> Iterator[Path]:
    """All that is no folder; real folders come first, so that each has its own name rather than a link's."""
    seen: set[tuple[int, int]] = set()
    linked = [folder]
    while linked:
        folders = [linked.pop(0)]
        while folders:
            current = folders.pop()
            try:
                status = os.stat(current)
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = sorted(os.scandir(current), key=lambda entry: entry.name)
            except OSError as error:
                found._leave_out(current, f"a folder that cannot be read: {error.strerror}")
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_dir():
                    linked.append(Path(entry.path))
                else:
                    yield Path(entry.path)


def _why_not(path: Path) -> str | None:
    """None for a recording; else why it is left out, which is empty for what is no sound at all."""
    by_name = path.suffix.lower() in AUDIO_SUFFIXES | MORE_SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "no regular file" if by_name else ""
        if by_name:
            return None
        with path.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return "its link leads nowhere" if by_name else ""
        return f"it cannot be opened: {error.strerror}"
    return _judge(path, start)


def _judge(path: Path, start: bytes) -> str | None:
    """As `_why_not`, by the first bytes of a file."""
    if start[:4] in _RIFFS:
        return None if start[8:12] == b"WAVE" else "AVI, which is not read" if start[8:12] == b"AVI " else ""
    if start[:4] == b"FORM" and start[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV"):
        return None
    if start.startswith(_SOUNDS) or _is_mpeg_audio(start) or _is_aac(start) or _is_ac3(start):
        return None
    for mark, name in _UNREAD.items():
        if start.startswith(mark) and b"\0" in start[:64]:  # no text that begins like that
            return f"{name}, which is not read"
    if start[:1] == start[188:189] == start[376:377] == b"G":
        return "MPEG transport stream, which is not read"
    is_mp4 = start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") and start[8:12] not in _PICTURES
    return _why_no_sound(path) if is_mp4 or start.startswith(_MATROSKA) else ""


def _why_no_sound(path: Path) -> str | None:
    """Of a video: None if it has a sound track, or is damaged, which its reader tells."""
    try:
        next(stream_audio(path, 16000, 0.1), None)
    except AudioError as error:
        return "a video without sound" if "no audio track" in str(error) else None
    return None


_RIFFS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_SOUNDS = (
    b"fLaC", b"OggS", b"ID3\x02", b"ID3\x03", b"ID3\x04", b".snd", b"caff", b"riff\x2e\x91\xcf\x11", b"#!AMR", b"ADIF",
    b"NIST_1A", b"Creative Voice File",
)  # fmt: skip
_MATROSKA = b"\x1a\x45\xdf\xa3"
_PICTURES = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis", b"crx ", b"jp2 ", b"jpx ")
_UNREAD = {
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "Windows Media",
    b"wvpk": "WavPack",
    b"MAC ": "Monkey's Audio",
    b"TTA1": "True Audio",
    b"DSD ": "DSD",
    b"FRM8": "DSD",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b".RMF": "RealMedia",
    b".ra\xfd": "RealAudio",
    b"FLV\x01": "Flash video",
    b"MThd": "MIDI",
    b"\x00\x00\x01\xba": "MPEG program stream",
    b"\x7f\xfe\x80\x01": "DTS",
}

# Bit rates in kbit/s of MPEG audio (ISO/IEC 11172-3 and 13818-3), by version 1 or 2 and layer, and of AC-3 (ATSC A/52).
_MPEG_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)


def _is_mpeg_audio(start: bytes) -> bool:
    """Two frames of MP1, MP2 or MP3, one behind the other: the first bytes alone stand in many files."""
    length = _mpeg_frame_bytes(start)
    return bool(length) and _mpeg_frame_bytes(start[length:]) > 0


def _mpeg_frame_bytes(start: bytes) -> int:
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE0 != 0xE0:
        return 0
    version_bits, layer_bits = start[1] >> 3 & 3, start[1] >> 1 & 3
    rate_index, speed = start[2] >> 2 & 3, start[2] >> 4
    if version_bits == 1 or layer_bits == 0 or rate_index == 3 or not 1 <= speed <= 14:
        return 0
    version, layer = 1 if version_bits == 3 else 2, 4 - layer_bits
    rate = (44100, 48000, 32000)[rate_index] >> {3: 0, 2: 1, 0: 2}[version_bits]
    kbps, padding = _MPEG_KBPS[version, layer][speed - 1], start[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4
    return (72_000 if (version, layer) == (2, 3) else 144_000) * kbps // rate + padding


def _is_aac(start: bytes) -> bool:
    """Two ADTS frames, one behind the other."""
    if len(start) < 7 or start[0] != 0xFF or start[1] & 0xF6 != 0xF0:
        return False
    length = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
    following = start[length : length + 2]
    return length > 7 and following[:1] == b"\xff" and len(following) == 2 and following[1] & 0xF6 == 0xF0


def _is_ac3(start: bytes) -> bool:
    """Two AC-3 frames, one behind the other."""
    if len(start) < 6 or start[:2] != b"\x0b\x77" or start[4] >> 6 == 3 or (start[4] & 63) >> 1 >= len(_AC3_KBPS):
        return False
    kbps, odd = _AC3_KBPS[(start[4] & 63) >> 1], start[4] & 1
    words = {0: 2 * kbps, 1: 320 * kbps // 147 + odd, 2: 3 * kbps}[start[4] >> 6]
    return start[2 * words : 2 * words + 2] == b"\x0b\x77"

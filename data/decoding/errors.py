"""What is wrong with a recording, in one sentence that names the file."""

import unicodedata
from pathlib import Path

REMEDY = "give a WAV, FLAC, OGG, MP3 or M4A file, or convert this one with ffmpeg"


class AudioError(ValueError):
    """A recording that cannot be captioned; the message is one sentence that names the file."""


def shown(path: str | Path) -> str:
    """A file's name on one line; one with control characters, which a terminal would obey, is quoted and escaped."""
    name = str(path)
    return repr(name) if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name) else name


def reason(error: BaseException) -> str:
    """What a library says, on one line and without its end."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:200].rstrip(". ") or type(error).__name__


def undecodable(path: Path, error: BaseException) -> AudioError:
    """The error of a file that no decoder makes sense of."""
    return AudioError(f"{shown(path)} is no audio that can be decoded ({reason(error)}): {REMEDY}.")

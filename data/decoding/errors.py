"""Errors of recordings: one sentence with the name of the file."""

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
    """Return a library's error message on one line, without its final punctuation."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:200].rstrip(". ") or type(error).__name__


def undecodable(path: Path, error: BaseException) -> AudioError:
    """The error of a file that no decoder makes sense of."""
    return AudioError(f"{shown(path)} is no audio that can be decoded ({reason(error)}): {REMEDY}.")

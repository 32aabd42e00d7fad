"""Errors for recordings that cannot be decoded, and helpers to format their messages."""

import unicodedata
from pathlib import Path

REMEDY = "give a WAV, FLAC, OGG, MP3 or M4A file, or convert this one with ffmpeg"


class AudioError(ValueError):
    """Raised if a recording cannot be captioned; the message is one sentence that contains the file name."""


def shown(path: str | Path) -> str:
    """Return a file name for a message; a name with control characters or line separators is quoted and escaped."""
    name = str(path)
    return repr(name) if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name) else name


def reason(error: BaseException) -> str:
    """Return the message of a library's exception on one line of at most 200 characters, without a final period."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:200].rstrip(". ") or type(error).__name__


def undecodable(path: Path, error: BaseException) -> AudioError:
    """Return the error for a file that no decoder can read, or for which FFmpeg is not installed (`env.sh --lite`)."""
    if isinstance(error, ModuleNotFoundError):
        return AudioError(
            f"{shown(path)} needs FFmpeg (the package {error.name}), which is not installed: give a WAV, FLAC, OGG or MP3 file, "
            "or run bash env.sh."
        )
    return AudioError(f"{shown(path)} cannot be decoded as audio ({reason(error)}): {REMEDY}.")

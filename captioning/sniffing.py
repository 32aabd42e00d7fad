"""Recognise recordings by their file name, or else by their content."""

import stat
from pathlib import Path

from data.audio import AudioError, stream_audio
from data.recognition import AUDIO_SUFFIXES, CONTAINER, OTHER, SNIFFED_BYTES, SOUND, recognise


def why_not(path: Path) -> str | None:
    """Return None for a recording, else the reason for skipping the file; empty if it is not audio."""
    by_name = path.suffix.lower() in AUDIO_SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "not a regular file" if by_name else ""
        if by_name:
            return None
        with path.open("rb") as file:
            kind = recognise(file.read(SNIFFED_BYTES))
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return "broken link" if by_name else ""
        return f"it cannot be opened: {error.strerror}"
    if kind == CONTAINER:
        return _why_no_sound(path)
    return {SOUND: None, OTHER: ""}.get(kind, f"{kind}, which is not supported")


def _why_no_sound(path: Path) -> str | None:
    """As `why_not`, for a video: None if it has an audio track, or is damaged (reading it reports the error)."""
    try:
        next(stream_audio(path, 16000, 0.1), None)
    except AudioError as error:
        return "video without sound" if "no audio track" in str(error) else None
    return None

"""Which files are recordings, told by name or else by content."""

import stat
from pathlib import Path

from data.audio import AudioError, stream_audio
from data.recognition import AUDIO_SUFFIXES, CONTAINER, OTHER, SNIFFED_BYTES, SOUND, recognise


def why_not(path: Path) -> str | None:
    """None for a recording; else why it is left out, which is empty for what is no sound at all."""
    by_name = path.suffix.lower() in AUDIO_SUFFIXES
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "no regular file" if by_name else ""
        if by_name:
            return None
        with path.open("rb") as file:
            kind = recognise(file.read(SNIFFED_BYTES))
    except OSError as error:
        if path.is_symlink() and not path.exists():
            return "its link leads nowhere" if by_name else ""
        return f"it cannot be opened: {error.strerror}"
    if kind == CONTAINER:
        return _why_no_sound(path)
    return {SOUND: None, OTHER: ""}.get(kind, f"{kind}, which is not read")


def _why_no_sound(path: Path) -> str | None:
    """Of a video: None if it has a sound track, or is damaged, which its reader tells."""
    try:
        next(stream_audio(path, 16000, 0.1), None)
    except AudioError as error:
        return "a video without sound" if "no audio track" in str(error) else None
    return None

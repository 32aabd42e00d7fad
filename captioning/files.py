"""Which files to caption and with what; light to import, so that a window can open before PyTorch is there."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from data.audio import find_audio_files

DEFAULT_CHECKPOINT = Path(__file__).parents[1] / "checkpoints" / "any_sound"


def expand(inputs: Sequence[str]) -> list[str]:
    """Files that arguments name: themselves, those in a folder, or those a pattern matches."""
    files: list[str] = []
    for argument in inputs:
        if os.path.isdir(argument):
            found = [str(path) for path in find_audio_files(argument)]
            if not found:
                raise ValueError(f"the folder {argument} holds no audio files.")
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            found = sorted(glob.glob(argument, recursive=True))
            if not found:
                raise ValueError(f"no file matches {argument}.")
        else:
            found = [argument]
        files += found
    return files

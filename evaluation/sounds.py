"""Sounds and their pictures as data addresses, for a page that needs no other file."""

import base64
import io
import logging
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import soundfile
from matplotlib import colormaps, image
from numpy.typing import NDArray

from data.audio import AudioError, audio_duration_s, load_audio

logger = logging.getLogger(__name__)

PAGE_RATE = 32000  # hertz; what the captioners hear at most
LONGEST_S = 30.0  # seconds of a recording that a page takes; as long as Clotho's longest
NUM_MELS, PICTURE_WIDTH = 96, 640
DYNAMIC_RANGE_DB = 70.0


@dataclass(frozen=True)
class PageSound:
    """A recording on a page.

    Attributes:
        audio: data address of an MP3.
        picture: data address of a PNG, its log-mel spectrogram.
        duration_s: length of what is on the page, seconds.
        whole: whether that is all of it.
    """

    audio: str
    picture: str
    duration_s: float
    whole: bool


def page_sound(path: Path) -> PageSound | None:
    """A recording for a page, or None where it cannot be read, which is logged."""
    try:
        waveform = load_audio(path, PAGE_RATE, max_duration_s=LONGEST_S)
        whole = audio_duration_s(path) <= LONGEST_S + 0.05
    except AudioError as error:
        logger.warning("the report goes without a sound: %s", error)
        return None
    picture = spectrogram_png(waveform)
    return PageSound(
        _address(mp3(waveform), "audio/mpeg"), _address(picture, "image/png"), len(waveform) / PAGE_RATE, whole
    )


def mp3(waveform: NDArray[np.float32]) -> bytes:
    """A waveform (S,) at PAGE_RATE as MP3, which every browser plays; about 8 kB a second."""
    buffer = io.BytesIO()
    clipped = np.clip(waveform, -1.0, 1.0)
    with soundfile.SoundFile(
        buffer, "w", PAGE_RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.6,
        bitrate_mode="VARIABLE",
    ) as file:  # fmt: skip
        file.write(clipped)
    return buffer.getvalue()


def spectrogram_png(waveform: NDArray[np.float32]) -> bytes:
    """Log-mel spectrogram of a waveform (S,) at PAGE_RATE: time to the right, 0 to 16 kHz upwards (mel scale)."""
    hop = max(64, -(-len(waveform) // PICTURE_WIDTH))
    padded = np.pad(waveform, (0, max(0, 2048 - len(waveform))))
    power = librosa.feature.melspectrogram(y=padded, sr=PAGE_RATE, n_fft=2048, hop_length=hop, n_mels=NUM_MELS)
    level = librosa.power_to_db(power, ref=np.max, top_db=DYNAMIC_RANGE_DB)  # (mels, frames), -70 to 0
    steps = np.round((level / DYNAMIC_RANGE_DB + 1) * 63) / 63  # fewer colours make a smaller file
    buffer = io.BytesIO()
    image.imsave(
        buffer, steps[::-1], cmap=colormaps["magma"], vmin=0, vmax=1, format="png", pil_kwargs={"optimize": True}
    )
    return buffer.getvalue()


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

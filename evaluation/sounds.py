"""Audio and spectrograms as data URLs, for a page without other files."""

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

PAGE_RATE = 32000  # sample rate of the audio in hertz
LONGEST_S = 30.0  # seconds of a recording on the page, the length of Clotho's longest clips
NUM_MELS, PICTURE_WIDTH = 96, 640
DYNAMIC_RANGE_DB = 70.0


@dataclass(frozen=True)
class PageSound:
    """A recording on a page.

    Attributes:
        audio: data URL of an MP3.
        picture: data URL of a PNG of the log-mel spectrogram.
        duration_s: length of the audio on the page in seconds.
        whole: whether this is the whole recording.
    """

    audio: str
    picture: str
    duration_s: float
    whole: bool


def page_sound(path: Path) -> PageSound | None:
    """Load a recording for the page; None, with a warning, if it cannot be read."""
    try:
        waveform = load_audio(path, PAGE_RATE, max_duration_s=LONGEST_S)
        whole = audio_duration_s(path) <= LONGEST_S + 0.05
    except AudioError as error:
        logger.warning("the report omits a recording: %s", error)
        return None
    picture = spectrogram_png(waveform)
    return PageSound(
        _address(mp3(waveform), "audio/mpeg"), _address(picture, "image/png"), len(waveform) / PAGE_RATE, whole
    )


def mp3(waveform: NDArray[np.float32]) -> bytes:
    """Encode a waveform (S,) at PAGE_RATE as MP3, which all browsers play; about 8 kB per second."""
    buffer = io.BytesIO()
    clipped = np.clip(waveform, -1.0, 1.0)
    with soundfile.SoundFile(
        buffer, "w", PAGE_RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.6,
        bitrate_mode="VARIABLE",
    ) as file:  # fmt: skip
        file.write(clipped)
    return buffer.getvalue()


def spectrogram_png(waveform: NDArray[np.float32]) -> bytes:
    """Draw the log-mel spectrogram of a waveform (S,) at PAGE_RATE as PNG; the vertical axis is 0 to 16 kHz (mel scale)."""
    hop = max(64, -(-len(waveform) // PICTURE_WIDTH))
    padded = np.pad(waveform, (0, max(0, 2048 - len(waveform))))
    power = librosa.feature.melspectrogram(y=padded, sr=PAGE_RATE, n_fft=2048, hop_length=hop, n_mels=NUM_MELS)
    level = librosa.power_to_db(power, ref=np.max, top_db=DYNAMIC_RANGE_DB)  # (mels, frames), -70 to 0
    steps = np.round((level / DYNAMIC_RANGE_DB + 1) * 63) / 63  # fewer colours give a smaller file
    buffer = io.BytesIO()
    image.imsave(
        buffer, steps[::-1], cmap=colormaps["magma"], vmin=0, vmax=1, format="png", pil_kwargs={"optimize": True}
    )
    return buffer.getvalue()


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

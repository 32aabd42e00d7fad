"""Any recording to a mono float32 waveform at the model's rate.

soundfile (libsndfile) reads wav, flac, ogg and mp3; PyAV (FFmpeg) reads what it cannot: m4a, webm, mp4, opus in other
containers. Both decode block by block, channels are averaged and soxr resamples as the blocks come, so that an hour
never lies in memory whole. Recordings come from strangers: only regular local files are opened, FFmpeg may use no other
file and no network, and rates, channels and decoded seconds are bounded.
"""

import logging
import math
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Waveform = NDArray[np.float32]

AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".m4a",
        ".aac",
        ".mp4",
        ".m4v",
        ".mov",
        ".webm",
        ".mkv",
        ".mka",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
    ]
)
# AVI is left out on purpose, and so is every format that names other files (concat, hls, image2 ...).
_FORMATS = "wav,flac,ogg,mp3,aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aiff,au,caf,w64,amr,ac3"
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MAX_DECODED_S = 24 * 3600.0
_BLOCK_FRAMES = 1 << 16
SILENCE_PEAK = 10 ** (-80 / 20)  # below -80 dBFS: the last bits of a 16-bit recording
_SHORTEST_WINDOW_S = 0.1
_TRUNCATED_SHARE = 0.98  # a header may promise a little more than a codec's padding leaves


class AudioError(ValueError):
    """A recording that cannot be captioned; the message is one sentence that names the file."""


def load_audio(
    path: str | Path, sample_rate: int, *, start_s: float = 0.0, max_duration_s: float | None = None
) -> Waveform:
    """Decode a recording.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        start_s: seconds to leave out at the beginning.
        max_duration_s: seconds to decode at most; None decodes all.

    Returns:
        (S,) float32, mean of the channels, at least one sample.

    Raises:
        AudioError: missing, no regular file, no audio, empty, NaN or infinite values, or beyond the bounds above.
    """
    start = round(start_s * sample_rate)
    stop = None if max_duration_s is None else start + round(max_duration_s * sample_rate)
    blocks = list(_span(_resampled_blocks(Path(path), sample_rate), start, stop))
    waveform = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if not len(waveform):
        raise AudioError(f"{path} ends before {start_s:g} s." if start else f"{path} holds no audio samples.")
    return waveform


def stream_audio(
    path: str | Path,
    sample_rate: int,
    window_s: float,
    hop_s: float | None = None,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> Iterator[tuple[float, Waveform]]:
    """Windows of a recording of any length, decoded as they are asked for.

    Args:
        path: a regular local file.
        sample_rate: wanted rate, hertz.
        window_s: length of a window, seconds.
        hop_s: from one window's start to the next one's, seconds, at most `window_s`; None: windows touch.
        start_s: where the first window starts, seconds from the recording's beginning.
        end_s: where the last window ends at the latest, seconds; None: the recording's end.

    Yields:
        Start in seconds and the window (S,) float32. The last one may be shorter; under 0.1 s it is left out.

    Raises:
        AudioError: as `load_audio`, also after the first windows.
        ValueError: a window or hop that is not positive, or a hop longer than the window.
    """
    window, hop = round(window_s * sample_rate), round((hop_s or window_s) * sample_rate)
    if not 0 < hop <= window:
        raise ValueError(f"windows of {window_s} s every {hop_s} s: both must be positive and the hop not the longer.")
    first, stop = round(start_s * sample_rate), None if end_s is None else round(end_s * sample_rate)
    pending, start, produced = np.zeros(0, np.float32), first, 0  # `pending` begins at sample `start`
    for block in _span(_resampled_blocks(Path(path), sample_rate), first, stop):
        pending = np.concatenate([pending, block])
        while len(pending) >= window:
            yield start / sample_rate, pending[:window].copy()
            pending, start, produced = pending[hop:], start + hop, produced + 1
    # With overlapping windows the rest has been heard already unless it reaches past the last window.
    unheard = len(pending) - (window - hop if produced else 0)
    if unheard >= _SHORTEST_WINDOW_S * sample_rate or (not produced and len(pending)):
        yield start / sample_rate, pending
    elif not produced:
        raise AudioError(f"{path} ends before {start_s:g} s." if first else f"{path} holds no audio samples.")


def _span(blocks: Iterator[Waveform], first: int, stop: int | None) -> Iterator[Waveform]:
    """The samples `first` to `stop` (None: to the end) of a stream of blocks (S,)."""
    position = 0
    for block in blocks:
        yield block[max(0, first - position) : None if stop is None else max(0, stop - position)]
        position += len(block)
        if stop is not None and position >= stop:
            return


def audio_duration_s(path: str | Path) -> float:
    """Length of a recording in seconds as its header declares it, or decoded where it declares none."""
    path = _regular_file(Path(path))
    try:
        with path.open("rb") as file, soundfile.SoundFile(file) as sound:
            return float(sound.frames) / sound.samplerate
    except (soundfile.LibsndfileError, RuntimeError):
        return sum(len(block) for block in _resampled_blocks(path, 8000)) / 8000


def is_silent(waveform: Waveform, peak: float = SILENCE_PEAK) -> bool:
    """Whether nothing in a waveform (S,) reaches `peak`, 0 to 1; without it, -80 dB of full scale."""
    return not len(waveform) or float(np.abs(waveform).max()) < peak


def find_audio_files(folder: str | Path) -> list[Path]:
    """Files below a folder that bear an audio suffix, sorted; hidden ones are left out."""
    folder = Path(folder)
    found = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _regular_file(path: Path) -> Path:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise AudioError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(mode):
        raise AudioError(f"{path} is not a regular file: give a recording on this machine.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path} is empty (0 bytes).")
    return path


def _resampled_blocks(path: Path, sample_rate: int) -> Iterator[Waveform]:
    """Mono blocks (S,) float32 at `sample_rate`."""
    path = _regular_file(path)
    resampler: soxr.ResampleStream | None = None
    for rate, block in _decoded_blocks(path):
        if not np.isfinite(block).all():
            raise AudioError(f"{path} holds NaN or infinite samples: export it again as 16-bit or 24-bit audio.")
        if rate == sample_rate:
            yield block
            continue
        resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
        resampled = resampler.resample_chunk(block)
        if len(resampled):
            yield resampled
    if resampler is not None:
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(rest):
            yield rest


def _decoded_blocks(path: Path) -> Iterator[tuple[int, Waveform]]:
    """Rate and mono blocks, by soundfile where it knows the format and by PyAV else."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}.") from error
    with file:
        try:
            sound = soundfile.SoundFile(file)  # a file object also opens names that are not UTF-8
        except (soundfile.LibsndfileError, RuntimeError, TypeError):
            file.seek(0)
            yield from _blocks_by_av(path, file)
            return
        with sound:
            if sound.subtype != "OPUS":
                yield from _blocks_by_soundfile(path, sound)
                return
        # libsndfile 1.2.2 breaks the phase of Opus where one read ends and the next begins; FFmpeg does not.
    with path.open("rb") as file:
        yield from _blocks_by_av(path, file)


def _check_bounds(path: Path, rate: int, channels: int) -> None:
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise AudioError(f"{path} has a sample rate of {rate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz are read.")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{path} has {channels} channels; 1 to {MAX_CHANNELS} are read.")


def _check_length(path: Path, frames: int, rate: int) -> None:
    if frames > MAX_DECODED_S * rate:
        raise AudioError(f"{path} decodes to more than {MAX_DECODED_S / 3600:.0f} hours: cut it into parts.")


def _warn_if_short(path: Path, decoded: float, declared: float, unit: str) -> None:
    if decoded < declared * _TRUNCATED_SHARE:
        logger.warning("%s is truncated: %.0f of %.0f %s could be decoded.", path, decoded, declared, unit)


def _blocks_by_soundfile(path: Path, sound: soundfile.SoundFile) -> Iterator[tuple[int, Waveform]]:
    _check_bounds(path, sound.samplerate, sound.channels)
    decoded = 0
    frames_at_once = max(1, _BLOCK_FRAMES // sound.channels)
    try:
        while len(block := sound.read(frames_at_once, dtype="float32", always_2d=True)):
            decoded += len(block)
            _check_length(path, decoded, sound.samplerate)
            yield sound.samplerate, block.mean(axis=1)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if not decoded:
            raise AudioError(f"{path} cannot be decoded ({error}).") from error
        logger.warning("%s is damaged after %.1f s: %s", path, decoded / sound.samplerate, error)
        return
    if not decoded:
        raise AudioError(f"{path} holds no audio samples.")
    # libsndfile trusts the header of a WAV cut short only as far as the file goes, so the header is read again here.
    declared = max(sound.frames, _declared_wav_frames(path))
    if declared < MAX_DECODED_S * sound.samplerate:
        _warn_if_short(path, decoded, declared, "samples")


def _declared_wav_frames(path: Path) -> int:
    """Frames that a WAV header promises; 0 for other files and for lengths left open by a recorder."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
            return 0
        block_align = 0
        while len(header := file.read(8)) == 8:
            size = int.from_bytes(header[4:], "little")
            if header[:4] == b"fmt ":
                content = file.read(size)
                block_align = int.from_bytes(content[12:14], "little")
            elif header[:4] == b"data":
                return size // block_align if block_align and size < 0x7FFFFFFF else 0
            else:
                file.seek(size, 1)
            if size % 2:
                file.seek(1, 1)
    return 0


def _blocks_by_av(path: Path, file: BinaryIO) -> Iterator[tuple[int, Waveform]]:
    # The open file is handed over, so FFmpeg has no name from which to open others, and no protocol to do it with.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    decoded, rate, declared = 0, 0, 0.0
    try:
        with av.open(file, mode="r", options=options, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{path} has no audio track.")
            stream = container.streams.audio[0]
            rate, channels = stream.rate or 0, stream.channels or 0
            _check_bounds(path, rate, channels)
            if stream.duration is not None and stream.time_base is not None:
                declared = float(stream.duration * Fraction(stream.time_base))
            elif container.duration:
                declared = container.duration / av.time_base
            resampler = av.AudioResampler(format="fltp", rate=rate)
            for frame in _frames(container, stream, resampler):
                samples = np.asarray(frame.to_ndarray(), dtype=np.float32)  # (channels, S)
                decoded += samples.shape[1]
                _check_length(path, decoded, rate)
                yield rate, samples.mean(axis=0)
    except AudioError:
        raise
    except (av.FFmpegError, OSError, ValueError, RuntimeError, MemoryError, KeyError, IndexError, EOFError) as error:
        if not decoded:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise AudioError(f"{path} is no audio that can be decoded ({reason}).") from error
        logger.warning("%s is damaged after %.1f s: %s", path, decoded / rate, error)
        return
    if not decoded:
        raise AudioError(f"{path} holds no audio samples.")
    if declared < MAX_DECODED_S and not math.isinf(declared):
        _warn_if_short(path, decoded, declared * rate, "samples")


def _frames(
    container: av.container.InputContainer, stream: av.AudioStream, resampler: av.AudioResampler
) -> Iterator[av.AudioFrame]:
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)

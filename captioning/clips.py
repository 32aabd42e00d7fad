"""From files to captioned clips: decoding, windows, silence, batches."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.schema import DecodingConfig
from data.audio import SILENCE_PEAK, AudioError, Waveform, audio_duration_s, is_silent, load_audio, stream_audio
from data.caption_formats import SILENCE, CaptionRecord
from models.captioner import AudioCaptioner

logger = logging.getLogger(__name__)
BUFFER_BATCHES = 8  # clips are sorted by length within this many batches


@dataclass(frozen=True)
class Clip:
    """A waveform (S,) that waits for its captions, with its place in the output."""

    number: int
    file: str
    start_s: float
    end_s: float
    waveform: Waveform
    references: tuple[str, ...] = ()


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU."""
    if name != "auto":
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"no CUDA device is here for --device {name}: use --device cpu.")
        return device
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


class Reader:
    """Clips of files, decoded one after another; those that cannot be read are named and counted.

    Args:
        sample_rate: hertz.
        max_duration_s: longest clip without a timeline.
        timeline_s: window length in seconds, or None for one clip a file.
        start_s: seconds to leave out at each file's beginning.
        end_s: where to stop in each file, seconds; None: at its end.
    """

    def __init__(
        self,
        sample_rate: int,
        max_duration_s: float,
        timeline_s: float | None,
        start_s: float = 0.0,
        end_s: float | None = None,
    ) -> None:
        self.sample_rate, self.max_duration_s, self.timeline_s = sample_rate, max_duration_s, timeline_s
        self.start_s, self.end_s = start_s, end_s
        self.errors: list[str] = []
        self._number = 0

    @property
    def num_bad(self) -> int:
        """Files that could not be read, or not to their end."""
        return len(self.errors)

    def clips(self, files: Iterable[tuple[str, Path, tuple[str, ...]]]) -> Iterator[Clip]:
        """Clips of (name to print, path, references) triples."""
        for name, path, references in files:
            try:
                for start_s, waveform in self._windows(path):
                    end_s = start_s + len(waveform) / self.sample_rate
                    yield Clip(self._number, name, start_s, end_s, waveform, references)
                    self._number += 1
            except AudioError as error:
                self.errors.append(str(error))
                logger.error("%s", error)

    def _windows(self, path: Path) -> Iterator[tuple[float, Waveform]]:
        if self.timeline_s:
            yield from stream_audio(path, self.sample_rate, self.timeline_s, start_s=self.start_s, end_s=self.end_s)
            return
        longest = self.max_duration_s if self.end_s is None else min(self.max_duration_s, self.end_s - self.start_s)
        waveform = load_audio(path, self.sample_rate, start_s=self.start_s, max_duration_s=longest)
        if (
            self.end_s is None
            and len(waveform) >= self.max_duration_s * self.sample_rate
            and audio_duration_s(path) - self.start_s > self.max_duration_s + 0.05
        ):
            logger.warning(
                "%s is %.0f s long; its first %.0f s are captioned: --timeline 10 captions all of it in windows.",
                path, audio_duration_s(path), self.max_duration_s,
            )  # fmt: skip
        yield self.start_s, waveform


def caption_clips(
    captioner: AudioCaptioner,
    clips: Iterable[Clip],
    decoding: DecodingConfig,
    batch_size: int,
    silence_peak: float = SILENCE_PEAK,
) -> Iterator[CaptionRecord]:
    """Captions of clips in their order; within a buffer, clips of like length share a batch.

    Nothing is guessed about a clip whose samples all stay under `silence_peak`, 0 to 1: it is called silence.
    """
    buffer: list[Clip] = []
    for clip in clips:
        buffer.append(clip)
        if len(buffer) == batch_size * BUFFER_BATCHES:
            yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak)
            buffer = []
    yield from _caption_buffer(captioner, buffer, decoding, batch_size, silence_peak)


def _caption_buffer(
    captioner: AudioCaptioner, buffer: Sequence[Clip], decoding: DecodingConfig, batch_size: int, silence_peak: float
) -> list[CaptionRecord]:
    found: dict[int, tuple[tuple[str, float], ...]] = {
        clip.number: SILENCE for clip in buffer if is_silent(clip.waveform, silence_peak)
    }
    heard = sorted((clip for clip in buffer if clip.number not in found), key=lambda clip: len(clip.waveform))
    for start in range(0, len(heard), batch_size):
        part = heard[start : start + batch_size]
        for clip, captions in zip(part, captioner.caption([clip.waveform for clip in part], decoding), strict=True):
            found[clip.number] = tuple((caption.text, caption.log_probability) for caption in captions)
    return [CaptionRecord(clip.file, clip.start_s, clip.end_s, found[clip.number], clip.references) for clip in buffer]

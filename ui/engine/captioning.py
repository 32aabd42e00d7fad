"""Step-wise captioning of recordings; runs in the process that imports PyTorch."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch

from captioning.options import choose_device
from captioning.recordings import Reader, caption_clips, scored
from configs.schema import DecodingConfig
from data.audio import Waveform, audio_duration_s, is_silent
from data.caption_formats import SILENCE, CaptionRecord, merge_neighbours
from models.captioner import AudioCaptioner
from ui.engine.requests import CaptionerChoice, CaptionerInfo, CaptionRequest, Captions, EngineError

WINDOWS_AT_ONCE = 4  # windows per step; a cancel takes effect after a step
SHORTEST_CLIP_S = 0.1
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


@dataclass(frozen=True)
class Step:
    """Progress of captioning a recording.

    Attributes:
        share: completed fraction, 0 to 1.
        new: captions since the previous step, in order of time.
        records: all captions, with equal neighbours merged, once `share` is 1.
    """

    share: float
    new: list[CaptionRecord] = field(default_factory=list)
    records: list[CaptionRecord] | None = None


class CaptioningEngine:
    """Loads a captioner and captions recordings and waveforms with it."""

    def __init__(self) -> None:
        self._choice: CaptionerChoice | None = None
        self._captioner: AudioCaptioner | None = None

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        """Load a captioner unless it is already loaded."""
        if self._captioner is None or choice != self._choice:
            device = choose_device(choice.device)  # a missing checkpoint must not unload the current captioner
            self._captioner = None  # memory may not suffice for two captioners
            self._captioner = AudioCaptioner.from_pretrained(choice.checkpoint, device)
            self._choice = choice
        captioner = self._captioner
        parts = captioner.config.captioner
        return CaptionerInfo(
            choice.checkpoint,
            parts.encoder.name,
            str(captioner.device),
            captioner.sample_rate,
            captioner.max_duration_s,
            tuple(parts.styles),
        )

    def steps(self, request: CaptionRequest) -> Iterator[Step]:
        """Caption a recording, window by window if it is long; equal neighbouring captions are merged.

        Raises:
            EngineError: if the recording cannot be read or is too short.
        """
        captioner = self._loaded()
        duration_s = audio_duration_s(request.path)
        end_s = duration_s if request.end_s is None else min(duration_s, request.end_s)
        length_s = end_s - request.start_s
        if length_s < SHORTEST_CLIP_S:
            raise EngineError(
                f"{request.path.name} is too short to caption: {max(0.0, length_s):.2f} s were selected, "
                f"{SHORTEST_CLIP_S:g} s are needed."
            )
        in_windows = request.always_windows or length_s > captioner.max_duration_s + 0.05
        window_s = min(request.window_s, captioner.max_duration_s)
        reader = Reader(
            captioner.sample_rate,
            captioner.max_duration_s,
            window_s if in_windows else None,
            start_s=request.start_s,
            end_s=request.end_s,
        )
        clips = reader.clips([(str(request.path), request.path, ())])
        decoding = self._decoding(request.decoding)
        records: list[CaptionRecord] = []
        while part := list(islice(clips, WINDOWS_AT_ONCE)):
            new = list(caption_clips(captioner, part, decoding, WINDOWS_AT_ONCE, request.silence_peak))
            records += new
            yield Step(min(0.99, (part[-1].end_s - request.start_s) / length_s), new)
        if reader.errors and not records:
            raise EngineError(reader.errors[0].error)
        yield Step(1.0, records=merge_neighbours(records) if in_windows else records)

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        """Caption a waveform (S,), float32, at the captioner's sample rate."""
        if is_silent(waveform):
            return SILENCE
        [found] = self._loaded().caption([waveform], self._decoding(decoding))
        return scored(found)

    def _loaded(self) -> AudioCaptioner:
        if self._captioner is None:
            raise EngineError("No captioner is loaded: choose a checkpoint in the settings.")
        return self._captioner

    def _decoding(self, changes: dict[str, Any]) -> DecodingConfig:
        captioner = self._loaded()
        if changes.get("style") not in (None, *captioner.config.captioner.styles):  # chosen for another checkpoint
            changes = {name: value for name, value in changes.items() if name != "style"}
        return dataclasses.replace(captioner.config.decoding, **changes)


def sentence(error: BaseException) -> str:
    """Return the message shown to the user for an error of the captioner."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error).lower() for words in _MEMORY_WORDS
    ):
        return "There is not enough memory to caption this: close other programs, or choose shorter windows."
    if isinstance(error, EngineError | ValueError | OSError):  # these errors have user-readable messages
        return str(error)
    return f"The captioner failed ({type(error).__name__}: {error})."

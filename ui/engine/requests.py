"""Interface of the captioner: requests and results, as plain data that can be sent between processes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from data.audio import SILENCE_PEAK, Waveform
from data.caption_formats import CaptionRecord, ScoredCaption


class EngineError(RuntimeError):
    """Raised when a request fails; the message is one sentence for the user."""


class Cancelled(Exception):
    """Raised when captioning was cancelled."""


@dataclass(frozen=True)
class CaptionerChoice:
    """Choice of checkpoint and device.

    Attributes:
        checkpoint: checkpoint folder, `step=N.pth` file or hub id.
        device: "auto", "cpu", "cuda" or "mps".
    """

    checkpoint: str
    device: str = "auto"


@dataclass(frozen=True)
class CaptionerInfo:
    """Description of the loaded captioner.

    Attributes:
        checkpoint: checkpoint as given in `CaptionerChoice`.
        encoder: name of the encoder.
        device: device that the captioner runs on.
        sample_rate: sample rate of its input, hertz.
        max_duration_s: maximum duration of a clip, seconds.
        styles: caption styles, the default first; empty if the checkpoint has none.
    """

    checkpoint: str
    encoder: str
    device: str
    sample_rate: int
    max_duration_s: float
    styles: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionRequest:
    """Request to caption a recording.

    Attributes:
        path: audio file.
        decoding: fields of `configs.schema.DecodingConfig` that override the checkpoint's values.
        window_s: window length, seconds, for recordings longer than one clip, or for all with `always_windows`.
        always_windows: caption short recordings window by window, too.
        start_s: start of the span, seconds.
        end_s: end of the span, seconds; None for the end of the recording.
        silence_peak: windows whose peak amplitude, 0 to 1, is below this are labelled silence.
    """

    path: Path
    decoding: dict[str, Any] = field(default_factory=dict)
    window_s: float = 10.0
    always_windows: bool = False
    start_s: float = 0.0
    end_s: float | None = None
    silence_peak: float = SILENCE_PEAK


Captions = tuple[ScoredCaption, ...]  # best first
OnProgress = Callable[[float, list[CaptionRecord]], None]  # completed fraction, 0 to 1; captions since the last call


class Engine(Protocol):
    """Protocol of a captioner. `cancel` and `close` may be called from any thread."""

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        """Load a captioner unless it is already loaded.

        Raises:
            EngineError: if it cannot be loaded.
        """

    def caption_file(self, request: CaptionRequest, on_progress: OnProgress) -> list[CaptionRecord]:
        """Caption a recording and return all captions.

        Raises:
            EngineError: if it cannot be captioned.
            Cancelled: if `cancel` was called.
        """

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        """Caption a waveform (S,) at the captioner's sample rate, also while a recording is being captioned.

        Raises:
            EngineError: if it cannot be captioned.
        """

    def cancel(self) -> None:
        """Cancel captioning of the current recording."""

    def close(self) -> None:
        """Stop immediately; pending calls raise."""

"""What the app asks of a captioner and what it answers; plain data that also crosses between processes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from data.audio import SILENCE_PEAK, Waveform
from data.caption_formats import CaptionRecord, ScoredCaption


class EngineError(RuntimeError):
    """A captioner that cannot do what it was asked; the message is one sentence."""


class Cancelled(Exception):
    """A person does not want the captions any more."""


@dataclass(frozen=True)
class CaptionerChoice:
    """Which captioner to load.

    Attributes:
        checkpoint: folder, `step=N.pth` file or hub id.
        device: auto, cpu, cuda, mps.
    """

    checkpoint: str
    device: str = "auto"


@dataclass(frozen=True)
class CaptionerInfo:
    """The captioner that was loaded.

    Attributes:
        checkpoint: as it was chosen.
        encoder: its encoder's name.
        device: where it runs.
        sample_rate: what it takes, hertz.
        max_duration_s: longest clip that it captions at once, seconds.
        styles: of captions that it knows, the usual one first; empty where it knows no styles.
    """

    checkpoint: str
    encoder: str
    device: str
    sample_rate: int
    max_duration_s: float
    styles: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionRequest:
    """A recording to caption.

    Attributes:
        path: the recording.
        decoding: fields of `configs.schema.DecodingConfig` that replace the checkpoint's own.
        window_s: length of windows, seconds, for recordings longer than one clip, or for all with `always_windows`.
        always_windows: also caption short recordings window by window.
        start_s: where to begin, seconds.
        end_s: where to stop, seconds; None: the end.
        silence_peak: below this amplitude, 0 to 1, a window is called silence.
    """

    path: Path
    decoding: dict[str, Any] = field(default_factory=dict)
    window_s: float = 10.0
    always_windows: bool = False
    start_s: float = 0.0
    end_s: float | None = None
    silence_peak: float = SILENCE_PEAK


Captions = tuple[ScoredCaption, ...]  # best first
OnProgress = Callable[[float, list[CaptionRecord]], None]  # the share done, 0 to 1; captions since the last call


class Engine(Protocol):
    """A captioner, wherever it runs. `cancel` and `close` may be called from any thread."""

    def load(self, choice: CaptionerChoice) -> CaptionerInfo:
        """Load a captioner, unless it is the one that is loaded.

        Raises:
            EngineError: it cannot be loaded.
        """

    def caption_file(self, request: CaptionRequest, on_progress: OnProgress) -> list[CaptionRecord]:
        """Caption a recording; returns all its captions.

        Raises:
            EngineError: it cannot be captioned.
            Cancelled: `cancel` was called.
        """

    def caption_waveform(self, waveform: Waveform, decoding: dict[str, Any]) -> Captions:
        """Caption samples (S,) at the captioner's rate, also while a recording is being captioned.

        Raises:
            EngineError: it cannot be captioned.
        """

    def cancel(self) -> None:
        """Give up the recording that is being captioned."""

    def close(self) -> None:
        """Stop at once; waiting calls raise."""

"""What captioning needs of a captioner: `models.captioner.AudioCaptioner` (torch) or `runtime.captioner.OnnxCaptioner`."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from configs.schema import Config, DecodingConfig
from generation.calibration import Calibration
from generation.pipeline import Caption


class Captioner(Protocol):
    """A captioner of any engine.

    Attributes:
        config: configuration of its checkpoint.
    """

    config: Config

    @property
    def sample_rate(self) -> int:
        """Sample rate of input waveforms, in hertz."""

    @property
    def max_duration_s(self) -> float:
        """Longest clip that `caption` accepts, in seconds."""

    @property
    def calibration(self) -> Calibration | None:
        """Calibration of caption probabilities; None without one."""

    def caption(
        self, waveforms: Sequence[NDArray[np.float32]], decoding: DecodingConfig | None = None
    ) -> list[list[Caption]]:
        """Captions of each clip (S,) float32, best first."""

"""An exported captioner: from waveforms to captions with ONNX Runtime and numpy."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.checks import check_decoding, check_style
from configs.errors import NOT_FINITE, CheckpointError
from configs.schema import DecodingConfig
from generation.logits_processors import WordTable
from generation.pipeline import Caption, CaptionSearch
from generation.rerank import asks_tagger
from generation.token_ids import special_token_ids
from runtime.decoder import NO_SAMPLING, OnnxEngine
from runtime.folder import read_folder


class OnnxCaptioner:
    """A captioner that `export.py` wrote; it captions as the `AudioCaptioner` that it was exported from.

    Args:
        path: exported folder.
        num_threads: number of threads of ONNX Runtime; 0 for the number of cores.

    Attributes:
        config: configuration of the checkpoint.
        calibration: calibration of caption probabilities; None for none.

    Raises:
        CheckpointError: the folder is no exported captioner, or damaged.
    """

    def __init__(self, path: str | Path, num_threads: int = 0) -> None:
        files = read_folder(Path(path), num_threads)
        self.config, self.calibration = files.config, files.calibration
        self._front_end, self._encoder, self._prefix = files.front_end, files.encoder, files.prefix
        token_ids = special_token_ids(files.tokenizer)
        engine = OnnxEngine(files.decoder, token_ids)
        self._search = CaptionSearch(engine, files.tokenizer, WordTable(files.tokenizer), token_ids)
        self._search.store = files.store

    @property
    def sample_rate(self) -> int:
        """Sample rate of input waveforms, in hertz."""
        return self._front_end.sample_rate

    @property
    def max_duration_s(self) -> float:
        """Longest clip that `caption` accepts, in seconds."""
        return self.config.captioner.encoder.max_duration_s

    def caption(
        self, waveforms: Sequence[NDArray[np.float32]], decoding: DecodingConfig | None = None
    ) -> list[list[Caption]]:
        """Caption clips.

        Args:
            waveforms: mono float32 arrays (S,) in -1 to 1 at `sample_rate`, each at most `max_duration_s` long.
            decoding: decoding settings; None for those of the checkpoint.

        Returns:
            Captions of each clip, best first.

        Raises:
            ValueError: decoding settings are out of range, contradict each other, or ask for sampling.
        """
        decoding = decoding or self.config.decoding
        check_decoding(decoding, self.config.captioner.styles)
        if decoding.method == "sample":
            raise ValueError(NO_SAMPLING)
        return [self._caption(waveform, decoding) for waveform in waveforms]

    def _caption(self, waveform: NDArray[np.float32], decoding: DecodingConfig) -> list[Caption]:
        """Captions of one clip: a prefix needs no padding, and a search alone takes as long as a share of a batch."""
        style = self._style_number(decoding.style)
        part_scores, prefix = self._encode(waveform, style)
        needed = asks_tagger(decoding) or (self.calibration is not None and self.calibration.uses_tags)
        lengths = np.array([prefix.shape[1]])
        scores = part_scores if needed else None
        return self._search.captions(prefix, lengths, [style], scores, decoding, self.calibration)[0]

    def _encode(self, waveform: NDArray[np.float32], style: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tag scores (1, 4, C) of a clip and its thirds, and the prefix (1, T', D), for a style number."""
        windows = self._front_end.windows(np.ascontiguousarray(waveform, dtype=np.float32))
        parts = [self._encoder.run(None, {"power": self._front_end.power(window)})[0] for window in windows]
        if not all(np.isfinite(part).all() for part in parts):
            raise CheckpointError(NOT_FINITE)
        inputs = {"embeddings": np.concatenate(parts, axis=1), "style": np.array([style], dtype=np.int64)}
        wanted = {item.name for item in self._prefix.get_inputs()}  # without styles, the network has no such input
        part_scores, prefix = self._prefix.run(None, {name: inputs[name] for name in inputs if name in wanted})
        return part_scores, prefix

    def _style_number(self, name: str) -> int:
        """Index of a style; an empty name is the default style, 0."""
        check_style(name, self.config.captioner.styles)
        return self.config.captioner.styles.index(name) if name else 0

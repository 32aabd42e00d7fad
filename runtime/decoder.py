"""`generation.engine.Engine` for an exported decoder.

Shapes: R rows, T' prefix tokens, D decoder width, L new tokens, S tokens read so far, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generation.beam_search import beam_search
from generation.engine import Rule, SearchSettings
from generation.numpy_arrays import NumpyArrays

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class OnnxReader:
    """Rows read by an exported decoder.

    Args:
        session: ONNX Runtime session of `decoder.onnx`.
        prefix: (R, T', D) prefixes.
        begin: id of the begin token, which is read after each prefix.

    Attributes:
        logits: (R, V) logits of the token after the last one read.
    """

    def __init__(self, session: Any, prefix: Floats, begin: int) -> None:
        self._session, self._width = session, prefix.shape[2]
        shape = {item.name: item.shape for item in session.get_inputs()}["past"]
        self._cache: Floats = np.zeros((len(prefix), *shape[1:4], 0, shape[5]), dtype=np.float32)
        rows = np.arange(len(prefix))
        self.logits: Floats = self._run(prefix, np.full((len(prefix), 1), begin, dtype=np.int64), rows)[:, 0]

    def step(self, token_ids: Integers, rows: Integers) -> Floats:
        """Logits (R', V) after tokens (R',) that continue `rows` (R',)."""
        self.logits = self.read(token_ids[:, None], rows)[:, 0]
        return self.logits

    def read(self, token_ids: Integers, rows: Integers) -> Floats:
        """Logits (R', L, V) after each of the tokens (R', L) that continue `rows` (R',)."""
        return self._run(np.zeros((len(rows), 0, self._width), dtype=np.float32), token_ids, rows)

    def _run(self, prefix: Floats, token_ids: Integers, rows: Integers) -> Floats:
        inputs = {"prefix": prefix, "token_ids": np.ascontiguousarray(token_ids), "rows": rows, "past": self._cache}
        logits: Floats
        logits, self._cache = self._session.run(None, inputs)
        return logits


class OnnxEngine:
    """See `generation.engine.Engine`; its prefixes have one length.

    Args:
        session: ONNX Runtime session of `decoder.onnx`.
        token_ids: ids of the padding, begin and end tokens, by the keys "pad", "bos" and "eos".
    """

    def __init__(self, session: Any, token_ids: Mapping[str, int]) -> None:
        self._session, self._token_ids = session, token_ids
        self.arrays = NumpyArrays()
        self.num_logits = int({item.name: item.shape for item in session.get_outputs()}["logits"][2])

    def generate(
        self, prefix: Floats, prefix_lengths: Integers, settings: SearchSettings, rules: Sequence[Rule]
    ) -> tuple[list[list[int]], list[float]]:
        """See `Engine.generate`; greedy decoding is a search with one beam."""
        reader = OnnxReader(self._session, prefix, self._token_ids["bos"])
        found = beam_search(reader, self.arrays, self._token_ids["eos"], settings, rules)
        kept = [hypothesis for beams in found for hypothesis in beams]
        return [list(hypothesis.token_ids) for hypothesis in kept], [hypothesis.log_probability for hypothesis in kept]

    def score(
        self, prefix: Floats, prefix_lengths: Integers, caption_ids: Sequence[Sequence[list[int]]]
    ) -> list[list[float]]:
        """See `Engine.score`."""
        return [
            self._score(own, captions) if captions else [] for own, captions in zip(prefix, caption_ids, strict=True)
        ]

    def _score(self, prefix: Floats, caption_ids: Sequence[list[int]]) -> list[float]:
        """Log-probabilities of captions of one clip's prefix (T', D)."""
        eos, pad = self._token_ids["eos"], self._token_ids["pad"]
        reader = OnnxReader(self._session, prefix[None], self._token_ids["bos"])
        longest = max(1, *map(len, caption_ids))
        ids = np.array([[*row, *[pad] * (longest - len(row))] for row in caption_ids], dtype=np.int64)  # (R, L)
        rows = np.zeros(len(ids), dtype=np.int64)
        first = np.repeat(reader.logits[:, None], len(ids), axis=0)  # (R, 1, V)
        logits = np.concatenate([first, reader.read(ids, rows)], axis=1)  # (R, L + 1, V)
        values = self.arrays.log_softmax(logits.reshape(-1, logits.shape[2])).reshape(logits.shape)
        return [
            float(values[row, np.arange(len(own) + 1), [*own, eos]].sum(dtype=np.float64))
            for row, own in enumerate(caption_ids)
        ]

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Raise an error: samples are drawn by torch's generator.

        Raises:
            ValueError: always.
        """
        raise ValueError(NO_SAMPLING)


NO_SAMPLING = (
    "an exported captioner has beam search and greedy decoding: sampling (decoding.method sample) needs torch."
)

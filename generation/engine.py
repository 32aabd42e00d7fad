"""What a search needs of a decoder, so that one implementation serves torch and ONNX Runtime.

Arrays of an engine are torch tensors on its device (`models/decoder/torch_arrays.py`) or numpy arrays
(`generation/numpy_arrays.py`). Search and rules use `Arrays` and what both
kinds share: indexing, arithmetic with broadcasting, `reshape`, `tolist`, `len`.

Shapes: B prefixes, R rows, L tokens, V vocabulary, N numbers of each row.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Array = Any  # of the engine


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search.

    Attributes:
        max_new_tokens: maximum number of tokens, at least 1, after which captions are truncated.
        min_new_tokens: minimum number of tokens before the end token.
        num_beams: number of beams; 1 for greedy decoding or sampling.
        num_return_sequences: number of captions per prefix, at most the number of beams, or the number of samples.
        length_penalty: exponent of the length by which beam scores are divided.
        do_sample: whether tokens are sampled.
        temperature: divisor of the logits before sampling, above 0.
        top_k: sampling uses this many most probable tokens; 0 for all.
        top_p: sampling uses the smallest set of tokens with this total probability, above 0 and at most 1.
    """

    max_new_tokens: int
    min_new_tokens: int = 0
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


class Arrays(Protocol):
    """Operations that libraries of arrays name differently."""

    def array(self, values: NDArray[Any]) -> Array:
        """Copy values to the engine's device."""

    def repeat(self, values: Array, times: int) -> Array:
        """Repeat each row of `values` (P, N): (P * times, N), copies of a row together."""

    def log_softmax(self, logits: Array) -> Array:
        """Log-probabilities (R, V) float32 of logits (R, V)."""

    def largest(self, values: Array, count: int) -> tuple[Array, Array]:
        """The `count` largest of each row of `values` (B, N), in descending order, and their indices."""

    def take(self, values: Array, indices: Array) -> Array:
        """For each row, the values (B, N) at indices (B, M): (B, M)."""

    def put(self, values: Array, rows: Sequence[int], columns: Sequence[int], number: float) -> Array:
        """Copy `values` (R, N) with `number` at pairs of rows and columns."""

    def zeroed(self, values: Array, columns: Array) -> Array:
        """Copy `values` (R, N) with zeros at the columns (R, M) of each row."""

    def fetch(self, values: Array, indices: Array, gains: Array) -> tuple[list[Any], list[Any], list[Any]]:
        """Lists of float32 values, indices and float32 gains, each (B, N)."""

    def send(
        self, token_ids: Sequence[Sequence[int]], rows: Sequence[int], scores: Sequence[float]
    ) -> tuple[Array, Array, Array]:
        """Token ids (R, L) int64, rows (R,) int64 and scores (R,) float32 as arrays of the engine."""


class Rule(Protocol):
    """A rule that changes the scores of next tokens or forbids them."""

    def __call__(self, input_ids: Array, scores: Array) -> Array:
        """Return changed scores (R, V) of the tokens after hypotheses (R, L); minus infinity forbids a token."""

    def select(self, prefixes: Array) -> "Rule":
        """The rule for some of the prefixes whose hypotheses it has taken so far, by their numbers (P,) int64."""


class Reader(Protocol):
    """A decoder that has processed prefixes, one row each.

    Attributes:
        logits: (R, V) logits of the next token of each row.
    """

    logits: Array

    def step(self, token_ids: Array, rows: Array) -> Array:
        """Logits (R, V) after tokens (R,) that continue `rows` (R,); greedy decoding gives None for each row itself."""


class Engine(Protocol):
    """A decoder of one library."""

    @property
    def arrays(self) -> Arrays:
        """Operations on its arrays."""

    @property
    def num_logits(self) -> int:
        """Number of next tokens V, at least the vocabulary of the tokenizer."""

    def generate(
        self, prefix: Array, prefix_lengths: Array, settings: SearchSettings, rules: Sequence[Rule]
    ) -> tuple[list[list[int]], list[float]]:
        """Generate captions.

        Args:
            prefix: (B, T', D) float.
            prefix_lengths: (B,) int64.
            settings: settings of the search.
            rules: rules for next tokens.

        Returns:
            Token ids of B * `num_return_sequences` captions without the begin token, and their log-probabilities including
            the end token and without the rules; NaN for truncated captions.
        """

    def score(
        self, prefix: Array, prefix_lengths: Array, caption_ids: Sequence[Sequence[list[int]]]
    ) -> list[list[float]]:
        """Compute log-probabilities of captions.

        Args:
            prefix: (B, T', D) float.
            prefix_lengths: (B,) int64.
            caption_ids: for each of the B clips any number of captions, as token ids without special tokens.

        Returns:
            The log-probability of each caption of each clip, including the end token.
        """

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Fix the seed of sampling within the context and restore the random state afterwards."""

"""Greedy decoding and sampling.

Shapes: R rows, V vocabulary, L tokens.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from generation.engine import Reader, Rule, SearchSettings


class KnownTokens:
    """Forbids token ids that the tokenizer lacks: the vocabulary of a published decoder is often padded to a round size.

    Args:
        vocab_size: vocabulary size of the tokenizer.
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores (R, V) with those of ids from `vocab_size` on set to minus infinity."""
        scores = scores.clone()
        scores[:, self.vocab_size :] = -torch.inf
        return scores

    def select(self, prefixes: Tensor) -> "KnownTokens":
        """Return itself: it is the same for all prefixes."""
        return self


def single_search(
    reader: Reader, eos: int, pad: int, settings: SearchSettings, rules: Sequence[Rule] = ()
) -> tuple[Tensor, Tensor]:
    """Decode greedily or by sampling.

    Samples equal those of transformers' `generate` for the same state of torch's generator, which a test verifies.

    Args:
        reader: decoder that has processed the prefixes, one row each.
        eos: id of the end token.
        pad: id of the padding token.
        settings: search settings with one beam.
        rules: rules for next tokens.

    Returns:
        Token ids (R, L) int64, padded on the right, and log-probabilities (R,) of the captions without the rules, including
        the end token; NaN for truncated captions.
    """
    rows = torch.arange(len(reader.logits), device=reader.logits.device)
    rows = rows.repeat_interleave(settings.num_return_sequences)
    logits = reader.logits.index_select(0, rows)
    ids = rows.new_zeros(len(rows), 0)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    sums = logits.new_zeros(len(rows), dtype=torch.float32)
    for length in range(1, settings.max_new_tokens + 1):
        scores = logits.float()
        gains = scores.log_softmax(dim=1)
        if length <= settings.min_new_tokens:
            scores = scores.clone()
            scores[:, eos] = -math.inf
        for rule in rules:
            scores = rule(ids, scores)
        tokens = _draw(scores, settings) if settings.do_sample else scores.argmax(dim=1)
        sums = sums + gains.gather(1, tokens[:, None])[:, 0].masked_fill(ended, 0.0)
        ids = torch.cat([ids, tokens.masked_fill(ended, pad)[:, None]], dim=1)
        ended = ended | (tokens == eos)
        if length == settings.max_new_tokens or bool(ended.all()):
            break
        logits = reader.step(tokens.masked_fill(ended, pad), rows if length == 1 else None)
    return ids, sums.masked_fill(~ended, math.nan)


def _draw(scores: Tensor, settings: SearchSettings) -> Tensor:
    """Sample tokens (R,) from scores (R, V)."""
    if settings.temperature != 1.0:
        scores = scores / settings.temperature
    if settings.top_k:
        least = scores.topk(min(settings.top_k, scores.shape[1]), dim=1).values[:, -1:]
        scores = scores.masked_fill(scores < least, -math.inf)
    if settings.top_p < 1.0:
        ascending, order = scores.sort(dim=1)
        unlikely = ascending.softmax(dim=1).cumsum(dim=1) <= 1 - settings.top_p
        unlikely[:, -1] = False
        scores = scores.masked_fill(unlikely.scatter(1, order, unlikely), -math.inf)
    return torch.multinomial(scores.softmax(dim=1), 1)[:, 0]

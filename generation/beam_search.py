"""Beam search with K beams per prefix.

The results equal those of transformers' `generate` with `early_stopping` False, which a test verifies, but each prefix is
processed once and logits of earlier steps are not kept. Shapes: B prefixes, K beams, V vocabulary, L tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from generation.engine import Arrays, Reader, Rule, SearchSettings

NEVER = -1.0e9  # score of excluded beams, as in transformers


@dataclass(frozen=True)
class Hypothesis:
    """A complete or partial caption.

    Attributes:
        token_ids: token ids, including the end token.
        score: sum of log-probabilities with the additions of the rules; for a finished hypothesis divided by its length to
            the power of the length penalty.
        log_probability: sum of log-probabilities without the additions; NaN for a truncated caption.
        row: index of the row of the last step that has read all tokens but the last one.
    """

    token_ids: tuple[int, ...]
    score: float
    log_probability: float
    row: int


@dataclass
class Beams:
    """State of the search for one prefix: running and finished hypotheses, each best first."""

    running: list[Hypothesis]
    finished: list[Hypothesis] = field(default_factory=list)
    over: bool = False


def beam_search(
    reader: Reader,
    arrays: Arrays,
    eos: int,
    settings: SearchSettings,
    rules: Sequence[Rule] = (),
) -> list[list[Hypothesis]]:
    """Search the best captions after each prefix.

    Args:
        reader: decoder that has processed the prefixes, one row each.
        arrays: operations on the reader's arrays.
        eos: id of the end token.
        settings: settings of the search, of which those of sampling are not used; with one beam it is greedy.
        rules: functions that change the log-probabilities (R, V) of the tokens after hypotheses (R, L), K rows per prefix.

    Returns:
        The `num_return_sequences` best hypotheses for each of the B prefixes, best first.
    """
    num_beams, longest = settings.num_beams, settings.max_new_tokens
    logits = arrays.repeat(reader.logits, num_beams)  # (B * K, V): beams are equal at first; one is used
    searches = [
        Beams([Hypothesis((), NEVER * bool(beam), 0.0, clip) for beam in range(num_beams)])
        for clip in range(len(reader.logits))
    ]
    going_on = searches
    scores = [NEVER * bool(beam) for _ in searches for beam in range(num_beams)]
    ids, _, totals_so_far = arrays.send(
        [()] * len(scores), range(len(scores)), scores
    )  # K rows of each unfinished search
    if settings.min_new_tokens:
        no_end = np.zeros(logits.shape[1], dtype=np.float32)
        no_end[eos] = -np.inf
        end_ban = arrays.array(no_end)
    for length in range(1, longest + 1):
        log_probabilities = arrays.log_softmax(logits)  # (R, V)
        allowed = log_probabilities
        for rule in rules:
            allowed = rule(ids, allowed)
        if length <= settings.min_new_tokens:
            allowed = allowed + end_ban
        totals = (allowed + totals_so_far[:, None]).reshape(len(going_on), -1)  # (B', K * V)
        values, indices = arrays.largest(totals, 2 * num_beams)  # at least K of them do not end
        gained = arrays.take(log_probabilities.reshape(len(going_on), -1), indices)
        found = zip(*arrays.fetch(values, indices, gained), strict=True)
        for place, (search, lists) in enumerate(zip(going_on, found, strict=True)):
            candidates = []
            for total, index, gain in zip(*lists, strict=True):
                beam, token = divmod(index, logits.shape[1])
                parent = search.running[beam]
                row = place * num_beams + beam
                candidates.append(Hypothesis((*parent.token_ids, token), total, parent.log_probability + gain, row))
            _go_on(search, candidates, eos, settings)
        kept = [place for place, search in enumerate(going_on) if not search.over]
        if length == longest or not kept:
            break
        if len(kept) < len(going_on):  # rows of finished searches are dropped
            going_on = [going_on[place] for place in kept]
            prefixes = arrays.array(np.array(kept, dtype=np.int64))
            rules = [rule.select(prefixes) for rule in rules]
        running = [hypothesis for search in going_on for hypothesis in search.running]
        ids, rows, totals_so_far = arrays.send(
            [hypothesis.token_ids for hypothesis in running],
            # the reader starts with one row per prefix
            [hypothesis.row // num_beams if length == 1 else hypothesis.row for hypothesis in running],
            [hypothesis.score for hypothesis in running],
        )
        logits = reader.step(ids[:, -1], rows)
    return [search.finished[: settings.num_return_sequences] for search in searches]


def _go_on(search: Beams, candidates: list[Hypothesis], eos: int, settings: SearchSettings) -> None:
    """Update a search with the best hypotheses of a step: hypotheses with an end token are finished, the best others continue."""
    ending = [hypothesis.token_ids[-1] == eos for hypothesis in candidates]
    length, num_beams = len(candidates[0].token_ids), settings.num_beams
    divisor, is_last = length**settings.length_penalty, length == settings.max_new_tokens
    if not search.over:
        ended = []
        for hypothesis, ends in zip(candidates[:num_beams], ending, strict=False):  # only beams can finish
            if ends or is_last:
                log_probability = hypothesis.log_probability if ends else math.nan
                ended.append(replace(hypothesis, score=hypothesis.score / divisor, log_probability=log_probability))
        search.finished = sorted(search.finished + ended, key=lambda hypothesis: -hypothesis.score)[:num_beams]
    search.running = [hypothesis for hypothesis, ends in zip(candidates, ending, strict=True) if not ends][:num_beams]
    # Scores can only decrease; the length penalty is estimated from the current length.
    full = len(search.finished) == num_beams
    search.over = search.over or (full and search.running[0].score / divisor <= search.finished[-1].score)

"""Beam search: what transformers' own finds, the best there is where the beams hold everything, and what rules do."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.reference import by_transformers
from configs.schema import DecoderConfig
from generation.beam_search import Hypothesis, beam_search
from generation.engine import SearchSettings
from generation.numpy_arrays import NumpyArrays
from models.decoder.llama import LlamaDecoder
from models.decoder.search import single_search
from models.decoder.torch_arrays import TorchArrays

EOS = 0
ARRAYS = TorchArrays(torch.device("cpu"))
TOKENS = {"pad": 3, "bos": 1, "eos": 2}


class Table:
    """A decoder whose next token depends on the last one alone: log-probabilities (V, V), first ones (B, V)."""

    def __init__(self, first: Tensor, following: Tensor) -> None:
        self.logits, self.following = first, following

    def step(self, token_ids: Tensor, rows: Tensor) -> Tensor:
        return self.following[token_ids]


class Shift:
    """Adds the same amounts (V,) at every step."""

    def __init__(self, amounts: Tensor) -> None:
        self.amounts = amounts

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores + self.amounts

    def select(self, prefixes: Tensor) -> "Shift":
        return self


def beams_of(number: int, longest: int, shortest: int = 0, length_penalty: float = 1.0) -> SearchSettings:
    """Settings that return all beams."""
    return SearchSettings(longest, shortest, number, num_return_sequences=number, length_penalty=length_penalty)


def table(seed: int, vocab_size: int = 4, prefixes: int = 2) -> Table:
    generator = torch.Generator().manual_seed(seed)
    return Table(
        torch.randn(prefixes, vocab_size, generator=generator), torch.randn(vocab_size, vocab_size, generator=generator)
    )


def log_probability(read: Table, clip: int, ids: Sequence[int]) -> float:
    first, following = read.logits.log_softmax(1), read.following.log_softmax(1)
    return float(first[clip, ids[0]]) + sum(float(following[pair]) for pair in itertools.pairwise(ids))


@pytest.mark.parametrize("seed", range(5))
def test_beams_that_hold_every_beginning_find_the_best_sentence(seed: int) -> None:
    """27 beginnings of three tokens; without a length penalty none of them can gain by going on."""
    read = table(seed)
    ended = [(*words, EOS) for length in range(4) for words in itertools.product(range(1, 4), repeat=length)]
    every = ended + list(itertools.product(range(1, 4), repeat=4))
    for clip, beams in enumerate(beam_search(read, ARRAYS, EOS, beams_of(30, 4, length_penalty=0.0))):
        best = max(every, key=lambda ids: log_probability(read, clip, ids))  # noqa: B023 - used at once
        assert beams[0].token_ids == best
        assert beams[0].score == pytest.approx(log_probability(read, clip, best), abs=1e-5)
        assert [beam.score for beam in beams] == sorted((beam.score for beam in beams), reverse=True)


def test_rules_choose_but_do_not_count_in_the_log_probability() -> None:
    read = table(0)
    raised = torch.tensor([0.0, 0.0, 9.0, -torch.inf])
    for beams in beam_search(read, ARRAYS, EOS, beams_of(3, 6), [Shift(raised)]):
        assert all(3 not in beam.token_ids for beam in beams)
        assert beams[0].token_ids.count(2) >= 3
    for clip, beams in enumerate(beam_search(read, ARRAYS, EOS, beams_of(3, 6), [Shift(raised)])):
        for beam in beams:
            if beam.token_ids[-1] == EOS:
                assert beam.log_probability == pytest.approx(log_probability(read, clip, beam.token_ids), abs=1e-5)
            else:
                assert math.isnan(beam.log_probability)


def test_shortest_and_longest() -> None:
    read = table(3)
    read.logits[:, EOS] = read.following[:, EOS] = 9.0
    for beams in beam_search(read, ARRAYS, EOS, beams_of(2, 5, 3)):
        assert len(beams[0].token_ids) == 4 and beams[0].token_ids[-1] == EOS
    read.logits[:, EOS] = read.following[:, EOS] = -9.0
    assert all(len(b.token_ids) == 5 for beams in beam_search(read, ARRAYS, EOS, beams_of(2, 5)) for b in beams)


def sentences(rows: Tensor) -> list[list[int]]:
    """Token ids up to the end token; what follows it is padding."""
    ids = [row.tolist() for row in rows]
    return [row[: row.index(TOKENS["eos"]) + 1] if TOKENS["eos"] in row else row for row in ids]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    num_beams=st.integers(2, 6),
    returned=st.integers(1, 2),
    max_tokens=st.integers(1, 9),
    min_tokens=st.integers(0, 3),
    penalty=st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    raised=st.booleans(),
)
def test_it_finds_what_transformers_finds(
    seed: int, lengths: Sequence[int], num_beams: int, returned: int, max_tokens: int, min_tokens: int,
    penalty: float, raised: bool,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    config = DecoderConfig(num_layers=2, num_heads=2, width=16, max_positions=32)
    decoder = LlamaDecoder(config, vocab_size=20, token_ids=TOKENS).eval()
    for parameter in decoder.parameters():  # so that one token is not as good as another
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    prefix, sizes = torch.randn(len(lengths), max(lengths), 16), torch.tensor(lengths)
    rules = [Shift(torch.randn(20))] if raised else []
    search = SearchSettings(
        num_beams=num_beams, num_return_sequences=returned, max_new_tokens=max_tokens,
        min_new_tokens=min(min_tokens, max_tokens), length_penalty=penalty,
    )  # fmt: skip
    theirs = by_transformers(decoder, prefix, sizes, search, rules)
    ours, _ = decoder.generate(prefix, sizes, search, rules)
    assert sentences(ours) == sentences(theirs)


class ShiftOfEach(Shift):
    """Adds amounts (P, V) of its own to the rows of each prefix."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return scores + self.amounts.repeat_interleave(len(scores) // len(self.amounts), dim=0)

    def select(self, prefixes: Tensor) -> "ShiftOfEach":
        return ShiftOfEach(self.amounts[prefixes])


class Cached(Table):
    """A table that checks which rows are read on, and counts them."""

    def __init__(self, first: Tensor, following: Tensor) -> None:
        super().__init__(first, following)
        self.num_rows, self.read = len(first), 0

    def step(self, token_ids: Tensor, rows: Tensor) -> Tensor:
        assert len(rows) == len(token_ids) and int(rows.max()) < self.num_rows
        self.num_rows = len(rows)
        self.read += len(rows)
        return self.following[token_ids]


@pytest.mark.parametrize("seed", range(4))
def test_a_sentence_that_is_found_costs_nothing_more_and_changes_no_other(seed: int) -> None:
    read = table(seed, vocab_size=12, prefixes=5)
    amounts = torch.randn(5, 12, generator=torch.Generator().manual_seed(seed))
    amounts[:, EOS] += torch.tensor([6.0, -6.0, 0.0, 2.0, -2.0])  # some end early, some late
    together = Cached(read.logits, read.following)
    found = beam_search(together, ARRAYS, EOS, beams_of(3, 14), [ShiftOfEach(amounts)])
    steps = []
    for clip in range(5):
        alone = Cached(read.logits[clip : clip + 1], read.following)
        (own,) = beam_search(alone, ARRAYS, EOS, beams_of(3, 14), [ShiftOfEach(amounts[clip : clip + 1])])
        assert [beam.token_ids for beam in own] == [beam.token_ids for beam in found[clip]]
        steps.append(alone.read)
    assert together.read == sum(steps) < 5 * max(steps)


class Steps:
    """A decoder with another table (V, V) at each step, so that no two sentences are equally probable."""

    def __init__(self, first: Any, following: Any) -> None:
        self.logits, self.following, self.number = first, following, 0

    def step(self, token_ids: Any, rows: Any) -> Any:
        self.number += 1
        return self.following[self.number][token_ids]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 5), st.integers(1, 9), st.integers(0, 3))
def test_numpy_finds_what_torch_finds(seed: int, prefixes: int, num_beams: int, max_tokens: int, shortest: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, following = torch.randn(prefixes, 12, generator=generator), torch.randn(10, 12, 12, generator=generator)
    amounts = torch.randn(prefixes, 12, generator=generator)

    def search(reader: Any, arrays: Any, rule: Any) -> list[list[Hypothesis]]:
        return beam_search(reader, arrays, EOS, beams_of(num_beams, max_tokens, shortest), [rule])

    class NumpyShift:
        def __init__(self, amounts: Any) -> None:
            self.amounts = amounts

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            return scores + NumpyArrays().repeat(self.amounts, len(scores) // len(self.amounts))

        def select(self, prefixes: Any) -> "NumpyShift":
            return NumpyShift(self.amounts[prefixes])

    theirs = search(Steps(first, following), ARRAYS, ShiftOfEach(amounts))
    ours = search(Steps(first.numpy(), following.numpy()), NumpyArrays(), NumpyShift(amounts.numpy()))
    for own, other in zip(ours, theirs, strict=True):
        assert [beam.token_ids for beam in own] == [beam.token_ids for beam in other]
        assert [beam.score for beam in own] == pytest.approx([beam.score for beam in other], abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(0, 3))
def test_one_beam_is_greedy_decoding(seed: int, max_tokens: int, min_tokens: int) -> None:
    read = table(seed, vocab_size=12, prefixes=3)
    found = beam_search(read, ARRAYS, EOS, beams_of(1, max_tokens, min(min_tokens, max_tokens)))
    ids, sums = single_search(read, EOS, EOS, SearchSettings(max_tokens, min(min_tokens, max_tokens)))
    for (beam,), row, total in zip(found, ids.tolist(), sums.tolist(), strict=True):
        assert list(beam.token_ids) == row[: len(beam.token_ids)]
        assert beam.log_probability == pytest.approx(total, abs=1e-4, nan_ok=True)

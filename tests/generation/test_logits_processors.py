"""Words that may not be said: content words again, and what no tag supports."""

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from generation.logits_processors import (
    ContentWordBan,
    NamedClasses,
    SupportedWords,
    TagBonus,
    UnsupportedWordBan,
    WordTable,
)
from generation.numpy_arrays import NumpyArrays
from models.decoder.torch_arrays import TorchArrays
from vocabulary.audioset import tag_ids

ARRAYS = NumpyArrays()
TOKENS = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁bar", "ks", "▁and", "▁the", "▁r", "ain", "▁dogs", "s"]


def word_table(tokens: list[str] = TOKENS) -> WordTable:
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="[PAD]"))
    tokenizer.add_special_tokens(["[PAD]", "[BOS]", "[EOS]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return WordTable(tokenizer)


def banned_after(text: list[str]) -> set[str]:
    ids = np.array([[TOKENS.index(token) for token in text]])
    scores = ContentWordBan(word_table(), ARRAYS)(ids, np.zeros((1, len(TOKENS)), np.float32))
    return {TOKENS[number] for number in np.flatnonzero(np.isinf(scores[0]))}


def test_a_said_content_word_may_not_come_again() -> None:
    assert banned_after(["▁a", "▁dog"]) == {"▁dog"}


def test_function_words_may() -> None:
    assert banned_after(["▁a", "▁and", "▁the"]) == set()


def test_a_word_of_pieces_loses_its_long_first_piece_or_its_last() -> None:
    assert banned_after(["▁dog", "▁bar", "ks", "▁and"]) == {"▁dog", "▁bar"}
    assert "ain" in banned_after(["▁r", "ain", "▁and", "▁r"])
    assert banned_after(["▁r", "ain", "▁and"]) == set()


def test_nothing_is_banned_at_the_start() -> None:
    scores = ContentWordBan(word_table(), ARRAYS)(np.zeros((2, 0), np.int64), np.zeros((2, len(TOKENS)), np.float32))
    assert np.isfinite(scores).all()


def unsupported(tokens: list[str], scores: np.ndarray, min_score: float) -> list[set[str]]:
    words = word_table(tokens)
    banned = SupportedWords(words, NamedClasses(words)).unsupported(scores, min_score)
    assert banned.shape == (len(scores), len(tokens))
    return [{tokens[number] for number in np.flatnonzero(row)} for row in banned]


def test_any_sound_of_people_allows_words_for_them_and_the_tag_of_music_words_for_it() -> None:
    tokens = [
        "[PAD]",
        "[BOS]",
        "[EOS]",
        "▁a",
        "▁man",
        "▁girl",
        "▁speaks",
        "▁laughs",
        "man",
        "▁people",
        "▁music",
        "▁orchestra",
    ]
    scores = np.zeros((4, 527), np.float32)
    scores[1, tag_ids()["Laughter"]] = 0.2
    scores[2, tag_ids()["Speech"]] = 0.2
    scores[3, tag_ids()["Music"]] = 0.2
    people, music = {"▁man", "▁girl", "▁people"}, {"▁music", "▁orchestra"}
    assert unsupported(tokens, scores, 0.1) == [
        people | music | {"▁speaks"}, music | {"▁speaks"}, music, people | {"▁speaks"}
    ]  # fmt: skip
    assert unsupported(tokens, scores, 0.0) == [set()] * 4


def test_the_ban_is_each_clips_own() -> None:
    banned = np.array([[False, True, False], [True, False, False]])
    found = UnsupportedWordBan(banned, ARRAYS)(np.zeros((4, 1), np.int64), np.zeros((4, 3), np.float32))
    assert np.array_equal(np.isinf(found[::2]), banned)  # two beams of each clip
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[2], found[3])


def test_words_for_tags_gain_until_they_are_named() -> None:
    tokens = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁barks", "▁rain", "dog", "▁cat"]
    bonus = np.zeros((2, 527), np.float32)
    bonus[0, tag_ids()["Dog"]], bonus[0, tag_ids()["Rain"]], bonus[1, tag_ids()["Cat"]] = 2.0, 1.0, 3.0
    rule = TagBonus(bonus, NamedClasses(word_table(tokens), len(tokens) + 1), ARRAYS)

    def gains(text: list[str]) -> list[dict[str, float]]:
        ids = np.array([[tokens.index(token) for token in text]] * 4, dtype=np.int64)
        found = rule(ids, np.zeros((4, len(tokens) + 1), np.float32))
        assert np.array_equal(found[0], found[1]) and np.array_equal(found[2], found[3])  # two beams of each clip
        return [{tokens[n]: float(row[n]) for n in np.flatnonzero(row)} for row in found[::2]]

    assert gains([]) == gains(["▁a"]) == [{"▁dog": 2.0, "▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁a", "▁dog"]) == [{"▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁dog", "▁a", "▁rain"]) == [{}, {"▁cat": 3.0}]


def rules_of(arrays: Any, bonus: np.ndarray, banned: np.ndarray) -> list[Any]:
    words = word_table()
    return [
        TagBonus(bonus, NamedClasses(words), arrays),
        UnsupportedWordBan(banned, arrays),
        ContentWordBan(words, arrays),
    ]


def test_rules_of_some_prefixes_are_theirs_alone() -> None:
    generator = np.random.default_rng(0)
    bonus = generator.random((3, len(tag_ids())), np.float32)
    banned = generator.random((3, len(TOKENS))) < 0.3
    chosen, ids = np.array([2, 0]), generator.integers(3, len(TOKENS), (6, 4))
    scores = generator.normal(size=(6, len(TOKENS))).astype(np.float32)
    rows = np.array([4, 5, 0, 1])  # two hypotheses of each prefix
    for rule in rules_of(ARRAYS, bonus, banned):
        assert np.array_equal(rule.select(chosen)(ids[rows], scores[rows]), rule(ids, scores)[rows])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 6))
def test_rules_are_the_same_on_tensors(seed: int, num_prefixes: int, num_beams: int, length: int) -> None:
    generator = np.random.default_rng(seed)
    bonus = generator.random((num_prefixes, len(tag_ids())), np.float32)
    banned = generator.random((num_prefixes, len(TOKENS))) < 0.3
    ids = generator.integers(0, len(TOKENS), (num_prefixes * num_beams, length))
    scores = generator.normal(size=(len(ids), len(TOKENS))).astype(np.float32)
    arrays = TorchArrays(torch.device("cpu"))
    for ours, theirs in zip(rules_of(ARRAYS, bonus, banned), rules_of(arrays, bonus, banned), strict=True):
        assert np.array_equal(ours(ids, scores), theirs(torch.from_numpy(ids), torch.from_numpy(scores)).numpy())

"""The ban on content words that were said already."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.decoding import ContentWordBan, WordTable

TOKENS = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁bar", "ks", "▁and", "▁the", "▁r", "ain", "▁dogs", "s"]


def word_table() -> WordTable:
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(TOKENS)}, unk_token="[PAD]"))
    tokenizer.add_special_tokens(["[PAD]", "[BOS]", "[EOS]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return WordTable(tokenizer)


def banned_after(text: list[str]) -> set[str]:
    ids = torch.tensor([[TOKENS.index(token) for token in text]])
    scores = ContentWordBan(word_table())(ids, torch.zeros(1, len(TOKENS)))
    return {TOKENS[number] for number in torch.isinf(scores[0]).nonzero().flatten().tolist()}


def test_a_said_content_word_may_not_come_again() -> None:
    assert banned_after(["▁a", "▁dog"]) == {"▁dog"}


def test_function_words_may() -> None:
    assert banned_after(["▁a", "▁and", "▁the"]) == set()


def test_a_word_of_pieces_loses_its_long_first_piece_or_its_last() -> None:
    assert banned_after(["▁dog", "▁bar", "ks", "▁and"]) == {"▁dog", "▁bar"}
    assert "ain" in banned_after(["▁r", "ain", "▁and", "▁r"])
    assert banned_after(["▁r", "ain", "▁and"]) == set()


def test_nothing_is_banned_at_the_start() -> None:
    scores = ContentWordBan(word_table())(torch.zeros(2, 0, dtype=torch.long), torch.zeros(2, len(TOKENS)))
    assert torch.isfinite(scores).all()

"""Words that may not be said: content words again, and people whom nobody hears."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.decoding import ContentWordBan, DoubtfulWords, HeardWordBonus, NamedClasses, UnheardWordBan, WordTable
from vocabulary.audioset import tag_ids

TOKENS = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁bar", "ks", "▁and", "▁the", "▁r", "ain", "▁dogs", "s"]


def word_table(tokens: list[str] = TOKENS) -> WordTable:
    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token="[PAD]"))
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


def test_people_and_speech_are_not_named_where_no_tag_allows_it() -> None:
    tokens = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁man", "▁speaks", "▁laughs", "▁dog", "man", "▁people"]
    words = DoubtfulWords(word_table(tokens), NamedClasses(word_table(tokens)))
    scores = torch.zeros(3, 527)
    scores[1, tag_ids()["Laughter"]] = 0.2
    scores[2, tag_ids()["Conversation"]] = 0.2
    banned = words.unheard(scores, 0.1, 0.0)
    named = [{tokens[number] for number in row.nonzero().flatten().tolist()} for row in banned]
    assert named == [{"▁man", "▁speaks", "▁people"}, {"▁speaks"}, set()]
    assert not words.unheard(scores, 0.0, 0.0).any()
    found = UnheardWordBan(banned[:2])(torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, len(tokens) + 2))
    assert torch.equal(torch.isinf(found[::2]), torch.nn.functional.pad(banned[:2], (0, 2)))  # two beams of each clip
    assert torch.equal(found[0], found[1]) and torch.equal(found[2], found[3])


def test_music_is_named_where_it_is_surely_heard() -> None:
    tokens = ["[PAD]", "[BOS]", "[EOS]", "▁music", "▁band", "▁song", "music", "▁man"]
    words = DoubtfulWords(word_table(tokens), NamedClasses(word_table(tokens)))
    scores = torch.zeros(2, 527)
    scores[1, tag_ids()["Music"]] = 0.7
    banned = words.unheard(scores, 0.0, 0.6)
    assert [{tokens[n] for n in row.nonzero().flatten().tolist()} for row in banned] == [{"▁music", "▁band"}, set()]


def test_words_for_what_is_heard_gain_until_it_is_named() -> None:
    tokens = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁barks", "▁rain", "dog", "▁cat"]
    bonus = torch.zeros(2, 527)
    bonus[0, tag_ids()["Dog"]], bonus[0, tag_ids()["Rain"]], bonus[1, tag_ids()["Cat"]] = 2.0, 1.0, 3.0
    rule = HeardWordBonus(bonus, NamedClasses(word_table(tokens)))

    def gains(text: list[str]) -> list[dict[str, float]]:
        ids = torch.tensor([[tokens.index(token) for token in text]] * 4, dtype=torch.long)
        found = rule(ids, torch.zeros(4, len(tokens) + 1))
        assert torch.equal(found[0], found[1]) and torch.equal(found[2], found[3])  # two beams of each clip
        return [{tokens[n]: float(row[n]) for n in row.nonzero().flatten().tolist()} for row in found[::2]]

    assert gains([]) == gains(["▁a"]) == [{"▁dog": 2.0, "▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁a", "▁dog"]) == [{"▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁dog", "▁a", "▁rain"]) == [{}, {"▁cat": 3.0}]

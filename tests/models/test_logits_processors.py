"""Words that may not be said: content words again, and what no tag supports."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.generation.logits_processors import (
    ContentWordBan,
    NamedClasses,
    SupportedWords,
    TagBonus,
    UnsupportedWordBan,
    WordTable,
)
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


def unsupported(tokens: list[str], scores: torch.Tensor, min_score: float) -> list[set[str]]:
    words = word_table(tokens)
    banned = SupportedWords(words, NamedClasses(words)).unsupported(scores, min_score)
    assert banned.shape == (len(scores), len(tokens))
    return [{tokens[number] for number in row.nonzero().flatten().tolist()} for row in banned]


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
    scores = torch.zeros(4, 527)
    scores[1, tag_ids()["Laughter"]] = 0.2
    scores[2, tag_ids()["Speech"]] = 0.2
    scores[3, tag_ids()["Music"]] = 0.2
    people, music = {"▁man", "▁girl", "▁people"}, {"▁music", "▁orchestra"}
    assert unsupported(tokens, scores, 0.1) == [
        people | music | {"▁speaks"}, music | {"▁speaks"}, music, people | {"▁speaks"}
    ]  # fmt: skip
    assert unsupported(tokens, scores, 0.0) == [set()] * 4


def test_the_ban_is_each_clips_own() -> None:
    banned = torch.tensor([[False, True, False], [True, False, False]])
    found = UnsupportedWordBan(banned)(torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, 5))
    assert torch.equal(torch.isinf(found[::2]), torch.nn.functional.pad(banned, (0, 2)))  # two beams of each clip
    assert torch.equal(found[0], found[1]) and torch.equal(found[2], found[3])


def test_words_for_tags_gain_until_they_are_named() -> None:
    tokens = ["[PAD]", "[BOS]", "[EOS]", "▁a", "▁dog", "▁barks", "▁rain", "dog", "▁cat"]
    bonus = torch.zeros(2, 527)
    bonus[0, tag_ids()["Dog"]], bonus[0, tag_ids()["Rain"]], bonus[1, tag_ids()["Cat"]] = 2.0, 1.0, 3.0
    rule = TagBonus(bonus, NamedClasses(word_table(tokens)))

    def gains(text: list[str]) -> list[dict[str, float]]:
        ids = torch.tensor([[tokens.index(token) for token in text]] * 4, dtype=torch.long)
        found = rule(ids, torch.zeros(4, len(tokens) + 1))
        assert torch.equal(found[0], found[1]) and torch.equal(found[2], found[3])  # two beams of each clip
        return [{tokens[n]: float(row[n]) for n in row.nonzero().flatten().tolist()} for row in found[::2]]

    assert gains([]) == gains(["▁a"]) == [{"▁dog": 2.0, "▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁a", "▁dog"]) == [{"▁rain": 1.0}, {"▁cat": 3.0}]
    assert gains(["▁dog", "▁a", "▁rain"]) == [{}, {"▁cat": 3.0}]


def test_rules_of_some_prefixes_are_theirs_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    words = word_table()
    bonus = torch.rand(3, len(tag_ids()), generator=generator)
    banned = torch.rand(3, len(TOKENS), generator=generator) < 0.3
    chosen, ids = torch.tensor([2, 0]), torch.randint(3, len(TOKENS), (6, 4), generator=generator)
    scores = torch.randn(6, len(TOKENS), generator=generator)
    rows = torch.tensor([4, 5, 0, 1])  # two hypotheses of each prefix
    for rule in (TagBonus(bonus, NamedClasses(words)), UnsupportedWordBan(banned), ContentWordBan(words)):
        assert torch.equal(rule.select(chosen)(ids[rows], scores[rows]), rule(ids, scores)[rows])

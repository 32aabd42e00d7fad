"""Captions: normalisation and tokenizers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import TokenizerConfig
from data.captions import build_tokenizer, encode_caption, normalize_caption, train_tokenizer

CAPTIONS = [
    "A dog barks twice, while rain falls on a tin roof.",
    "A rooster crows; somebody's door creaks open!",
    "Rain falls and a dog barks in the distance",
] * 3


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A dog barks, twice.", "a dog barks twice"),
        ("  Birds\tchirp --\n loudly!! ", "birds chirp loudly"),
        ("someone\u2019s 'walkie-talkie'", "someone's walkie talkie"),
        ("", ""),
    ],
)
def test_normalisation(raw: str, expected: str) -> None:
    assert normalize_caption(raw) == expected


@given(st.text(max_size=80))
def test_normalisation_is_idempotent_and_folds_spaces(text: str) -> None:
    once = normalize_caption(text)
    assert normalize_caption(once) == once
    assert once == " ".join(once.split())


def test_a_trained_tokenizer_round_trips_its_captions() -> None:
    tokenizer = train_tokenizer(CAPTIONS, vocab_size=300)
    for caption in CAPTIONS:
        ids = tokenizer.encode(normalize_caption(caption)).ids
        assert [tokenizer.id_to_token(ids[0]), tokenizer.id_to_token(ids[-1])] == ["[BOS]", "[EOS]"]
        assert tokenizer.decode(ids) == normalize_caption(caption)


def test_the_vocabulary_keeps_its_bound() -> None:
    assert train_tokenizer(CAPTIONS, vocab_size=60).get_vocab_size() <= 60


def test_a_cut_caption_keeps_its_end_mark() -> None:
    tokenizer = train_tokenizer(CAPTIONS, vocab_size=60)
    for limit in range(3, 30):
        ids = encode_caption(tokenizer, CAPTIONS[0], limit)
        assert len(ids) <= limit
        assert ids[-1] == tokenizer.token_to_id("[EOS]")


def test_a_tokenizer_from_a_folder(tmp_path: Path) -> None:
    trained = train_tokenizer(CAPTIONS, 100)
    trained.save(str(tmp_path / "tokenizer.json"))
    assert build_tokenizer(TokenizerConfig(kind=str(tmp_path)), []).get_vocab() == trained.get_vocab()


def test_no_captions_and_no_such_tokenizer_are_reported() -> None:
    with pytest.raises(ValueError, match="no captions to train a tokenizer on"):
        build_tokenizer(TokenizerConfig(), [])
    with pytest.raises(ValueError, match="no tokenizer named nowhere/nothing"):
        build_tokenizer(TokenizerConfig(kind="nowhere/nothing"), [])

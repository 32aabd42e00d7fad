"""Captions told in the simple present."""

import pytest

from data.caption_texts import TextClip
from data.simple_present import Retelling, is_adverb, is_participle, is_simple, tell_simply, third_person

CAPTIONS = 3 * [
    "A dog is barking", "A man is speaking", "A woman is laughing", "Birds are chirping", "Water is running", "A bus is idling",
    "A dog barks, a man speaks, water runs, a woman laughs, a bus idles", "A bird chirps", "A door is creaking and creaks",
    "A bell is ringing", "A bell rings", "A baby is crying", "A baby cries", "A fly is buzzing", "A fly buzzes", "A cat hisses",
    "A train is passing", "A train passes", "Something growls", "Rumbling occurs",  "A crowd is cheering", "A crowd cheers",
]  # fmt: skip
retell = Retelling(CAPTIONS)


def test_forms_of_verbs() -> None:
    assert [third_person(verb) for verb in ("bark", "buzz", "cry", "play", "go", "pass", "idle")] == [
        "barks", "buzzes", "cries", "plays", "goes", "passes", "idles",
    ]  # fmt: skip
    assert all(is_participle(word) for word in ("barking", "lying", "singing", "ringing", "being"))
    assert not any(is_participle(word) for word in ("sing", "ring", "string", "building", "during", "bark", "springs"))
    assert is_adverb("loudly") and not is_adverb("fly")
    assert is_simple(["a", "dog", "barks"]) and not is_simple(["a", "dog", "is", "loud"])


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("A dog is barking.", "a dog barks"),
        ("A dog barking", "a dog barks"),
        ("Several birds chirping loudly", "several birds chirp loudly"),
        ("A dog barking and growling", "a dog barks and growls"),
        ("Water is loudly running with birds chirping", "water loudly runs as birds chirp"),
        ("A man speaking followed by a woman laughing", "a man speaks and then a woman laughs"),
        ("A man and a woman speaking", "a man and a woman speak"),
        ("A man speaks , then a bell is ringing in the distance", "a man speaks, then a bell rings in the distance"),
        ("A bus is idling while a baby cries", "a bus idles while a baby cries"),
        ("A fly is buzzing as a train passes", "a fly buzzes as a train passes"),
        ("A crowd is cheering, and people are speaking", "a crowd cheers, and people speak"),
        ("A crowd is cheering, and people speaking", None),  # these captions do not say whether "people" are many
        ("A man is being cheered", None),
        ("The sound of a dog barking", None),
        ("Water running before ringing", None),  # nobody knows what rings
        ("A man speaking with loud water", None),  # "as loud water" is no caption
        ("A man speaking followed by barking", None),
        ("Rumbling occurs as a dog is barking", None),
        ("2 dogs are barking", None),
        ("A dog is barking at a passing train", None),
        ("A dog humming", None),  # a verb that nobody uses
    ],
)
def test_what_is_plain_enough_is_told_and_nothing_else(caption: str, told: str | None) -> None:
    assert retell(caption) == told


def test_clauses_are_told_from_phrases() -> None:
    assert all(map(retell.is_clause, ("a dog loudly barks", "birds softly chirp", "water is cold", "a fly buzzes")))
    assert not any(map(retell.is_clause, ("loud water", "birds chirps", "a dog barking", "barks", "a quiet bark", "")))


def test_the_rest_keeps_its_words_in_a_manner_of_its_own() -> None:
    texts = [TextClip(str(number), (text,), "short") for number, text in enumerate([*CAPTIONS, "Rumbling water"])]
    told = tell_simply(texts, Retelling(CAPTIONS), "other")
    assert len(told) == len(texts) and told[-1] == TextClip(told[-1].name, ("Rumbling water",), "other")
    assert told[0].captions == ("a dog barks",) and told[0].style == "short"
    assert told[6] is texts[6]  # simple as it is
    for text in told:
        assert text.style == "other" or is_simple(text.captions[0].lower().replace(",", "").split())

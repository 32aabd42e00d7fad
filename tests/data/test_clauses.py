"""Clauses and phrases."""

import pytest

from data.clauses import ATTESTED, ClauseDetector, base_form, is_adverb, is_participle, third_person

CAPTIONS = ATTESTED * [
    "A dog is barking", "A man is speaking", "Birds are chirping", "Water is running", "A bus is idling", "A dog barks",
    "A man speaks", "Water runs", "A bus idles", "A bird chirps", "A fly is buzzing", "A fly buzzes", "A baby is crying",
    "A baby cries", "A crowd is humming",
]  # fmt: skip
is_clause = ClauseDetector(CAPTIONS)


def test_forms_of_verbs() -> None:
    assert [third_person(verb) for verb in ("bark", "buzz", "cry", "play", "go", "pass", "idle")] == [
        "barks", "buzzes", "cries", "plays", "goes", "passes", "idles",
    ]  # fmt: skip
    assert all(is_participle(word) for word in ("barking", "lying", "singing", "ringing", "being"))
    assert not any(is_participle(word) for word in ("sing", "ring", "string", "building", "during", "bark", "springs"))
    assert is_adverb("loudly") and not is_adverb("fly")


@pytest.mark.parametrize(
    "caption",
    [
        "a dog loudly barks",
        "Birds softly chirp.",
        "water is cold",
        "a fly buzzes",
        "the bus idles",  # the verb's e is restored
        "a river of water runs",  # its doubled letter is not
        "loud music as a baby cries",
    ],
)
def test_a_known_subject_with_a_verb_in_the_present_is_a_clause(caption: str) -> None:
    assert is_clause(caption)


@pytest.mark.parametrize(
    "caption",
    [
        "loud water",
        "birds chirps",  # of another number
        "a dog barking",
        "barks",
        "a quiet bark",
        "",
        "a crowd hums",  # a verb that no caption has in the third person
        "a cat barks",  # a subject that no caption has before "is"
    ],
)
def test_everything_else_is_a_phrase(caption: str) -> None:
    assert not is_clause(caption)


def test_what_occurs_too_rarely_is_not_learnt() -> None:
    assert not ClauseDetector(CAPTIONS[: len(CAPTIONS) // ATTESTED])("a dog barks")
    assert not ClauseDetector([])("a dog barks")


@pytest.mark.parametrize(
    "verbs",
    [
        "bark hiss buzz roll squeak howl growl echo chatter murmur applaud fly cry rain thunder blow play purr",
        "run hum drip flap chug rev stir beg spin dig whir",  # with a doubled consonant
        "type snore whine scrape ride chime blare squeeze sneeze wheeze rinse close bounce rattle rumble idle whistle crackle "
        "sizzle drive arrive accelerate vibrate change bridge explode breathe prepare damage",
    ],
)
def test_the_verb_of_a_participle(verbs: str) -> None:
    doubled = {"run", "hum", "drip", "flap", "chug", "rev", "stir", "beg", "spin", "dig", "whir"}
    for verb in verbs.split():
        stem = verb + verb[-1] if verb in doubled else verb.removesuffix("e")
        assert base_form(f"{stem}ing") == verb

"""Captions to labels of sounds."""

import pytest

from captioning.sound_labels import LINE_CHARACTERS, format_label, names_speech, sounds_of


def label(caption: str) -> str:
    return format_label(sounds_of(caption))


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dog barks", "[dog barks]"),
        ("a dog is barking", "[dog barks]"),
        ("A dog barking.", "[dog barks]"),
        ("birds are chirping in the background", "[birds chirp]"),
        ("children playing nearby", "[children play]"),
        ("an engine is slowly idling", "[engine slowly idles]"),
        ("a steam train is hissing", "[steam train hisses]"),
        ("a person is typing on a keyboard", "[person types on keyboard]"),
        ("typing on a computer keyboard", "[typing on computer keyboard]"),
        ("a sewing machine motor running", "[sewing machine motor runs]"),
        ("a washing machine runs", "[washing machine runs]"),
        ("paper is being crumpled", "[paper crumpled]"),
        ("a jackhammer is being used", "[jackhammer]"),
        ("a music is played", "[music plays]"),
        ("an emergency siren is going off", "[emergency siren goes off]"),
        ("there is a loud explosion", "[loud explosion]"),
        ("a fire crackles as it burns", "[fire crackles]"),
        ("a gun is fired several times followed by a loud explosion", "[gun fired several times, loud explosion]"),
        ("rain falls onto a hard surface and thunder roars in the distance", "[rain falls, thunder roars]"),
        ("water runs, a dog barks, a siren wails and a bell rings", "[water runs, dog barks]"),
        ("the footsteps of a person fall in a steady rhythm", "[footsteps]"),
        ("a frog croaks as other frogs croak", "[frog croaks]"),
        ("an extraordinarily complicated contraption whirrs incessantly overhead",
         "[extraordinarily complicated contraption\nwhirrs incessantly overhead]"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_caption_becomes_a_label(caption: str, expected: str) -> None:
    assert label(caption) == expected


@pytest.mark.parametrize("word", ["a" * 100, "bark " * 60, "a long-winded " * 9])
def test_no_line_is_too_long(word: str) -> None:
    lines = label(word).splitlines()
    assert 0 < len(lines) <= 2 and all(len(line) <= LINE_CHARACTERS for line in lines)
    assert lines[0].startswith("[") and lines[-1].endswith("]")


@pytest.mark.parametrize(
    "caption", ["a man speaks", "a dog barks while people are talking", "someone whispers", "a narration"]
)
def test_speech_is_found(caption: str) -> None:
    assert names_speech(caption)


@pytest.mark.parametrize("caption", ["a baby laughs", "children are playing", "a crowd cheers", "a choir sings"])
def test_other_voices_are_no_speech(caption: str) -> None:
    assert not names_speech(caption)


def test_the_same_sound_in_other_words() -> None:
    [barks], [dogs], [rain] = sounds_of("a dog barks"), sounds_of("dogs bark loudly"), sounds_of("rain falls")
    assert barks.is_same_as(dogs) and not barks.is_same_as(rain)

"""Convert captions to sound labels in subtitles for deaf and hard-of-hearing viewers (SDH): "[dog barks]".

The rule, step by step:

1. A caption is split into sounds at words such as "and", "while" or "followed by". If a part names a sound of
   `vocabulary/sound_words.yaml`, parts that name none or the same sound again are removed ("as it burns").
2. Articles and phrases such as "in the background" are removed. Progressive forms and participles behind their noun become
   the simple present: "a dog is barking" and "a dog barking" are "dog barks", "birds are chirping" is "birds chirp". A
   passive loses its "is": "paper is being crumpled" is "paper crumpled", "a drill is being used" is "drill".
3. A label names at most two sounds, in order: "[rain falls, thunder rumbles]". If they do not fit on one line, the words
   from the first preposition of each are removed, then the second sound, and finally the label is split into two lines;
   words that do not fit are removed.

Sources of the conventions: BBC, "Subtitle Guidelines", on labels of sounds; Netflix, "English Timed Text Style Guide" and "Timed
Text Style Guide: General Requirements", on square brackets, 42 characters per line, two lines, 5/6 to 7 s per subtitle and two
frames between subtitles; Described and Captioned Media Program, "Captioning Key: Sound Effects and Music"
(https://dcmp.org/learn/captioningkey/602), on lower case, the source of a sound, and that a continuing sound is not described
again. The Captioning Key writes "dog barking" for sustained sounds and "dog barks" for abrupt ones. Captions do not say which it
is, so labels are always in the simple present.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from data.clauses import base_form, is_adverb, is_participle, third_person
from vocabulary.audioset import tag_ids
from vocabulary.turns import parts_of
from vocabulary.words import classes_of, main_classes

LINE_CHARACTERS = 42  # maximum length of a line of subtitles, including brackets
MOST_LINES = 2
MOST_SOUNDS = 2  # maximum number of sounds in a label

_LEFT_OUT = re.compile(
    r"\b(?:in|from|into) (?:the|a) (?:far )?(?:background|foreground|distance)\b|\b(?:in the area|nearby)\b"
    r"|\bthere (?:is|are)\b|\b(?:an?|the|some|it|its|his|her|their)\b|[^\w\s'-]"
)
_PREPOSITION = re.compile(
    r"(?<=\w) (?:in|into|on|onto|at|across|against|along|around|over|under|through|inside|outside|from|to|towards?|of|near|"
    r"behind|beside|between|for|without|within|upon|among) .*"
)
_BE = {"is": False, "are": True}  # and whether the subject is plural
_ATTRIBUTE_OF = re.compile(
    r"machines?|pool|bowls?|boards?|tools?|water|wind|music|sounds?|noises?|birds?|objects?|devices?"
)
_NO_SUBJECT = re.compile(
    r"in|into|on|onto|at|across|against|along|around|by|down|from|of|off|out|over|through|to|up|very|several|many|two|three|"
    r"begins?|starts?|continues?|stops?|while|then"
)
_PLURALS = frozenset(["people", "children", "men", "women", "mice", "geese", "cattle", "sheep", "police", "others"])
_SINGULARS = re.compile(r".*(?:ss|us|is)|gas|lens|bagpipes")


@dataclass(frozen=True)
class Sound:
    """One sound that a caption names.

    Attributes:
        text: text of the label, without brackets.
        classes: AudioSet classes that it names, 0 to 526; empty for unknown words.
    """

    text: str
    classes: frozenset[int]

    def is_same_as(self, other: "Sound") -> bool:
        """Return whether two sounds are the same: they have a common class or the same words."""
        return bool(self.classes & other.classes) or self.text == other.text


def names_speech(caption: str) -> bool:
    """Return whether a caption names speech."""
    return tag_ids()["Speech"] in classes_of(caption.lower())


def sounds_of(caption: str) -> list[Sound]:
    """Return the sounds named by a caption, in the order of its words, including speech."""
    parts = [part for _, part in parts_of(caption)]
    known = [part for part in parts if main_classes(part)] or [caption.lower()]
    sounds: list[Sound] = []
    for part in known:
        sound = Sound(_simple_present(_LEFT_OUT.sub(" ", part).split()), main_classes(part))
        if sound.text and not any(sound.is_same_as(other) for other in sounds):
            sounds.append(sound)
    return sounds


def format_label(sounds: Sequence[Sound]) -> str:
    """Return a label in brackets of at most MOST_LINES lines of LINE_CHARACTERS, joined by line feeds; empty without sounds."""
    texts = [sound.text for sound in sounds[:MOST_SOUNDS]]
    short = [_PREPOSITION.sub("", text) for text in texts]
    for chosen in (texts, short, texts[:1], short[:1]):
        label = f"[{', '.join(chosen)}]"
        if len(label) <= LINE_CHARACTERS:
            return label if chosen else ""
    # One character of each line is reserved for the closing bracket.
    lines = textwrap.wrap("[" + short[0], LINE_CHARACTERS - 1, break_on_hyphens=False)
    return "\n".join(lines[:MOST_LINES]) + "]"


def _simple_present(words: list[str]) -> str:
    """Return the words of a clause without articles and with its verb in the simple present."""
    for place, word in enumerate(words):
        if word in _BE and 0 < place < len(words) - 1:
            return _without_be(words[:place], _BE[word], words[place + 1 :])
    for place in range(len(words) - 1, 0, -1):
        subject = next((before for before in reversed(words[:place]) if not is_adverb(before)), "")
        attribute = place + 1 < len(words) and _ATTRIBUTE_OF.fullmatch(words[place + 1])
        if is_participle(words[place]) and subject and not attribute and not _NO_SUBJECT.fullmatch(subject):
            return " ".join([*words[:place], _present(words[place], _is_plural(subject)), *words[place + 1 :]])
    return " ".join(words)


def _without_be(subject: list[str], plural: bool, rest: list[str]) -> str:
    if rest[0] == "being":
        rest = rest[1:]
    verb = next((place for place, word in enumerate(rest) if not is_adverb(word)), 0)
    if rest and is_participle(rest[verb]):
        rest = [*rest[:verb], _present(rest[verb], plural), *rest[verb + 1 :]]
    elif rest and rest[verb] == "used":
        rest = []
    elif rest and rest[verb] == "played":
        rest = [*rest[:verb], "play" if plural else "plays", *rest[verb + 1 :]]
    return " ".join([*subject, *rest])


def _present(participle: str, plural: bool) -> str:
    verb = base_form(participle)
    return verb if plural else third_person(verb)


def _is_plural(noun: str) -> bool:
    return noun in _PLURALS or (noun.endswith("s") and not _SINGULARS.fullmatch(noun))

"""Captions put together from captions."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from data.captions import normalize_caption
from data.clauses import ClauseDetector
from data.clotho import FileClip
from data.labelled.caption_templates import named_categories, phrases
from data.labelled.label_captions import caption_label
from data.labelled.mixtures import caption_briefly
from training.text_only.captions import TextClip
from training.text_only.compose import (
    FEWEST,
    MOST_REPEATS,
    caption_as_people_do,
    compose_texts,
    short_captions,
    usual_captions,
)
from vocabulary.audioset import tag_ids

DOG, RAIN, SPEECH = (tag_ids()[name] for name in ("Dog", "Rain", "Male speech, man speaking"))
MANNERS = ("softly", "quietly", "slowly", "angrily", "calmly", "loudly", "kindly", "again", "gently", "fast")
DOGS = ("A dog barks.", "A dog is barking", "dogs barking", *(f"a dog barks {manner}" for manner in MANNERS))
RAINS = ("Rain is falling", "rain falls on a roof", *(f"rain falls {manner}" for manner in MANNERS))
SPEAKERS = tuple(f"a man speaks {manner}" for manner in MANNERS)
OTHERS = ("a dog barks while it rains", "a dog barks at a man who speaks to his wife in a very large and empty hall")


is_clause = ClauseDetector(3 * ["a dog is barking", "rain is falling", "a man is speaking", *DOGS, *RAINS])


def texts(*captions: str) -> list[TextClip]:
    return [TextClip(caption, (caption,), "short") for caption in captions]


def test_each_sound_is_drawn_as_often_as_any_other_alone_and_beside_any_other() -> None:
    made = compose_texts(texts(*DOGS, *RAINS, *SPEAKERS * 20, *OTHERS), is_clause, 45, "plain", 0)
    heard = Counter(source.classes[0] for text in made for source in text.sources)
    assert len(made) == 45 and all(text.style == "plain" for text in made)
    assert all(abs(heard[number] / heard.total() - 1 / 3) < 0.12 for number in (DOG, RAIN, SPEECH))
    pairs = Counter(frozenset(source.classes[0] for source in text.sources) for text in made)
    assert len([pair for pair in pairs if len(pair) == 2]) == 3
    assert {len(text.sources) for text in made} == {1, 2} and {source.turn for t in made for source in t.sources} == {
        0,
        1,
    }


def test_no_caption_is_drawn_so_often_that_it_would_be_learnt_by_heart() -> None:
    made = compose_texts(texts(*DOGS, *SPEAKERS), is_clause, 10_000, "plain", 0)
    whole = " | ".join(text.captions[0] for text in made)
    assert all(len(re.findall(rf"\b{speaker}\b", whole)) <= MOST_REPEATS for speaker in SPEAKERS)
    assert 0 < len(made) <= MOST_REPEATS * (len(DOGS) + len(SPEAKERS))


def test_words_are_those_of_the_captions_and_clauses_alone_stand_behind_while() -> None:
    made = {text.captions[0] for text in compose_texts(texts(*DOGS, *RAINS), is_clause, 60, "short", 1)}
    parts = {re.sub(r"\W+$", "", caption.lower()) for caption in DOGS + RAINS}
    for caption in made:
        first, _, second = re.sub(
            r",? (?:while|as|and then|then|before|followed by|with|and) ", "|", caption
        ).partition("|")
        assert first in parts and (not second or second in parts)
    assert any("a dog barks" in caption and "while" in caption for caption in made)
    assert not any(re.search("(while|as|before|then) dogs barking", caption) for caption in made)


def test_the_seed_decides_and_too_few_captions_give_none() -> None:
    source = texts(*DOGS, *RAINS)
    assert compose_texts(source, is_clause, 20, "short", 3) == compose_texts(source, is_clause, 20, "short", 3)
    assert compose_texts(source, is_clause, 20, "short", 3) != compose_texts(source, is_clause, 20, "short", 4)
    assert compose_texts(texts(*DOGS), is_clause, 20, "short", 3) == []
    assert compose_texts(texts(*DOGS, *RAINS[: FEWEST - 1]), is_clause, 20, "short", 3) == []


def test_short_captions_are_of_one_sound_alone_and_counted() -> None:
    found = short_captions(texts(*DOGS, *OTHERS, "a dog barks followed by a thud of no known class", "a dog barks"))
    assert set(found) == {DOG} and set(found[DOG]) == {normalize_caption(text) for text in DOGS}
    assert found[DOG]["a dog barks"] == 2 and found[DOG]["dogs barking"] == 1


def test_only_what_two_people_wrote_is_usual() -> None:
    usual = usual_captions(texts(*DOGS[:4] * 2, *DOGS[:1], *RAINS, *SPEAKERS[:2] * 2))
    assert Counter(usual("dog")) == {
        "a dog barks": 3,
        "a dog is barking": 2,
        "dogs barking": 2,
        "a dog barks softly": 2,
    }
    assert usual("rain") == usual("siren") == []  # each once; never
    assert usual("man speaking") == []  # too few different ones
    horns = usual_captions(
        texts(*2 * ["a car horn honks", "a car honks its horn", "a car horn beeps", "a car drives by"])
    )
    assert Counter(horns("car horn")) == Counter(horns("car_horn")) and "a car drives by" not in horns("car horn")
    guns = usual_captions(texts(*2 * ["a gun fires", "a gun fires twice", "gunshots fire", "two guns fire"]))
    assert guns("crackling_fire") == [] and len(guns("gun shot")) == 8


def test_labelled_clips_are_captioned_in_peoples_words(tmp_path: Path) -> None:
    labels = ["dog", "rain", "washing_machine", "dog", "rain", "jackhammer"]
    clips = [FileClip(tmp_path / f"{n}.wav", (), (label,), str(n)) for n, label in enumerate(labels)]
    for clip in clips:
        clip.path.touch()
    briefly = caption_briefly(clips, 60, "plain", seed=0)
    wrote = texts(*2 * DOGS, *2 * RAINS)
    found = caption_as_people_do(briefly, wrote, is_clause, "peoples", seed=0)
    assert len(briefly) > 5 and {clip.style for clip in found} == {"peoples"}
    assert [clip.identity for clip in found] == [clip.identity for clip in briefly]  # their embeddings are the same
    peoples = {normalize_caption(text) for text in DOGS + RAINS}
    machine = {f"{group['subjects'][0]} {group['verbs'][0][0]}" for group in phrases()["washing_machine"]["clauses"]}
    hammer = {caption_label("jackhammer", np.random.default_rng(seed)) for seed in range(20)}
    ours = {"washing_machine": machine, "jackhammer": hammer}  # of which nobody wrote
    for told in found[:6]:
        assert len(told.captions) == 5 and set(told.captions) <= ours.get(told.labels[0], peoples)
    for told in found[6:]:
        assert all(named_categories(normalize_caption(text)) == set(told.labels) for text in told.captions)
    joined = [text for told in found[6:] for text in told.captions]
    assert any(text.startswith("a dog barks") and " as " in text for text in joined)
    assert any(text.endswith(f" while {clause}") for text in joined for clause in machine)
    assert found == caption_as_people_do(briefly, wrote, is_clause, "peoples", seed=0)
    kept = [told for told in found if set(told.labels) <= {"dog", "rain"}]
    assert 0 < len(kept) < len(found) and kept == caption_as_people_do(briefly, wrote, is_clause, "peoples", 0, False)

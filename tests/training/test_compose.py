"""Captions composed of captions."""

import re
from collections import Counter
from pathlib import Path

import numpy as np

from data.captions import normalize_caption
from data.clauses import ClauseDetector
from data.clotho import FileClip
from data.labelled.caption_templates import named_categories, phrases
from data.labelled.label_captions import caption_label
from data.labelled.mixtures import caption_with_templates
from training.text_only.captions import TextClip
from training.text_only.compose import (
    MAX_REPEATS,
    MIN_CLASS_CAPTIONS,
    CommonCaptions,
    compose_captions,
    give_human_captions,
    short_captions,
)
from vocabulary.audioset import tag_ids

DOG, RAIN, SPEECH = (tag_ids()[name] for name in ("Dog", "Rain", "Male speech, man speaking"))
ADVERBS = ("softly", "quietly", "slowly", "angrily", "calmly", "loudly", "kindly", "again", "gently", "fast")
DOGS = ("A dog barks.", "A dog is barking", "dogs barking", *(f"a dog barks {adverb}" for adverb in ADVERBS))
RAINS = ("Rain is falling", "rain falls on a roof", *(f"rain falls {adverb}" for adverb in ADVERBS))
SPEAKERS = tuple(f"a man speaks {adverb}" for adverb in ADVERBS)
OTHERS = ("a dog barks while it rains", "a dog barks at a man who speaks to his wife in a very large and empty hall")


is_clause = ClauseDetector(3 * ["a dog is barking", "rain is falling", "a man is speaking", *DOGS, *RAINS])


def texts(*captions: str) -> list[TextClip]:
    return [TextClip(caption, (caption,), "short") for caption in captions]


def test_all_classes_are_equally_likely_alone_and_in_pairs() -> None:
    made = compose_captions(texts(*DOGS, *RAINS, *SPEAKERS * 20, *OTHERS), is_clause, 45, "plain", 0)
    counts = Counter(source.classes[0] for text in made for source in text.sources)
    assert len(made) == 45 and all(text.style == "plain" for text in made)
    assert all(abs(counts[number] / counts.total() - 1 / 3) < 0.12 for number in (DOG, RAIN, SPEECH))
    pairs = Counter(frozenset(source.classes[0] for source in text.sources) for text in made)
    assert len([pair for pair in pairs if len(pair) == 2]) == 3
    assert {len(text.sources) for text in made} == {1, 2} and {source.turn for t in made for source in t.sources} == {
        0,
        1,
    }


def test_each_caption_is_drawn_a_few_times_at_most() -> None:
    made = compose_captions(texts(*DOGS, *SPEAKERS), is_clause, 10_000, "plain", 0)
    whole = " | ".join(text.captions[0] for text in made)
    assert all(len(re.findall(rf"\b{speaker}\b", whole)) <= MAX_REPEATS for speaker in SPEAKERS)
    assert 0 < len(made) <= MAX_REPEATS * (len(DOGS) + len(SPEAKERS))


def test_words_are_those_of_the_captions_and_clauses_alone_stand_behind_while() -> None:
    made = {text.captions[0] for text in compose_captions(texts(*DOGS, *RAINS), is_clause, 60, "short", 1)}
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
    assert compose_captions(source, is_clause, 20, "short", 3) == compose_captions(source, is_clause, 20, "short", 3)
    assert compose_captions(source, is_clause, 20, "short", 3) != compose_captions(source, is_clause, 20, "short", 4)
    assert compose_captions(texts(*DOGS), is_clause, 20, "short", 3) == []
    assert compose_captions(texts(*DOGS, *RAINS[: MIN_CLASS_CAPTIONS - 1]), is_clause, 20, "short", 3) == []


def test_short_captions_are_of_one_sound_alone_and_counted() -> None:
    found = short_captions(texts(*DOGS, *OTHERS, "a dog barks followed by a thud of no known class", "a dog barks"))
    assert set(found) == {DOG} and set(found[DOG]) == {normalize_caption(text) for text in DOGS}
    assert found[DOG]["a dog barks"] == 2 and found[DOG]["dogs barking"] == 1


def test_only_what_two_people_wrote_is_common() -> None:
    common = CommonCaptions(texts(*DOGS[:4] * 2, *DOGS[:1], *RAINS, *SPEAKERS[:2] * 2))
    assert Counter(common.for_label("dog")) == {
        "a dog barks": 3,
        "a dog is barking": 2,
        "dogs barking": 2,
        "a dog barks softly": 2,
    }
    assert common.for_label("rain") == common.for_label("siren") == []  # each once; never
    assert common.for_label("man speaking") == []  # too few different ones
    horns = CommonCaptions(
        texts(*2 * ["a car horn honks", "a car honks its horn", "a car horn beeps", "a car drives by"])
    )
    assert Counter(horns.for_label("car horn")) == Counter(horns.for_label("car_horn"))
    assert "a car drives by" not in horns.for_label("car horn")
    guns = CommonCaptions(texts(*2 * ["a gun fires", "a gun fires twice", "gunshots fire", "two guns fire"]))
    assert guns.for_label("crackling_fire") == [] and len(guns.for_label("gun shot")) == 8


def test_labelled_clips_get_human_captions(tmp_path: Path) -> None:
    labels = ["dog", "rain", "washing_machine", "dog", "rain", "jackhammer"]
    clips = [FileClip(tmp_path / f"{n}.wav", (), (label,), str(n)) for n, label in enumerate(labels)]
    for clip in clips:
        clip.path.touch()
    templates = caption_with_templates(clips, 60, "plain", seed=0)
    human = texts(*2 * DOGS, *2 * RAINS)
    found = give_human_captions(templates, human, is_clause, "human", seed=0)
    assert len(templates) > 5 and {clip.style for clip in found} == {"human"}
    assert [clip.identity for clip in found] == [clip.identity for clip in templates]  # their embeddings are the same
    human_captions = {normalize_caption(text) for text in DOGS + RAINS}
    machine = {f"{group['subjects'][0]} {group['verbs'][0][0]}" for group in phrases()["washing_machine"]["clauses"]}
    hammer = {caption_label("jackhammer", np.random.default_rng(seed)) for seed in range(20)}
    templated = {"washing_machine": machine, "jackhammer": hammer}  # without human captions
    for clip in found[:6]:
        assert len(clip.captions) == 5 and set(clip.captions) <= templated.get(clip.labels[0], human_captions)
    for clip in found[6:]:
        assert all(named_categories(normalize_caption(text)) == set(clip.labels) for text in clip.captions)
    joined = [text for clip in found[6:] for text in clip.captions]
    assert any(text.startswith("a dog barks") and " as " in text for text in joined)
    assert any(text.endswith(f" while {clause}") for text in joined for clause in machine)
    assert found == give_human_captions(templates, human, is_clause, "human", seed=0)
    kept = [clip for clip in found if set(clip.labels) <= {"dog", "rain"}]
    assert 0 < len(kept) < len(found) and kept == give_human_captions(templates, human, is_clause, "human", 0, False)

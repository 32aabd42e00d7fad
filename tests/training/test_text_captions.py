"""Captions without audio: what they name, in which order, at which level."""

from pathlib import Path

import pytest

from data.tables import DatasetError
from training.text_only.captions import WEAK_DB, TextClip, read_captions, read_text_clips, sources_of
from vocabulary.audioset import tag_ids


def sources(caption: str) -> list[tuple[int, bool, bool]]:
    """(turn, names a dog, names a siren) of each source."""
    dog, siren = tag_ids()["Dog"], tag_ids()["Siren"]
    return [(source.turn, dog in source.classes, siren in source.classes) for source in sources_of(caption)]


@pytest.mark.parametrize(
    "caption",
    [
        "A dog barks followed by a siren",
        "A dog barks, then a siren wails",
        "A dog barks before a siren sounds",
        "A siren wails after a dog barks",
        "A dog barks, and after that a siren wails",
        "After a dog barks, a siren wails",
    ],
)
def test_order_words_give_turns(caption: str) -> None:
    assert sources(caption) == [(0, True, False), (1, False, True)]


@pytest.mark.parametrize(
    "caption", ["A dog barks while a siren wails", "A dog barks and a siren wails", "a dog, a siren"]
)
def test_other_words_give_one_turn(caption: str) -> None:
    assert sources(caption) == [(0, True, False), (0, False, True)]


def test_far_sounds_are_weak_and_loud_ones_strong() -> None:
    near, far = sources_of("A dog barks loudly while a siren wails in the distance")
    assert near.level_db == -WEAK_DB / 2 and far.level_db == WEAK_DB


def test_a_pattern_over_a_connector_counts() -> None:
    assert sources_of("something and something else") == ()
    assert len(sources_of("the sky")) == 0


def test_tables_of_both_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("audiocap_id,caption\n1,A dog barks\n2,Nothing known here\n3, \n")
    (tmp_path / "long.csv").write_text("file_name,caption_1,caption_2\na.wav,Rain falls on a roof.,It is raining.\n")
    clips = [
        *read_text_clips(tmp_path / "short.csv", "audiocaps"),
        *read_text_clips(tmp_path / "long.csv", "clotho"),
    ]
    assert [(clip.captions[0], clip.style) for clip in clips] == [
        ("A dog barks", "audiocaps"),
        ("Rain falls on a roof.", "clotho"),
        ("It is raining.", "clotho"),
    ]
    assert len({clip.identity for clip in clips}) == 3
    with pytest.raises(TypeError, match="a caption without audio"):
        clips[0].load(32000, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no caption table"),
        ("a,b\n1,2\n", "expected caption"),
        ("caption\nxyz\n", "names a known sound"),
    ],
)
def test_unusable_tables_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "texts.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=message):
        read_text_clips(path, "clotho")


def test_captions_are_read_with_the_ids_of_their_clips(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("clip,caption_1,caption_2\na,A dog.,Dogs!\nb, ,It rains\n")
    assert read_captions(table, "clip") == [("a", "A dog."), ("a", "Dogs!"), ("b", ""), ("b", "It rains")]
    assert read_captions(table)[0] == ("", "A dog.")
    with pytest.raises(DatasetError, match="has the columns clip, caption_1, caption_2: expected number, by which"):
        read_captions(table, "number")


def test_a_text_has_no_labels() -> None:
    assert TextClip("t", ("a dog barks",)).labels == ()

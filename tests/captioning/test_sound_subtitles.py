"""Where labels of sounds go between given lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.sound_subtitles import (
    LONGEST_LABEL_S,
    MARGIN_S,
    SHORTEST_LABEL_S,
    Label,
    pauses,
    place_labels,
    windows,
)
from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption


def records(*captions: tuple[float, float, str]) -> list[CaptionRecord]:
    return [
        CaptionRecord("film.wav", start_s, end_s, SILENCE if not text else (ScoredCaption(text, -1.0),))
        for start_s, end_s, text in captions
    ]


def labels(*captions: tuple[float, float, str]) -> list[Label]:
    return place_labels(records(*captions))[0]


def test_pauses_lie_between_lines() -> None:
    lines = [(20.0, 25.0), (3.0, 5.0), (4.0, 8.0), (9.0, 10.0), (25.5, 26.0), (12.0, 12.0)]
    expected = [(0.0, 2.9), (10.1, 19.9), (26.1, 30.0)]
    assert pauses(lines, 30.0) == [pytest.approx(span) for span in expected]
    assert pauses([(0.0, 5.0)], 5.0) == [] and pauses([(8.0, 9.0)], 5.0) == [(0.0, 5.0)]


spans = st.tuples(st.floats(0, 100), st.floats(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(spans, max_size=12), st.floats(1.5, 10), st.floats(0.5, 120))
def test_windows_never_touch_a_line(lines: list[tuple[float, float]], window_s: float, duration_s: float) -> None:
    found = windows(pauses(lines, duration_s), window_s)
    for start_s, end_s in found:
        assert SHORTEST_LABEL_S - 1e-9 <= end_s - start_s <= window_s + SHORTEST_LABEL_S and end_s <= duration_s
        for line_start_s, line_end_s in lines:
            if line_end_s > line_start_s:
                assert end_s <= line_start_s - MARGIN_S + 1e-9 or start_s >= line_end_s + MARGIN_S - 1e-9
    assert all(before[1] <= after[0] for before, after in zip(found, found[1:], strict=False))


def test_a_sound_is_named_once_while_it_goes_on() -> None:
    found = labels(
        (0, 4, "a dog barks"), (4, 8, "a dog is barking loudly"), (8, 12, "a dog barks and rain falls"),
        (12, 16, "rain falls"), (30, 34, "rain is falling on a roof"),
    )  # fmt: skip
    assert found == [Label(0, 5.0, "[dog barks]"), Label(8, 13.0, "[rain falls]")]


def test_a_sound_is_named_again_after_others() -> None:
    found = labels((0, 5, "a dog barks"), (5, 10, "rain falls"), (10, 15, ""), (15, 20, "a dog barks"))
    assert [label.text for label in found] == ["[dog barks]", "[rain falls]", "[dog barks]"]
    assert len(labels((0, 5, "a dog barks"), (5, 10, "rain falls"), (10, 15, "a dog barks"))) == 2


def test_a_label_ends_with_its_pause_and_before_the_next() -> None:
    found = labels((0, 2, "a dog barks"), (2, 4, "rain falls"), (10, 11.5, "a bell rings"), (20, 29, "a siren wails"))
    assert found == [
        Label(0, 2, "[dog barks]"), Label(2, 4, "[rain falls]"), Label(10, 11.5, "[bell rings]"),
        Label(20, 20 + LONGEST_LABEL_S, "[siren wails]"),
    ]  # fmt: skip


def test_speech_silence_and_too_short_windows_have_no_label() -> None:
    given_records = records(
        (0, 4, "a man speaks and a dog barks"), (4, 8, ""), (8, 8.5, "rain falls"), (9, 13, "rain falls")
    )
    assert place_labels(given_records) == ([Label(9, 13, "[rain falls]")], 1)

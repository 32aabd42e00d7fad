"""Documents, runs and undo, without a window."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.caption_formats import SILENCE, CaptionRecord, ScoredCaption
from tests.ui.simulated import chirp
from ui.sound import growing as growing_module
from ui.sound.growing import GrowingSound, OutlineStream
from ui.store.documents import CaptionRun, Document, Kind, Review, Row


def record(start_s: float, text: str, length_s: float = 10.0) -> CaptionRecord:
    return CaptionRecord(
        "a.wav", start_s, start_s + length_s, (ScoredCaption(text, -1.0), ScoredCaption(f"{text} too", -2.0))
    )


def document(*texts: str) -> Document:
    return Document(
        "1", Kind.FILE, "2026-11-30T10:00:00", "a.wav", [Row(record(10.0 * n, t)) for n, t in enumerate(texts)]
    )


def texts(found: Document) -> list[str]:
    return [row.record.caption for row in found.rows]


def test_a_run_of_a_span_replaces_that_span_only() -> None:
    found = document("one", "two", "three")
    run = CaptionRun(found, 10.0, 20.0)
    run.finish([record(10.0, "new")])
    assert texts(found) == ["one", "new", "three"]
    CaptionRun(found, 3.0, 7.0).finish([record(3.0, "inside", 4.0)])  # of a row that is longer: it stays
    assert texts(found) == ["one", "inside", "new", "three"]
    assert found.undo() and texts(found) == ["one", "new", "three"]
    assert found.undo() and texts(found) == ["one", "two", "three"]
    assert found.redo() and texts(found) == ["one", "new", "three"]


def test_captions_arrive_one_by_one_and_stay_when_the_run_is_given_up() -> None:
    found = document("one", "two", "three")
    changes: list[list[str]] = []
    found.on_change = lambda changed: changes.append(texts(changed))
    run = CaptionRun(found)
    run.put([record(0.0, "new")])
    run.put([record(10.0, "new")])
    run.close()
    assert changes[:2] == [["new", "two", "three"], ["new", "three"]]  # neighbours that say the same are one
    assert changes[2:] == [["new", "three"]]  # and once more, for what can be undone
    assert found.rows[0].record.end_s == 20.0
    assert found.undo_name and found.undo() and texts(found) == ["one", "two", "three"]


def test_what_a_person_wrote_or_accepted_is_not_replaced() -> None:
    found = document("one", "two", "three")
    found.edit(found.rows[0], "  my own   words ")
    found.accept([found.rows[1]])
    CaptionRun(found).finish([record(10.0 * n, f"new {n}") for n in range(4)])
    assert texts(found) == ["my own words", "two", "new 2", "new 3"]
    assert [row.review for row in found.rows[:2]] == [Review.EDITED, Review.ACCEPTED]
    assert [caption.text for caption in found.rows[0].record.captions] == ["my own words", "one", "one too"]


def test_edit_choose_accept_and_delete_can_be_undone_in_any_depth() -> None:
    found = document("one", "two", "three")
    before = list(found.rows)
    found.choose(found.rows[1], 1)
    assert texts(found) == ["one", "two too", "three"] and found.rows[1].review is Review.ACCEPTED
    found.delete(found.rows[:2])
    found.edit(found.rows[0], "four")
    found.accept(found.rows)
    while found.undo():
        pass
    assert found.rows == before and not found.undo_name
    while found.redo():
        pass
    assert texts(found) == ["four"]


def test_undo_does_not_take_what_was_heard_later() -> None:
    found = document("one", "two")
    found.kind = Kind.LIVE
    found.delete([found.rows[0]])
    found.grow(Row(record(20.0, "three")), extends=False)
    found.grow(Row(record(20.0, "three", 15.0)), extends=True)
    found.undo()
    assert texts(found) == ["one", "two", "three"] and found.rows[2].record.end_s == 35.0


def test_silence_that_is_edited_becomes_a_caption() -> None:
    found = document("one")
    found.rows = [Row(replace(found.rows[0].record, captions=SILENCE))]
    found.edit(found.rows[0], "a faint hum")
    assert [caption.text for caption in found.rows[0].record.captions] == ["a faint hum"]


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 11025])
@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_the_live_time_axis_is_true_however_the_sound_is_cut(rate: int, cuts: list[int]) -> None:
    stream, sound = OutlineStream(50), GrowingSound(50)
    waveform, position = chirp(sum(cuts) / rate, rate), 0
    for cut in cuts:
        sound.add(stream.feed(waveform[position : position + cut], rate))
        position += cut
    assert position / rate - 0.02 - 1e-9 <= sound.duration_s <= position / rate + 1e-9


def test_a_sound_that_grows_for_long_is_drawn_from_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_module, "MAX_PAIRS", 1 << 12)
    sound = GrowingSound(50)
    loud = np.array([[-0.5, 0.5]], np.float32)
    for number in range(2000):
        sound.add(np.zeros((10, 2), np.float32) if number != 1500 else np.repeat(loud, 10, axis=0))
    assert sound.duration_s == pytest.approx(400.0, abs=0.5) and len(sound._pairs) <= 1 << 12
    times, line = sound.outline(0.0, sound.duration_s, 300)
    assert np.all(np.diff(times) >= 0) and line.max() == 0.5
    assert times[line.argmax()] == pytest.approx(300.1, abs=1.5)

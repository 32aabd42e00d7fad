"""Continuous captions: windows, merging, silence, lateness, and hours of it."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.audio import Waveform
from data.caption_formats import ScoredCaption
from tests.ui.simulated import wait_for
from ui.engine.live import MAX_LINES, LiveCaptioner, LiveUpdate
from ui.engine.requests import Captions, EngineError
from ui.sound.ring_buffer import RingBuffer

RATE = 1000


def level_of(waveform: Waveform) -> Captions:
    """A captioner that says how loud the window is."""
    return (ScoredCaption(f"level {round(float(np.abs(waveform).max()) * 10)}", -1.0),)


def steady(level: float, seconds: float, rate: int = RATE) -> Waveform:
    """A square wave at half the rate; a constant offset would be silence."""
    return level * np.where(np.arange(round(seconds * rate)) % 2, 1, -1).astype(np.float32)


@given(st.lists(st.integers(0, 25), max_size=30), st.integers(1, 17))
def test_a_ring_buffer_keeps_the_newest_samples(sizes: list[int], capacity: int) -> None:
    ring, everything = RingBuffer(capacity), np.arange(sum(sizes), dtype=np.float32)
    position = 0
    for size in sizes:
        ring.write(everything[position : position + size])
        position += size
        kept = min(position, capacity)
        np.testing.assert_array_equal(ring.read(position - kept, position), everything[position - kept : position])
    with pytest.raises(IndexError):
        ring.read(0, sum(sizes) + 1)


def test_windows_slide_and_repeats_become_one_line() -> None:
    live = LiveCaptioner(level_of, RATE, 4.0, 2.0, 0.01)
    updates: list[LiveUpdate] = []
    for level in (0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0):
        live.feed(steady(level, 2.0), RATE)
        while (update := live.step()) is not None:
            updates.append(update)
    assert [(line.caption, line.start_s, line.end_s) for line in live.lines] == [
        ("level 1", 0.0, 8.0),
        ("level 5", 8.0, 16.0),
        ("silence", 16.0, 22.0),
    ]
    assert [update.extends for update in updates] == [False, True, True, False, True, True, True, False, True, True]
    assert all(update.latency_s == 0 and update.num_dropped == 0 for update in updates)


def test_silence_is_never_captioned() -> None:
    def refuse(waveform: Waveform) -> Captions:
        raise AssertionError("the captioner was asked about silence")

    live = LiveCaptioner(refuse, RATE, 2.0, 1.0, silence_peak=0.1)
    live.feed(steady(0.09, 6.0), RATE)
    assert live.step() is not None and live.lines[0].caption == "silence"
    live.silence_peak = 0.05  # the threshold is moved while it listens
    live.feed(steady(0.09, 2.0), RATE)
    with pytest.raises(AssertionError):
        live.step()


def test_the_devices_rate_is_resampled_to_the_captioners() -> None:
    heard: list[Waveform] = []

    def caption(waveform: Waveform) -> Captions:
        heard.append(waveform)
        return (ScoredCaption("a tone", -1.0),)

    live = LiveCaptioner(caption, 32000, 1.0, 1.0, 0.001)
    time_s = np.arange(44100 * 3) / 44100
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)
    for start in range(0, len(tone), 2205):
        live.feed(tone[start : start + 2205], 44100)
        live.step()
    spectrum = np.abs(np.fft.rfft(heard[1]))
    assert len(heard[1]) == 32000 and spectrum.argmax() == 1000  # hertz, since the window is a second


def test_windows_are_dropped_rather_than_queued_when_the_captioner_is_slow() -> None:
    live: LiveCaptioner

    def slow(waveform: Waveform) -> Captions:
        live.feed(steady(0.3, 7.0), RATE)  # seven seconds pass while it works
        return (ScoredCaption("a slow caption", -1.0),)

    live = LiveCaptioner(slow, RATE, 4.0, 2.0, 0.01)
    live.feed(steady(0.3, 4.0), RATE)
    updates = [live.step() for _ in range(20)]
    latencies = [update.latency_s for update in updates if update is not None]
    assert len(latencies) == 20
    assert max(latencies) <= 7.0 + 2.0  # a window's own time and less than a hop: it does not grow
    assert updates[-1] is not None and updates[-1].num_dropped >= 40
    assert live.lines[-1].end_s >= live.received_s - 7.0 - 2.0  # what is shown is about the newest sound


def test_ten_simulated_hours_in_bounded_memory() -> None:
    """A ring buffer and a bounded list: after ten hours as large as after one minute."""
    import tracemalloc

    count = 0

    def caption(waveform: Waveform) -> Captions:
        nonlocal count
        count += 1
        return (ScoredCaption(f"sound number {count}", -1.0),)  # never the same twice: the worst case

    live = LiveCaptioner(caption, RATE, 5.0, 2.5, 0.001)
    block = steady(0.2, 0.5)

    def hear(seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            live.feed(block, RATE)
            live.step()

    hear(60)
    tracemalloc.start()
    hear(600)
    after_minutes = tracemalloc.get_traced_memory()[0]
    hear(10 * 3600)
    after_hours = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert count == pytest.approx((10 * 3600 + 660) / 2.5, abs=3)
    assert live.received_s == 36660 and len(live.lines) == MAX_LINES
    assert live.lines[-1].end_s == pytest.approx(36660, abs=2.5)
    assert after_hours - after_minutes < 8_000_000  # ten thousand lines


def run(live: LiveCaptioner, on_update: Callable[[LiveUpdate], None], errors: list[str]) -> threading.Thread:
    thread = threading.Thread(target=live.run, args=(on_update, errors.append), daemon=True)
    thread.start()
    return thread


def test_an_error_is_reported_and_the_next_window_tried() -> None:
    outcomes = iter([EngineError("it failed"), (ScoredCaption("a dog barks", -1.0),)])

    def caption(waveform: Waveform) -> Captions:
        outcome = next(outcomes)
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    live = LiveCaptioner(caption, RATE, 1.0, 1.0, 0.001)
    updates: list[LiveUpdate] = []
    errors: list[str] = []
    thread = run(live, updates.append, errors)
    live.feed(steady(0.2, 1.0), RATE)
    wait_for(lambda: bool(errors))
    live.feed(steady(0.2, 1.0), RATE)
    wait_for(lambda: bool(updates))
    live.stop()
    thread.join(2.0)
    assert not thread.is_alive() and errors == ["it failed"] and updates[0].record.caption == "a dog barks"


def test_pause_hears_nothing() -> None:
    live = LiveCaptioner(level_of, RATE, 1.0, 1.0, 0.001)
    live.pause()
    live.feed(steady(0.2, 5.0), RATE)
    assert live.received_s == 0 and live.step() is None
    live.resume()
    live.feed(steady(0.2, 1.0), RATE)
    assert live.step() is not None


def test_a_hop_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="hop"):
        LiveCaptioner(level_of, RATE, 1.0, 2.0, 0.001)

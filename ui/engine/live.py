"""Continuous captioning of a microphone with a sliding window over the most recent samples.

The window advances by a hop. Memory is bounded by a ring buffer of samples and a bounded list of captions. If the captioner
is slower than the hop, windows are skipped, so that captions always describe the most recent sound.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import soxr

from data.audio import Waveform, is_silent
from data.caption_formats import SILENCE, CaptionRecord, merge_neighbours
from ui.engine.requests import Captions, EngineError
from ui.sound.ring_buffer import RingBuffer

logger = logging.getLogger(__name__)
MAX_LINES = 10_000  # 24 hours of captions of ten seconds each
LIVE_SOURCE = "live"


@dataclass(frozen=True)
class LiveUpdate:
    """Result of captioning one window.

    Attributes:
        record: newest caption; it replaces the previous one if `extends`.
        extends: the caption equals the previous one, whose span is extended.
        latency_s: delay from the window's last sample to its caption, seconds.
        num_dropped: number of windows skipped since the start.
    """

    record: CaptionRecord
    extends: bool
    latency_s: float
    num_dropped: int


class LiveCaptioner:
    """Captions a stream of samples.

    Args:
        caption: function that captions a waveform (S,) at `sample_rate`.
        sample_rate: sample rate of the captioner, hertz.
        window_s: length of a window, seconds.
        hop_s: hop between windows, seconds, at most `window_s`.
        silence_peak: windows whose peak amplitude, 0 to 1, is below this are not captioned.
    """

    def __init__(
        self,
        caption: Callable[[Waveform], Captions],
        sample_rate: int,
        window_s: float,
        hop_s: float,
        silence_peak: float,
    ) -> None:
        if not 0 < hop_s <= window_s:
            raise ValueError(f"a window of {window_s:g} s every {hop_s:g} s: the hop must not be the longer.")
        self._caption, self._sample_rate = caption, sample_rate
        self._window, self._hop = round(window_s * sample_rate), round(hop_s * sample_rate)
        self.silence_peak = silence_peak
        self._ring = RingBuffer(2 * self._window)
        self._next_end = self._window
        self._num_dropped = 0
        self._resumed_at = 0
        self._resampler: soxr.ResampleStream | None = None
        self._resampler_rate = 0
        self._changed = threading.Condition()
        self._stopped = False
        self._paused = False
        self.lines: deque[CaptionRecord] = deque(maxlen=MAX_LINES)

    @property
    def received_s(self) -> float:
        """Duration of the samples received so far, seconds."""
        return self._ring.total / self._sample_rate

    def feed(self, block: Waveform, sample_rate: int) -> None:
        """Append samples (S,) at `sample_rate` hertz."""
        if self._paused:
            return
        if sample_rate != self._sample_rate:
            if self._resampler is None or self._resampler_rate != sample_rate:
                self._resampler = soxr.ResampleStream(sample_rate, self._sample_rate, 1, dtype="float32", quality="HQ")
                self._resampler_rate = sample_rate
            block = self._resampler.resample_chunk(block)
        with self._changed:
            self._ring.write(block)
            self._changed.notify_all()

    def pause(self) -> None:
        """Discard samples until `resume`; the time of the captions does not advance while paused."""
        self._paused = True

    def resume(self) -> None:
        """Accept samples again; no window spans the pause."""
        with self._changed:
            if self._paused:
                self._next_end = self._ring.total + self._window
                self._resampler = None
                self._resumed_at = self._ring.total
            self._paused = False

    def stop(self) -> None:
        """Make `run` return after the current window."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self, on_update: Callable[[LiveUpdate], None], on_error: Callable[[str], None]) -> None:
        """Caption until `stop`; after an error, which is passed to `on_error`, continue with the next window."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._ring.total >= self._next_end)
                if self._stopped:
                    return
            try:
                update = self.step()
            except EngineError as error:
                if not self._stopped:
                    on_error(str(error))
                continue
            if update is not None and not self._stopped:
                on_update(update)

    def step(self) -> LiveUpdate | None:
        """Caption the newest due window; return None if no window is due.

        Raises:
            EngineError: if the captioner failed; the window is not captioned again.
        """
        with self._changed:
            if self._ring.total < self._next_end:
                return None
            late = (self._ring.total - self._next_end) // self._hop  # whole hops: number of windows to skip
            self._num_dropped += late
            end = self._next_end + late * self._hop
            self._next_end = end + self._hop
            window = self._ring.read(end - self._window, end)
        captions = SILENCE if is_silent(window, self.silence_peak) else self._caption(window)
        start_s, end_s = (end - self._window) / self._sample_rate, end / self._sample_rate
        extends = self._add(CaptionRecord(LIVE_SOURCE, start_s, end_s, captions))
        latency_s = max(0.0, self.received_s - end_s)
        return LiveUpdate(self.lines[-1], extends, latency_s, self._num_dropped)

    def _add(self, record: CaptionRecord) -> bool:
        """Append a caption, or extend the last one if it is equal; return whether it was extended."""
        if self.lines and self.lines[-1].end_s * self._sample_rate > self._resumed_at:
            joined = merge_neighbours([self.lines[-1], record])
            if len(joined) == 1:
                self.lines[-1] = joined[0]
                return True
            # Windows overlap, captions do not: a new caption starts no earlier than the previous one ends.
            record = CaptionRecord(
                record.file, max(record.start_s, self.lines[-1].end_s), record.end_s, record.captions
            )
        self.lines.append(record)
        return False

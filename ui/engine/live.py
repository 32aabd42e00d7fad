"""Continuous captions of a microphone: the last seconds, again and again.

The window slides by a hop. Memory is bounded: a ring buffer of sound and a bounded list of lines. When the captioner is
slower than the hop, windows are left out, so that what is shown is always about the newest sound.
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
MAX_LINES = 10_000  # a day of ten-second lines
LIVE_SOURCE = "live"


@dataclass(frozen=True)
class LiveUpdate:
    """What one window brought.

    Attributes:
        record: the newest line; it replaces the one before where `extends`.
        extends: the line before said the same and is now longer.
        latency_s: from the window's last sample to its caption, seconds of sound.
        num_dropped: windows left out since the start.
    """

    record: CaptionRecord
    extends: bool
    latency_s: float
    num_dropped: int


class LiveCaptioner:
    """Captions what it is fed.

    Args:
        caption: captions samples (S,) at `sample_rate`.
        sample_rate: the captioner's, hertz.
        window_s: seconds captioned at once.
        hop_s: seconds between windows, at most `window_s`.
        silence_peak: below this amplitude, 0 to 1, nothing is captioned.
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
        """Seconds of sound that have come."""
        return self._ring.total / self._sample_rate

    def feed(self, block: Waveform, sample_rate: int) -> None:
        """Take samples (S,) at `sample_rate` hertz."""
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
        """Hear nothing until `resume`; the clock of the lines stands still meanwhile."""
        self._paused = True

    def resume(self) -> None:
        """Hear again; no window joins sounds from before and after the pause."""
        with self._changed:
            if self._paused:
                self._next_end = self._ring.total + self._window
                self._resampler = None
                self._resumed_at = self._ring.total
            self._paused = False

    def stop(self) -> None:
        """End `run` after the window that it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self, on_update: Callable[[LiveUpdate], None], on_error: Callable[[str], None]) -> None:
        """Caption until `stop`; an error is told, and the next window tried."""
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
        """Caption the newest window that is due, if one is.

        Raises:
            EngineError: the captioner failed; the window counts as heard.
        """
        with self._changed:
            if self._ring.total < self._next_end:
                return None
            late = (self._ring.total - self._next_end) // self._hop  # whole hops: windows to leave out
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
        """Add a line, or make the last one longer where it says the same."""
        if self.lines and self.lines[-1].end_s * self._sample_rate > self._resumed_at:
            joined = merge_neighbours([self.lines[-1], record])
            if len(joined) == 1:
                self.lines[-1] = joined[0]
                return True
            # Windows overlap; lines do not: the new one begins with the sound that the one before had not heard.
            record = CaptionRecord(
                record.file, max(record.start_s, self.lines[-1].end_s), record.end_s, record.captions
            )
        self.lines.append(record)
        return False

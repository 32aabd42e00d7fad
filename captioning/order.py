"""Restore the order of recordings for records that arrive in any order."""

import heapq
from collections.abc import Iterable

from captioning.jobs import Captioned, Event
from data.caption_formats import CaptionRecord


class InOrder:
    """Buffers records until all preceding records have arrived."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, CaptionRecord]] = []
        self._ended: set[int] = set()
        self._following = 0, 0  # (number, window) of the next record

    def take(self, events: Iterable[Event]) -> list[CaptionRecord]:
        """Add events and return the records that are now next in order."""
        for event in events:
            if isinstance(event, Captioned):
                heapq.heappush(self._waiting, (event.number, event.window, event.record))
            else:
                self._ended.add(event.number)
        found = []
        while True:
            number, window = self._following
            if self._waiting and self._waiting[0][:2] == (number, window):
                found.append(heapq.heappop(self._waiting)[2])
                self._following = number, window + 1
            elif number in self._ended:
                self._ended.remove(number)
                self._following = number + 1, 0
            else:
                return found

    def rest(self) -> list[CaptionRecord]:
        """Return all buffered records, in order."""
        found = [record for *_, record in sorted(self._waiting, key=lambda item: item[:2])]
        self._waiting = []
        return found

"""Records that come in any order, given out in the order of their recordings."""

import heapq
from collections.abc import Iterable

from captioning.jobs import Captioned, Event
from data.caption_formats import CaptionRecord


class InOrder:
    """Holds records back until those before them are there."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, CaptionRecord]] = []
        self._ended: set[int] = set()
        self._following = 0, 0  # number and window

    def take(self, events: Iterable[Event]) -> list[CaptionRecord]:
        """The records that are next, now that these events are known."""
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
        """All that is held back, in order."""
        found = [record for *_, record in sorted(self._waiting, key=lambda item: item[:2])]
        self._waiting = []
        return found

"""Captions in memory, for a command that writes none."""

from collections.abc import Sequence

from captioning.jobs import Captioned, Event, Job
from captioning.pipeline import CaptionerInfo


class MemoryStore:
    """The first caption of each recording.

    Attributes:
        captions: caption by name of the recording.
    """

    def __init__(self) -> None:
        self.captions: dict[str, str] = {}

    def begin(self, info: CaptionerInfo) -> None:
        """Called once the captioner is loaded."""

    def pending(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return all jobs: nothing is captioned in advance."""
        return jobs

    def take(self, events: Sequence[Event]) -> None:
        """Add the captions of new records."""
        self.captions |= {event.record.file: event.record.caption for event in events if isinstance(event, Captioned)}

    def finish(self) -> None:
        """Called after the last recording."""

"""What is to be captioned, and what is told of it while that goes on."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.caption_formats import CaptionRecord


@dataclass(frozen=True)
class Job:
    """A recording to caption.

    Attributes:
        number: its place in the list of recordings, from 0.
        name: name to print.
        path: where it is.
        references: ground truths, where they are known.
        windows_done: numbers of windows that are captioned already, in a timeline.
    """

    number: int
    name: str
    path: Path
    references: tuple[str, ...] = ()
    windows_done: frozenset[int] = frozenset()


class Captioned(NamedTuple):
    """A record of a job is there; records come in any order.

    Attributes:
        number: the job's.
        window: number of the window within the recording, from 0.
        record: its captions.
    """

    number: int
    window: int
    record: CaptionRecord


class Ended(NamedTuple):
    """A job has no more records.

    Attributes:
        number: the job's.
        name: the job's.
        error: why it could not be captioned, or not to its end; empty where it could.
    """

    number: int
    name: str
    error: str = ""


Event = Captioned | Ended

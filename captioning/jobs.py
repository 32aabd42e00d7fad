"""Captioning jobs and the events reported while they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data.caption_formats import CaptionRecord


@dataclass(frozen=True)
class Job:
    """A recording to caption.

    Attributes:
        number: index in the list of recordings, from 0.
        name: name to print.
        path: path of the file.
        references: reference captions, if known.
        windows_done: indices of the windows already captioned, with --timeline.
    """

    number: int
    name: str
    path: Path
    references: tuple[str, ...] = ()
    windows_done: frozenset[int] = frozenset()


class Captioned(NamedTuple):
    """A new record of a job; records arrive in any order.

    Attributes:
        number: number of the job.
        window: index of the window within the recording, from 0.
        record: captions of the window.
    """

    number: int
    window: int
    record: CaptionRecord


class Ended(NamedTuple):
    """The end of a job: it has no further records.

    Attributes:
        number: number of the job.
        name: name of the job.
        error: why the recording could not be captioned, or not completely; empty on success.
    """

    number: int
    name: str
    error: str = ""


Event = Captioned | Ended

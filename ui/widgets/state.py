"""What the window shows, as plain data from the controller."""

from dataclasses import dataclass
from enum import Enum


class Recording(Enum):
    """What the recorder does."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"
    PAUSED = "paused"


class Listening(Enum):
    """What continuous captions do."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"
    PAUSED = "paused"


@dataclass(frozen=True)
class WindowState:
    """What may be pressed, and what to press next.

    Attributes:
        path: the recording that is open; empty for none.
        reading: another recording is being opened.
        can_play: it has been decoded.
        playing: it is heard.
        recording: what the recorder does.
        listening: what continuous captions do.
        model_ready: a captioner is loaded.
        captioning: a recording is being captioned, or waits for the captioner.
        has_recording: there is a recording of this app to caption.
        has_captions: the shown document has captions to copy or export.
        has_region: a part is selected.
        num_waiting: files of the queue that wait.
    """

    path: str = ""
    reading: bool = False
    can_play: bool = False
    playing: bool = False
    recording: Recording = Recording.OFF
    listening: Listening = Listening.OFF
    model_ready: bool = False
    captioning: bool = False
    has_recording: bool = False
    has_captions: bool = False
    has_region: bool = False
    num_waiting: int = 0

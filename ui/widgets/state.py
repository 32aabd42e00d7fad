"""State of the window as plain data, set by the controllers."""

from dataclasses import dataclass
from enum import Enum


class Recording(Enum):
    """State of the recorder."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"
    PAUSED = "paused"


class Listening(Enum):
    """State of continuous captioning."""

    OFF = "off"
    OPENING = "opening"
    ON = "on"
    PAUSED = "paused"


@dataclass(frozen=True)
class WindowState:
    """State of the window, which determines the available actions.

    Attributes:
        path: path of the open recording; empty if none is open.
        reading: a recording is being opened.
        can_play: the open recording has been decoded.
        playing: the open recording is being played.
        recording: state of the recorder.
        listening: state of continuous captioning.
        model_ready: a captioner is loaded.
        captioning: a recording is being captioned or waits for the captioner.
        has_recording: a recording made by the app is available to caption.
        has_captions: the displayed document has captions to copy or export.
        captioned: paths of the recordings being captioned or waiting for it.
        has_region: a part of the recording is selected.
        num_waiting: number of waiting files in the queue.
    """

    path: str = ""
    reading: bool = False
    can_play: bool = False
    playing: bool = False
    recording: Recording = Recording.OFF
    listening: Listening = Listening.OFF
    model_ready: bool = False
    captioning: bool = False
    captioned: tuple[str, ...] = ()
    has_recording: bool = False
    has_captions: bool = False
    has_region: bool = False
    num_waiting: int = 0

"""Persistent settings of the app."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from PyQt6.QtCore import QByteArray, QSettings, QStandardPaths

from captioning.files import DEFAULT_CHECKPOINT
from ui.store.background import Run, run_now

logger = logging.getLogger(__name__)
Theme = Literal["system", "light", "dark"]
Method = Literal["own", "beam", "greedy", "sample"]
CHOICES = {"theme": get_args(Theme), "method": get_args(Method)}
MAX_RECENT = 10
SMALLEST = {
    "perhaps_below": 0,
    "num_captions": 1,
    "num_beams": 1,
    "temperature": 0.05,
    "window_s": 1.0,
    "live_window_s": 1.0,
    "live_hop_s": 0.5,
}


def default_recordings_folder() -> Path:
    """Return the default folder of recordings, inside the user's music folder."""
    music = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MusicLocation)
    return Path(music or Path.home()) / "Audio Caption"


@dataclass(frozen=True)
class AppSettings:
    """Settings of the app.

    Attributes:
        checkpoint: checkpoint folder, `step=N.pth` file or hub id of the captioner.
        device: "auto", "cpu", "cuda" or "mps".
        style: caption style, one of the captioner's; empty for its default.
        method: decoding method; "own" uses the checkpoint's method, beams and temperature.
        num_captions: number of captions per clip.
        num_beams: number of beams of beam search.
        temperature: sampling temperature.
        top_k: sample from the k most probable tokens; 0 for all tokens.
        seed: random seed of sampling.
        window_s: window length for long recordings, seconds.
        always_windows: caption short recordings window by window, too.
        live_window_s: window length of continuous captioning, seconds.
        live_hop_s: hop between these windows, seconds.
        silence_db: microphone windows with a peak below this level, dBFS, are labelled silence.
        input_device: name of the input device; empty for the system default.
        recordings_folder: folder of recordings.
        theme: "system", "light" or "dark".
        log_shown: show the log.
        perhaps_below: captions with a probability below this, per cent, are marked "perhaps"; 0 disables the mark.
        alert_words: comma-separated words; live captions that contain one trigger a desktop notification.
        open_folder: folder of the last opened recording.
        export_folder: folder of the last export.
        recent: paths of the recently opened recordings, newest first, one per line.
    """

    checkpoint: str = str(DEFAULT_CHECKPOINT)
    device: str = "auto"
    style: str = ""
    method: Method = "own"
    num_captions: int = 3
    num_beams: int = 3
    temperature: float = 1.0
    top_k: int = 0
    seed: int = 0
    window_s: float = 10.0
    always_windows: bool = False
    live_window_s: float = 5.0
    live_hop_s: float = 2.5
    silence_db: float = -50.0
    input_device: str = ""
    recordings_folder: str = ""
    theme: Theme = "system"
    log_shown: bool = False
    perhaps_below: int = 0
    alert_words: str = ""
    open_folder: str = ""
    export_folder: str = ""
    recent: str = ""

    @property
    def recent_paths(self) -> list[str]:
        """Paths of the recently opened recordings, newest first."""
        return self.recent.splitlines()

    def with_recent(self, path: str) -> "AppSettings":
        """Return a copy with `path` as the most recently opened recording."""
        paths = [path, *(other for other in self.recent_paths if other != path)]
        return replace(self, recent="\n".join(paths[:MAX_RECENT]), open_folder=str(Path(path).parent))

    @property
    def decoding(self) -> dict[str, Any]:
        """Return the fields of `configs.schema.DecodingConfig` that override the checkpoint's values."""
        found: dict[str, Any] = {"num_captions": self.num_captions}
        if self.style:
            found["style"] = self.style
        if self.method != "own":
            found["method"] = self.method
        if self.method == "beam":
            found["num_beams"] = self.num_beams
        if self.method == "sample":
            found |= {"temperature": self.temperature, "top_k": self.top_k, "seed": self.seed}
        return found

    @property
    def recordings(self) -> Path:
        """Folder of recordings."""
        return Path(self.recordings_folder) if self.recordings_folder else default_recordings_folder()


class SettingsStore:
    """Reads and writes settings and window geometry with QSettings.

    Args:
        store: underlying QSettings.
        run: runs the tasks that write, in order, possibly on another thread. Default: at once.

    Attributes:
        on_error: called with a message when the settings cannot be written, on the thread of `run`.
    """

    def __init__(self, store: QSettings, run: Run = run_now) -> None:
        self._store, self._run = store, run
        self.on_error: Callable[[str], None] = logger.error
        self._lock = threading.Lock()
        self._unwritten: AppSettings | None = None

    def read(self) -> AppSettings:
        """Return the stored settings; missing and invalid values are replaced by their defaults."""
        found: dict[str, Any] = {}
        for item in fields(AppSettings):
            value = self._store.value(item.name)
            if value is None:
                continue
            parsed = _parse(item.name, type(item.default), value)
            if parsed is not None:
                found[item.name] = parsed
        settings = AppSettings(**found)
        if settings.live_hop_s > settings.live_window_s:
            settings = replace(settings, live_hop_s=settings.live_window_s / 2)
        return settings

    def write(self, settings: AppSettings) -> None:
        """Store the settings that differ from their defaults, so that later changes of defaults take effect."""
        with self._lock:
            is_queued, self._unwritten = self._unwritten is not None, settings
        if not is_queued:  # of changes in quick succession, the last is written
            self._run(self._write_newest)

    def _write_newest(self) -> None:
        with self._lock:
            settings, self._unwritten = self._unwritten, None
        if settings is None:
            return
        store = QSettings(self._store.fileName(), self._store.format())  # one object per thread
        defaults = AppSettings()
        for item in fields(AppSettings):
            value = getattr(settings, item.name)
            if value == getattr(defaults, item.name):
                store.remove(item.name)
            else:
                store.setValue(item.name, value)
        store.sync()
        if store.status() is not QSettings.Status.NoError:
            self.on_error(
                f"Settings cannot be saved in {store.fileName()}: changes are lost when the program is closed."
            )

    def read_place(self, name: str) -> QByteArray | None:
        """Return the stored geometry or state of a part of the window, or None."""
        value = self._store.value(f"window/{name}")
        return value if isinstance(value, QByteArray) else None

    def write_place(self, name: str, value: QByteArray) -> None:
        """Store the geometry or state of a part of the window."""
        self._store.setValue(f"window/{name}", value)


def _parse(name: str, kind: type, value: Any) -> Any:
    """Convert a stored value to the type of its setting; returns None if it is invalid."""
    if kind is bool:
        return str(value).lower() == "true"
    try:
        parsed = kind(value)
    except (TypeError, ValueError):
        return None
    if name in CHOICES and parsed not in CHOICES[name]:
        return None
    return None if name in SMALLEST and parsed < SMALLEST[name] else parsed

"""What the app remembers from one start to the next."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from PyQt6.QtCore import QByteArray, QSettings, QStandardPaths

from captioning.files import DEFAULT_CHECKPOINT

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
    """Where recordings go unless a person says otherwise: a folder of their music."""
    music = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MusicLocation)
    return Path(music or Path.home()) / "Audio Caption"


@dataclass(frozen=True)
class AppSettings:
    """All settings.

    Attributes:
        checkpoint: folder, `step=N.pth` file or hub id of the captioner.
        device: auto, cpu, cuda or mps.
        style: style of the captions, one of the captioner's; empty for its usual one.
        method: how captions are searched for; "own" leaves it, beams and temperature to the checkpoint.
        num_captions: captions of each clip.
        num_beams: beams of the beam search.
        temperature: of sampling.
        top_k: of sampling; 0 keeps all tokens.
        seed: of sampling.
        window_s: windows of long recordings, seconds.
        always_windows: caption short recordings in windows too.
        live_window_s: seconds that continuous listening captions at once.
        live_hop_s: seconds between these windows.
        silence_db: peaks below this level, dBFS, are silence to microphone captions.
        input_device: name of the microphone; empty for the system's default.
        recordings_folder: where recordings go.
        theme: colours.
        log_shown: whether the log is unfolded.
        perhaps_below: captions less probable than this, per cent, are shown as "perhaps"; 0 marks none.
        alert_words: comma-separated words; a live caption with one of them is told outside the window too.
        open_folder: where recordings were opened last.
        export_folder: where captions were exported last.
        recent: recordings that were opened, the newest first, one a line.
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
        """Recordings that were opened, the newest first."""
        return self.recent.splitlines()

    def with_recent(self, path: str) -> "AppSettings":
        """A copy in which a recording is the newest of those that were opened."""
        paths = [path, *(other for other in self.recent_paths if other != path)]
        return replace(self, recent="\n".join(paths[:MAX_RECENT]), open_folder=str(Path(path).parent))

    @property
    def decoding(self) -> dict[str, Any]:
        """Fields of `configs.schema.DecodingConfig` in place of the checkpoint's own."""
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
        """Where recordings go."""
        return Path(self.recordings_folder) if self.recordings_folder else default_recordings_folder()


class SettingsStore:
    """Settings and the window's place, by QSettings.

    Args:
        store: where they lie.
    """

    def __init__(self, store: QSettings) -> None:
        self._store = store

    def read(self) -> AppSettings:
        """The settings; one that is missing or makes no sense takes its default."""
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
        """Keep the settings; those at their default are not written, so that a later default is taken."""
        defaults = AppSettings()
        for item in fields(AppSettings):
            value = getattr(settings, item.name)
            if value == getattr(defaults, item.name):
                self._store.remove(item.name)
            else:
                self._store.setValue(item.name, value)

    def read_place(self, name: str) -> QByteArray | None:
        """Place and layout of a part of the window, as Qt wrote it."""
        value = self._store.value(f"window/{name}")
        return value if isinstance(value, QByteArray) else None

    def write_place(self, name: str, value: QByteArray) -> None:
        """Keep place and layout of a part of the window."""
        self._store.setValue(f"window/{name}", value)


def _parse(name: str, kind: type, value: Any) -> Any:
    """A stored value as its setting's type; None if it makes no sense."""
    if kind is bool:
        return str(value).lower() == "true"
    try:
        parsed = kind(value)
    except (TypeError, ValueError):
        return None
    if name in CHOICES and parsed not in CHOICES[name]:
        return None
    return None if name in SMALLEST and parsed < SMALLEST[name] else parsed

"""Past recordings and captions, in one JSON file."""

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from data.caption_formats import CaptionRecord
from ui.store.exports import write_whole

logger = logging.getLogger(__name__)
MAX_ENTRIES = 1000
KINDS = ("recording", "file", "live")


@dataclass(frozen=True)
class HistoryEntry:
    """A recording or file and what was heard in it.

    Attributes:
        key: unique.
        kind: one of KINDS.
        created: local time, ISO 8601.
        path: the recording; empty for a live session, whose sound was not kept.
        records: its captions; empty until it is captioned.
    """

    key: str
    kind: str
    created: str
    path: str
    records: tuple[CaptionRecord, ...] = ()


class History:
    """The newest entries first; every change is on disk before it returns.

    Args:
        path: the JSON file; made when something is added. A damaged one is put aside under another name.

    Attributes:
        entries: newest first.
        notice: what was wrong with the file, if anything.
        tell: takes a sentence when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[HistoryEntry] = []
        self.notice: str | None = None
        self.tell: Callable[[str], None] = logger.error
        if path.is_file():
            try:
                self.entries = [_entry(row) for row in json.loads(path.read_text(encoding="utf-8"))]
            except (ValueError, KeyError, TypeError, OSError) as error:
                aside = path.with_suffix(".damaged.json")
                path.replace(aside)
                self.notice = f"The history could not be read and was put aside as {aside}."
                logger.warning("%s (%s)", self.notice, error)

    def add(self, kind: str, path: str, records: Sequence[CaptionRecord] = ()) -> HistoryEntry:
        """A new entry, with the present time."""
        now = datetime.now().isoformat(timespec="seconds")
        entry = HistoryEntry(uuid.uuid4().hex, kind, now, path, tuple(records))
        self.entries = [entry, *self.entries][:MAX_ENTRIES]
        self._save()
        return entry

    def set_records(self, key: str, records: Sequence[CaptionRecord]) -> None:
        """Put captions in place of an entry's old ones; nothing happens if it was deleted meanwhile."""
        self.entries = [replace(entry, records=tuple(records)) if entry.key == key else entry for entry in self.entries]
        self._save()

    def find(self, path: str) -> HistoryEntry | None:
        """The newest entry of a recording."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def delete(self, key: str, with_recording: bool = False) -> None:
        """Forget an entry.

        Args:
            key: which.
            with_recording: also delete the sound, if this app recorded it; files of others are never deleted.

        Raises:
            OSError: the recording cannot be deleted; the entry stays.
        """
        for entry in self.entries:
            if entry.key == key and with_recording and entry.kind == "recording":
                Path(entry.path).unlink(missing_ok=True)
        self.entries = [entry for entry in self.entries if entry.key != key]
        self._save()

    def _save(self) -> None:
        text = json.dumps([asdict(entry) for entry in self.entries], ensure_ascii=False, indent=1)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, text)
        except OSError as error:  # recordings and captions go on without it
            self.tell(f"The history could not be saved to {self._path} ({error.strerror}).")


def _entry(row: dict[str, Any]) -> HistoryEntry:
    records = tuple(
        CaptionRecord(
            record["file"],
            float(record["start_s"]),
            float(record["end_s"]),
            tuple((str(text), float(score)) for text, score in record["captions"]),
        )
        for record in row["records"]
    )
    return HistoryEntry(str(row["key"]), str(row["kind"]), str(row["created"]), str(row["path"]), records)

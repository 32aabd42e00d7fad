"""Past recordings and captions, one JSON file for each, so that a change writes little and damage stays small."""

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from configs.atomic_files import write_file
from data.caption_formats import CaptionRecord, ScoredCaption

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
    """The newest entries first; every change is on disk before it returns, one file for each entry.

    Args:
        folder: where the files lie; made when something is added. A damaged file is put aside under another name.

    Attributes:
        entries: newest first.
        notice: what was wrong with the files, if anything.
        tell: takes a sentence when a file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.entries: list[HistoryEntry] = []
        self.notice: str | None = None
        self.tell: Callable[[str], None] = logger.error
        for path in sorted(folder.glob("*.json")):
            try:
                self.entries.append(_entry(json.loads(path.read_text(encoding="utf-8"))))
            except OSError as error:
                self.notice = f"{path} could not be read ({error.strerror}): the history lacks it."
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.notice = f"An entry of the history could not be read and was put aside: {_put_aside(path)}."
                logger.warning("%s (%s)", self.notice, error)
        self.entries.sort(key=lambda entry: entry.created, reverse=True)

    def add(self, kind: str, path: str, records: Sequence[CaptionRecord] = ()) -> HistoryEntry:
        """A new entry, with the present time."""
        now = datetime.now().isoformat()
        entry = HistoryEntry(uuid.uuid4().hex, kind, now, path, tuple(records))
        self.entries.insert(0, entry)
        self._write(entry)
        for oldest in self.entries[MAX_ENTRIES:]:
            self._forget(oldest)
        del self.entries[MAX_ENTRIES:]
        return entry

    def set_records(self, key: str, records: Sequence[CaptionRecord]) -> None:
        """Put captions in place of an entry's old ones; nothing happens if it was deleted meanwhile."""
        for place, entry in enumerate(self.entries):
            if entry.key == key:
                self.entries[place] = replace(entry, records=tuple(records))
                self._write(self.entries[place])

    def entry(self, key: str) -> HistoryEntry | None:
        """The entry of a key, if it is still there."""
        return next((entry for entry in self.entries if entry.key == key), None)

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
        for entry in [entry for entry in self.entries if entry.key == key]:
            if with_recording and entry.kind == "recording":
                Path(entry.path).unlink(missing_ok=True)
            self.entries.remove(entry)
            self._forget(entry)

    def _file(self, entry: HistoryEntry) -> Path:
        return self._folder / f"{entry.key}.json"

    def _write(self, entry: HistoryEntry) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(self._file(entry), json.dumps(asdict(entry), ensure_ascii=False, indent=1))
        except OSError as error:  # recordings and captions go on without it
            self.tell(f"The history could not be saved: {error}")

    def _forget(self, entry: HistoryEntry) -> None:
        try:
            self._file(entry).unlink(missing_ok=True)
        except OSError as error:
            self.tell(f"{self._file(entry)} could not be deleted ({error.strerror}).")


def _put_aside(path: Path) -> Path:
    """Rename a damaged file, so that it is looked at once; where even that fails it stays."""
    try:
        return path.replace(path.with_suffix(".damaged"))
    except OSError:
        logger.exception("%s could not be renamed", path)
        return path


def _caption(text: Any, log_probability: Any, probability: Any = None) -> ScoredCaption:
    """A caption of an entry; older entries have no calibrated probability."""
    return ScoredCaption(str(text), float(log_probability), None if probability is None else float(probability))


def _entry(row: dict[str, Any]) -> HistoryEntry:
    records = tuple(
        CaptionRecord(
            record["file"],
            float(record["start_s"]),
            float(record["end_s"]),
            tuple(_caption(*caption) for caption in record["captions"]),
        )
        for record in row["records"]
    )
    return HistoryEntry(str(row["key"]), str(row["kind"]), str(row["created"]), str(row["path"]), records)

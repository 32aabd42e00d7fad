"""History of documents, one JSON file per document, which limits the cost of a change and the extent of damage."""

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from configs.atomic_files import write_file
from data.caption_formats import CaptionRecord, ScoredCaption
from ui.store.background import Run, run_now
from ui.store.documents import Document, Kind, Review, Row

logger = logging.getLogger(__name__)
MAX_ENTRIES = 1000


class History:
    """Persistent list of documents, newest first.

    Args:
        folder: folder of the files; created when an entry is added. Damaged files are renamed and skipped.
        run: runs the tasks that write and delete files, in order, possibly on another thread. Default: at once.

    Attributes:
        entries: documents, newest first.
        notice: message about unreadable files; empty if there were none.
        on_error: called with a message when a file cannot be written or deleted, on the thread of `run`.
        on_change: called with a document whose rows have changed.
    """

    def __init__(self, folder: Path, run: Run = run_now) -> None:
        self._folder, self._run = folder, run
        self.entries: list[Document] = []
        self.notice: str | None = None
        self.on_error: Callable[[str], None] = logger.error
        self.on_change: Callable[[Document], None] = lambda document: None
        self._not_kept: dict[str, Document] = {}  # opened documents without captions, by path
        for path in sorted(folder.glob("*.json")):
            try:
                self.entries.append(self._adopt(_document(json.loads(path.read_text(encoding="utf-8")))))
            except OSError as error:
                self.notice = f"{path} could not be read ({error.strerror}): it is missing from the history."
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                self.notice = f"An entry of the history could not be read and is skipped: {_put_aside(path)}."
                logger.warning("%s (%s)", self.notice, error)
        self.entries.sort(key=lambda entry: entry.created, reverse=True)

    def new(self, kind: Kind, path: str, records: Sequence[CaptionRecord] = ()) -> Document:
        """Create a document with the current time; `keep` adds it to the history."""
        rows = [Row(record) for record in records]
        return self._adopt(Document(uuid.uuid4().hex, kind, datetime.now().isoformat(), path, rows))

    def add(self, kind: Kind, path: str, records: Sequence[CaptionRecord] = ()) -> Document:
        """Create a document and add it to the history."""
        document = self.new(kind, path, records)
        self.keep(document)
        return document

    def of(self, path: str) -> Document:
        """Return the document of a recording: from the history, or a new one."""
        found = self.find(path) or self._not_kept.get(path)
        if found is None:
            found = self._not_kept[path] = self.new(Kind.FILE, path)
        return found

    def keep(self, document: Document) -> None:
        """Write a document to disk and add it to the history if necessary."""
        if document not in self:
            self._not_kept.pop(document.path, None)
            place = next(
                (n for n, entry in enumerate(self.entries) if entry.created < document.created), len(self.entries)
            )
            self.entries.insert(place, document)
            for oldest in self.entries[MAX_ENTRIES:]:
                self._forget(oldest)
            del self.entries[MAX_ENTRIES:]
        self._write(document)

    def __contains__(self, document: object) -> bool:
        return any(entry is document for entry in self.entries)

    def entry(self, key: str) -> Document | None:
        """Return the document with this key, or None if it no longer exists."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def find(self, path: str) -> Document | None:
        """Return the newest document of a recording, or None."""
        return next((entry for entry in self.entries if entry.path == path), None)

    def delete(self, key: str, with_recording: bool = False) -> None:
        """Delete a document from the history.

        Args:
            key: key of the document.
            with_recording: also delete the audio file, only if the app recorded it. Default: False.

        Raises:
            OSError: if the recording cannot be deleted; the entry is kept.
        """
        for entry in [entry for entry in self.entries if entry.key == key]:
            if with_recording and entry.kind is Kind.RECORDING:
                Path(entry.path).unlink(missing_ok=True)
            self.entries.remove(entry)
            self._forget(entry)

    def _adopt(self, document: Document) -> Document:
        document.on_change = lambda changed: self.on_change(changed)
        return document

    def _file(self, entry: Document) -> Path:
        return self._folder / f"{entry.key}.json"

    def _write(self, entry: Document) -> None:
        content = {"key": entry.key, "kind": entry.kind, "created": entry.created, "path": entry.path}
        rows = tuple(entry.rows)  # as they are now; rows do not change
        self._run(lambda: self._write_file(self._file(entry), content, rows))

    def _write_file(self, path: Path, content: dict[str, str], kept: Sequence[Row]) -> None:
        rows = [{**asdict(row.record), "review": row.review, "heard_at": row.heard_at} for row in kept]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_file(path, json.dumps({**content, "records": rows}, ensure_ascii=False, indent=1))
        except OSError as error:  # the app continues without the history
            self.on_error(
                f"The history cannot be saved in {self._folder} ({error.strerror}): export captions before the program is closed."
            )

    def _forget(self, entry: Document) -> None:
        path = self._file(entry)

        def unlink() -> None:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self.on_error(f"{path} could not be deleted ({error.strerror}).")

        self._run(unlink)


def _put_aside(path: Path) -> Path:
    """Rename a damaged file, so that it is not read again; if renaming fails, the file is kept as it is."""
    try:
        return path.replace(path.with_suffix(".damaged"))
    except OSError:
        logger.exception("%s could not be renamed", path)
        return path


def _caption(text: Any, log_probability: Any, probability: Any = None) -> ScoredCaption:
    """Create a caption from an entry's fields; older entries have no calibrated probability."""
    return ScoredCaption(str(text), float(log_probability), None if probability is None else float(probability))


def _row(content: dict[str, Any]) -> Row:
    """Create a row from an entry's fields; older entries have no review status."""
    record = CaptionRecord(
        content["file"],
        float(content["start_s"]),
        float(content["end_s"]),
        tuple(_caption(*caption) for caption in content["captions"]),
    )
    return Row(record, Review(content.get("review", Review.FOUND)), str(content.get("heard_at", "")))


def _document(content: dict[str, Any]) -> Document:
    rows = [_row(row) for row in content["records"]]
    return Document(str(content["key"]), Kind(content["kind"]), str(content["created"]), str(content["path"]), rows)

"""The manifest beside an output file: every caption is written to it immediately, and no recording is captioned twice.

The format is JSON lines. The first line has the settings of the captions and their fingerprint. Each further line is a
record, or the end of a recording. The lines of a recording have its `key`, a hash of its name, size and modification time, and
the byte offset of its preceding line (`previous`), since several recordings may be in progress at once. A line without `state`
belongs to a recording that is not finished.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning.formats.base import Row
from captioning.jobs import Captioned, Event
from configs.atomic_files import open_locked
from data.caption_formats import SILENCE, CaptionRecord, FailedRecording, ScoredCaption

logger = logging.getLogger(__name__)

SUFFIX = ".manifest.jsonl"
CAPTIONED, SILENT, FAILED = "captioned", "silent", "failed"
STATES = (CAPTIONED, SILENT, FAILED)

_READ_AT_ONCE = 2**22  # bytes
_LINE = re.compile(rb'\{"key":"([0-9a-f]{16})",(?:"previous":\d+,)?(?:"window":|"state":"(\w+)").*\}')


class ManifestError(ValueError):
    """A manifest cannot be used or written; the message is one sentence with the path, the reason and the remedy."""


class Place(NamedTuple):
    """Position of a finished recording in the manifest.

    Attributes:
        offset: offset of its last line, in bytes.
        state: one of STATES.
    """

    offset: int
    state: str


def recording_key(path: Path) -> str:
    """Return 16 hexadecimal digits that identify a file and its version; ten million are distinct with p > 0.999997."""
    try:
        status = os.stat(path)
        version = f"{status.st_size}-{status.st_mtime_ns}"
    except (OSError, ValueError):  # the file may exist in the next run
        version = ""
    content = os.fsencode(path) + f"\0{version}".encode()
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a hash of settings, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


class Manifest:
    """A manifest, new or continued.

    Args:
        path: path of the file; its folder is created.
        settings: JSON values that all its captions share.
        restart: start a new manifest; the old one is kept as `.old`.

    Attributes:
        num_written: number of recordings finished since it was opened.

    Raises:
        ManifestError: it is in use, was made with other settings, is damaged, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], restart: bool = False) -> None:
        self.path = path
        self.num_written = 0
        self._open: dict[str, int] = {}  # last line of each unfinished recording, by key
        self._silent: dict[str, bool] = {}  # whether all lines so far of an unfinished recording are silence
        self._keys: NDArray[np.uint64] = np.zeros(0, np.uint64)  # recordings finished before it was opened, sorted
        self._places: NDArray[np.int64] = np.zeros(0, np.int64)  # 4 * offset + state of each
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if restart and path.exists():
                os.replace(path, path.with_name(f"{path.name}.old"))
            self._file = _locked(path)
            self._size, self._head_size = os.fstat(self._file).st_size, 0
            try:
                self._begin(settings)
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise ManifestError(f"{path} cannot be written ({error.strerror}): choose another --output.") from error

    def _begin(self, settings: Mapping[str, Any]) -> None:
        if not self._read(settings):
            head = {"manifest": 1, "fingerprint": fingerprint(settings), "settings": dict(settings)}
            self._write([_encoded(head)])
            self._head_size = self._size

    @property
    def has_lines(self) -> bool:
        """Whether it has at least one record."""
        return self._size > self._head_size

    def find(self, keys: Sequence[str]) -> list[Place | None]:
        """Return the positions of recordings finished before this manifest was opened; None for other recordings."""
        if not len(self._keys):
            return [None] * len(keys)
        wanted = np.array([int(key, 16) for key in keys], np.uint64)
        index = np.searchsorted(self._keys, wanted, side="right") - 1  # the last one, if captioned twice
        found = (index >= 0) & (self._keys[index] == wanted)
        return [
            _place(int(self._places[at])) if there else None for at, there in zip(index.tolist(), found, strict=True)
        ]

    def windows_done(self, key: str) -> frozenset[int]:
        """Return the indices of captioned windows of an unfinished recording."""
        if key not in self._open:
            return frozenset()
        return frozenset(line["window"] for line in self._lines(self._open[key]) if "window" in line)

    def add(self, events: Iterable[Event], keys: Mapping[int, str]) -> list[tuple[int, Place]]:
        """Write events and sync the file to disk.

        Args:
            events: events in order.
            keys: key of each recording, by its number.

        Returns:
            Number and position of each recording that was finished.

        Raises:
            ManifestError: the disk is full, or the file cannot be written; complete lines are kept.
        """
        lines: list[bytes] = []
        ended: list[tuple[int, Place]] = []
        offset = self._size
        for event in events:
            key = keys[event.number]
            line: dict[str, Any] = {"key": key}
            if key in self._open:
                line["previous"] = self._open[key]
            if isinstance(event, Captioned):
                line |= {"window": event.window, **_values(event.record)}
                self._open[key] = offset
                self._silent[key] = self._silent.get(key, True) and event.record.captions == SILENCE
            else:
                silent = self._silent.pop(key, False)
                state = FAILED if event.error else SILENT if silent else CAPTIONED
                line |= {"state": state, "file": event.name} | ({"error": event.error} if event.error else {})
                self._open.pop(key, None)
                ended.append((event.number, Place(offset, state)))
            lines.append(_encoded(line))
            offset += len(lines[-1])
        self._write(lines)
        self.num_written += len(ended)
        return ended

    def rows(self, place: Place) -> list[Row]:
        """Return the records of a finished recording in the order of its windows, followed by its failure, if any."""
        lines = self._lines(place.offset)
        windows = {line["window"]: _record(line) for line in lines if "window" in line}  # the newest line comes first
        found: list[Row] = [windows[number] for number in sorted(windows)]
        if "error" in lines[0]:
            found.append(FailedRecording(lines[0]["file"], lines[0]["error"]))
        return found

    def close(self) -> None:
        """Close the file and release its lock."""
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _lines(self, offset: int | None) -> list[dict[str, Any]]:
        """Return the line at an offset and its chain of preceding lines."""
        lines = []
        while offset is not None:
            try:
                lines.append(json.loads(self._line_at(offset)))
            except ValueError as error:
                raise self._damaged(offset) from error
            offset = lines[-1].get("previous")
        return lines

    def _line_at(self, offset: int) -> bytes:
        content, length = b"", 1024
        while b"\n" not in content:
            content = self._read_at(offset, length)
            if len(content) < length and b"\n" not in content:
                raise self._damaged(offset)
            length *= 4
        return content[: content.index(b"\n")]

    def _read_at(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, length, offset)
        os.lseek(self._file, offset, os.SEEK_SET)
        return os.read(self._file, length)

    def _damaged(self, offset: int) -> ManifestError:
        return ManifestError(
            f"{self.path} is damaged at byte {offset}: start again with --restart, or remove that line."
        )

    def _read(self, settings: Mapping[str, Any]) -> bool:
        """Read an existing file and return whether it has content. An incomplete last line is removed."""
        if not self._size:
            return False
        whole = self._whole_size()
        if whole:
            head = self._line_at(0)
            self._head_size = len(head) + 1
            self._check(head, settings)
            self._index(self._head_size, whole)
        os.ftruncate(self._file, whole)
        self._size = whole
        return bool(whole)

    def _whole_size(self) -> int:
        """Return the number of bytes up to the end of the last complete line."""
        end = self._size
        while end:
            start = max(0, end - _READ_AT_ONCE)
            if (found := self._read_at(start, end - start).rfind(b"\n")) >= 0:
                return start + found + 1
            end = start
        return 0

    def _complete_lines(self, offset: int, end: int) -> Iterator[list[bytes]]:
        """Yield the lines between two offsets, a few megabytes at a time."""
        rest = b""
        while offset < end:
            part = self._read_at(offset, min(_READ_AT_ONCE, end - offset))
            offset += len(part)
            *lines, rest = (rest + part).split(b"\n")
            yield lines

    def _check(self, head: bytes, settings: Mapping[str, Any]) -> None:
        try:
            known = json.loads(head)
            theirs, before = known["fingerprint"], known["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{self.path} is not a manifest of captions: choose another --output, or start again with --restart."
            ) from error
        ours = fingerprint(settings)
        if theirs == ours:
            return
        now = json.loads(json.dumps(settings))
        other = [
            f"{name} {json.dumps(before.get(name))} there, {json.dumps(now.get(name))} here"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        ]
        raise ManifestError(
            f"{self.path} has captions with fingerprint {theirs}, this command's is {ours} ({'; '.join(other)}): "
            "use the same settings, choose another --output, or start again with --restart."
        )

    def _index(self, start: int, end: int) -> None:
        """Find the lines of all recordings. Only their beginnings are parsed, since there may be millions."""
        keys, places = array("Q"), array("q")
        states = {state.encode(): number for number, state in enumerate(STATES)}
        title = f"reading {self.path.name}"
        with tqdm(total=end, initial=start, desc=title, unit="B", unit_scale=True, delay=2, file=sys.stderr) as bar:
            offset = start
            for lines in self._complete_lines(start, end):
                for line in lines:
                    found = _LINE.fullmatch(line)
                    if not found or (found[2] and found[2] not in states):
                        raise self._damaged(offset)
                    key = found[1].decode()
                    if found[2]:
                        keys.append(int(key, 16))
                        places.append(4 * offset + states[found[2]])
                        self._open.pop(key, None)
                    else:
                        self._open[key] = offset
                    offset += len(line) + 1
                bar.update(offset - bar.n)
        for key, last in self._open.items():
            self._silent[key] = all(_record(line).captions == SILENCE for line in self._lines(last))
        unsorted = np.frombuffer(keys, np.uint64) if keys else np.zeros(0, np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._keys = unsorted[order]
        self._places = (np.frombuffer(places, np.int64) if places else np.zeros(0, np.int64))[order]

    def _write(self, lines: Sequence[bytes]) -> None:
        content, done = memoryview(b"".join(lines)), 0
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            while done < len(content):
                done += os.write(self._file, content[done:])
            os.fsync(self._file)
        except OSError as error:
            whole = bytes(content[:done]).rfind(b"\n") + 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size + whole)
            raise ManifestError(
                f"{self.path} cannot be written any further ({error.strerror}): its content is kept; free space, and the same "
                "command resumes."
            ) from error
        self._size += len(content)


def _locked(path: Path) -> int:
    file = open_locked(path)
    if file is None:
        raise ManifestError(f"another run is writing {path}: choose another --output.")
    return file


def _place(packed: int) -> Place:
    return Place(packed >> 2, STATES[packed & 3])


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def _values(record: CaptionRecord) -> dict[str, Any]:
    """Convert a record to JSON values, without loss."""
    values: dict[str, Any] = {
        "file": record.file, "start_s": record.start_s, "end_s": record.end_s, "captions": record.captions,
    }  # fmt: skip
    if record.references:
        values["references"] = record.references
    if record.similarities:
        values["similarities"] = record.similarities
    if record.warning:
        values["warning"] = record.warning
    return values


def _record(line: Mapping[str, Any]) -> CaptionRecord:
    return CaptionRecord(
        line["file"],
        line["start_s"],
        line["end_s"],
        tuple(ScoredCaption(*caption) for caption in line["captions"]),
        tuple(line.get("references", ())),
        tuple(line.get("similarities", ())),
        line.get("warning", ""),
    )

"""Write captions to files: to the manifest immediately, and from the manifest to the output files."""

import logging
import os
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

from captioning.cluster.object_storage import is_url
from captioning.formats.base import Row
from captioning.jobs import Event, Job
from captioning.manifest import FAILED, STATES, Manifest, ManifestError, Place, recording_key
from captioning.outputs import OutputPlan, check_writable, write_recording, write_tables
from captioning.pipeline import CaptionerInfo
from captioning.progress import Tally
from configs.atomic_files import drop_unfinished
from data.caption_formats import FailedRecording

logger = logging.getLogger(__name__)

_LONGEST_WAIT_S = 1.0  # timeout for a blocked write when the process is stopped


class FileStore:
    """A manifest and the output files made from it.

    Each recording takes eight bytes of memory, plus its name while it is being captioned.

    Args:
        plan: output files and formats.
        settings: settings that all captions of the manifest share.
        folder: absolute path of the folder that contains all recordings.
        tally: counters; recordings captioned in an earlier run are added to it.
        restart: start a new manifest.
        retry_failed: caption recordings again that failed in an earlier run.
        max_frequency_hz: half the captioner's sample rate, in hertz, if known before the captioner is loaded.

    Raises:
        ManifestError: the manifest has other settings, is in use, is damaged, or is not writable.
        ValueError: the output path is not suitable (a folder for a file, or the reverse).
    """

    def __init__(
        self,
        plan: OutputPlan,
        settings: Mapping[str, Any],
        folder: str,
        tally: Tally,
        *,
        restart: bool = False,
        retry_failed: bool = False,
        max_frequency_hz: float = 16000.0,
    ) -> None:
        check_writable(plan)
        self._plan, self._folder, self._tally = plan, folder, tally
        self._retry_failed, self._max_frequency_hz = retry_failed, max_frequency_hz
        self._manifest = Manifest(plan.manifest, settings, restart)
        self._places = array("q")  # 4 * offset + state of each recording, by its number
        self._in_work: dict[int, tuple[Job, str]] = {}  # jobs with their keys
        self._same: dict[str, list[int]] = {}  # numbers in progress, by key: one recording may be listed twice
        self._num_omitted = 0  # captions below the minimum probability
        self._lock = threading.Lock()

    def begin(self, info: CaptionerInfo) -> None:
        """Called once the captioner is loaded."""
        self._max_frequency_hz = info.sample_rate / 2

    def pending(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the recordings that are not captioned yet.

        Args:
            jobs: the next recordings, in the order of their numbers.
        """
        keys = [recording_key(job.path) for job in jobs]
        pending = []
        for job, key, place in zip(jobs, keys, self._manifest.find(keys), strict=True):
            self._places.append(-1)
            if place is not None and not (place.state == FAILED and self._retry_failed):
                self._count_before(job, place)
                self._settle(job, place)
            elif key in self._same:
                self._in_work[job.number] = job, key
                self._same[key].append(job.number)
            else:
                self._in_work[job.number] = job, key
                self._same[key] = [job.number]
                pending.append(replace(job, windows_done=self._manifest.windows_done(key)))
        return pending

    def take(self, events: Sequence[Event]) -> None:
        """Write new records and ends of recordings to the manifest.

        Raises:
            ManifestError: the disk is full, or the file cannot be written any more.
            FileNotWrittenError: the output files of a recording cannot be written.
        """
        keys = {event.number: self._in_work[event.number][1] for event in events}
        with self._lock:
            ended = self._manifest.add(events, keys)
        for number, place in ended:
            for same in self._same.pop(keys[number]):
                job, _ = self._in_work.pop(same)
                if same != number:
                    self._count_before(job, place, repeated=True)
                self._settle(job, place)

    def finish(self) -> None:
        """Write the output files after the last recording.

        Raises:
            FileNotWrittenError: no space, or no permission; all captions are still in the manifest.
        """
        if not self._plan.per_recording:
            self._num_omitted = write_tables(self._plan, self._rows, len(self._places), self._max_frequency_hz)
        self._manifest.close()
        omitted = self._plan.selection.omitted_notice(self._num_omitted)
        logger.info("captions are in %s%s.", self._plan.written, omitted)

    def keep(self) -> str:
        """Stop writing before the process ends, and return a sentence that says where the captions are."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_S):  # the lock is kept
            return "the output is blocked"
        drop_unfinished()
        return self._kept()

    def __enter__(self) -> "FileStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            message = self._kept()
            self._manifest.close()
            if self._manifest.num_written and not isinstance(error, ManifestError):
                logger.warning("not finished: %s.", message)

    def _kept(self) -> str:
        number = self._manifest.num_written
        if not self._manifest.has_lines:
            self._manifest.path.unlink(missing_ok=True)
            return "nothing was captioned yet"
        count = "1 recording is" if number == 1 else f"{number} recordings are"
        return f"{count} done in {self._manifest.path}; the same command resumes there"

    def _count_before(self, job: Job, place: Place, *, repeated: bool = False) -> None:
        """Count a recording that was done in an earlier run or is repeated in the list, with the reason of a failure."""
        rows = self._manifest.rows(place) if place.state == FAILED else ()
        failed = next((row for row in rows if isinstance(row, FailedRecording)), None)
        self._tally.add_before(place.state, *((failed.file, failed.error) if failed else ()), repeated=repeated)

    def _settle(self, job: Job, place: Place) -> None:
        self._places[job.number] = 4 * place.offset + STATES.index(place.state)
        if self._plan.per_recording:
            name = job.name if is_url(job.name) else os.fspath(job.path)
            files = self._plan.files_of(name, self._folder)
            rows = self._manifest.rows(place)
            self._num_omitted += self._plan.selection.num_omitted(rows)
            write_recording(self._plan, files, rows, self._max_frequency_hz)

    def _rows(self) -> Iterator[Sequence[Row]]:
        for packed in self._places:
            yield self._manifest.rows(Place(packed >> 2, STATES[packed & 3]))

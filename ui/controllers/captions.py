"""Joins the window with the captioner: single recordings, the queue, the history."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PyQt6.QtCore import QObject, pyqtSignal

from data.caption_formats import CaptionRecord
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.engine.requests import CaptionerChoice, CaptionerInfo, CaptionRequest
from ui.sound.levels import to_amplitude
from ui.store.caption_queue import CaptionQueue, QueueItem, Status
from ui.store.exports import shown_text
from ui.widgets.parts import minutes_seconds, time_span
from ui.widgets.state import Recording


@dataclass
class Job:
    """A recording under way.

    Attributes:
        key: names it in the worker's answers.
        path: the recording.
        done: takes its captions.
        started: when, by time.monotonic.
        item: its place in the queue, if it has one.
    """

    key: str
    path: str
    done: Callable[[list[CaptionRecord]], None]
    started: float
    item: QueueItem | None = None


class CaptionController(QObject):
    """Who is captioned when, and where the captions go.

    Args:
        session: what all controllers share.
        sound: what is open and recorded.
    """

    _load = pyqtSignal(object)
    _caption = pyqtSignal(str, object)

    def __init__(self, session: Session, sound: SoundController) -> None:
        super().__init__()
        self._session, self._sound = session, sound
        self._window, self._workers, self._history = session.window, session.workers, session.history
        self.info: CaptionerInfo | None = None
        self.records: list[CaptionRecord] = []
        self.queue = CaptionQueue()
        self._job: Job | None = None
        self._num_jobs = 0
        self._running_queue = False
        self._caption_next_recording = False
        self._connect_window()
        self._connect_workers()

    def _connect_window(self) -> None:
        window = self._window
        window.controls.model_clicked.connect(self.run_model)
        window.controls.live_clicked.connect(self.run_live)
        for cancel in (window.controls.cancel_clicked, window.queue.cancel_clicked):
            cancel.connect(self.cancel)
        window.queue.run_clicked.connect(self.run_queue)
        window.queue.clear_clicked.connect(self._clear_queue)
        window.history.rerun_asked.connect(self._rerun)
        window.history.open_asked.connect(self._open_entry)
        window.history.delete_asked.connect(self._delete_entry)
        self._sound.opened.connect(self._on_opened)
        self._sound.recording_kept.connect(self._on_recording_kept)

    def _connect_workers(self) -> None:
        captioning = self._workers.captioning
        self._load.connect(captioning.load)
        self._caption.connect(captioning.caption)
        captioning.loaded.connect(self._on_loaded)
        captioning.load_failed.connect(self._on_load_failed)
        captioning.progress.connect(self._on_progress)
        captioning.done.connect(self._on_done)
        captioning.failed.connect(self._on_failed)
        captioning.cancelled.connect(self._on_cancelled)

    def load(self) -> None:
        """Load the captioner that the settings name."""
        settings = self._session.settings
        self._session.update(model_ready=False)
        self.info = None
        self._window.captioner.setText("Loading the captioner…")
        self._load.emit(CaptionerChoice(settings.checkpoint, settings.device))

    def run_model(self) -> None:
        """Caption the open recording, or the selected part of it."""
        path, region = self._session.state.path, self._sound.region
        start_s, end_s = region if region is not None else (0.0, None)
        self._start(path, self._show_model, start_s=start_s, end_s=end_s)

    def run_live(self) -> None:
        """Caption the last recording; one that is still going on is stopped and saved first."""
        if self._session.state.recording is not Recording.OFF:
            self._caption_next_recording = True
            self._sound.stop_recording()
        elif self._sound.last_recording:
            silence_peak = to_amplitude(self._session.settings.silence_db)
            self._start(self._sound.last_recording, self._show_recording, silence_peak=silence_peak)

    def add_files(self, paths: Sequence[Path]) -> None:
        """Put files into the queue."""
        self.queue.add(paths)
        self._window.tabs.setCurrentWidget(self._window.queue)
        self._show_queue()
        self._window.set_status(f"{len(paths)} files were added: press Caption All.")

    def run_queue(self) -> None:
        """Caption the files that wait, one after another."""
        self._running_queue = True
        self.queue.begin()
        self._next_of_queue()

    def cancel(self) -> None:
        """Give up what is being captioned, and the rest of the queue."""
        if self._running_queue:
            self.queue.cancel()
            self._running_queue = False
        self._workers.captioning.cancel()

    # one recording after another

    def _start(
        self,
        path: str,
        done: Callable[[list[CaptionRecord]], None],
        item: QueueItem | None = None,
        start_s: float = 0.0,
        end_s: float | None = None,
        **options: float,
    ) -> None:
        if self._job is not None or not path:
            return
        self._window.banner.hide()
        settings = self._session.settings
        self._num_jobs += 1
        self._job = Job(str(self._num_jobs), path, done, time.monotonic(), item)
        request = CaptionRequest(
            Path(path),
            settings.decoding,
            settings.window_s,
            settings.always_windows,
            start_s,
            end_s,
            **options,
        )
        self._session.update(captioning=True)
        self._window.controls.set_share(0.0, None)
        self._window.set_status(f"Captioning {Path(path).name}…")
        self._caption.emit(self._job.key, request)

    def _finish(self, key: str) -> Job | None:
        """The job that has ended, if it is still the present one."""
        if self._job is None or self._job.key != key:
            return None
        job, self._job = self._job, None
        self._session.update(captioning=False)
        return job

    def _on_progress(self, key: str, share: float) -> None:
        if self._job is None or self._job.key != key:
            return
        left = None
        if self._job.item is not None:
            self._job.item.share = share
            self._show_queue()
            share, left = self.queue.share, self.queue.time_left_s
        elif share >= 0.02:
            left = (time.monotonic() - self._job.started) * (1 - share) / share
        self._window.controls.set_share(share, left)

    def _on_done(self, key: str, records: list[CaptionRecord]) -> None:
        job = self._finish(key)
        if job is None:
            return
        spent = time.monotonic() - job.started
        text = shown_text(records[0]) if len(records) == 1 else f"{len(records)} captions"
        self._window.log.add(f"{Path(job.path).name}: {text} ({spent:.1f} s)")
        self._window.set_status(f"Captioned {Path(job.path).name} in {spent:.1f} s.")
        self._note(job.path, records)
        job.done(records)
        self._end_of_item(job, Status.DONE, records=records)

    def _on_failed(self, key: str, sentence: str) -> None:
        job = self._finish(key)
        if job is None:
            return
        self._window.set_status("This recording could not be captioned.")
        self._window.tell(sentence)
        self._end_of_item(job, Status.FAILED, sentence)

    def _on_cancelled(self, key: str) -> None:
        job = self._finish(key)
        if job is None:
            return
        self._window.set_status("Cancelled.")
        self._window.log.add(f"Captioning {Path(job.path).name} was cancelled.")
        self._end_of_item(job, Status.CANCELLED)

    def _end_of_item(self, job: Job, status: Status, message: str = "", records: Sequence[CaptionRecord] = ()) -> None:
        if job.item is not None:
            job.item.status, job.item.message, job.item.records = status, message, list(records)
            self._show_queue()
            self._next_of_queue()

    def _next_of_queue(self) -> None:
        item = self.queue.next() if self._running_queue and self._job is None else None
        if item is not None:
            self._start(str(item.path), lambda records: None, item)
        elif self._job is None:
            self._running_queue = False
        self._show_queue()

    def _clear_queue(self) -> None:
        self.queue.clear()
        self._show_queue()

    def _show_queue(self) -> None:
        items = self.queue.items
        waiting = sum(item.status is Status.WAITING for item in items)
        ended = sum(item.status not in (Status.WAITING, Status.WORKING) for item in items)
        left = self.queue.time_left_s if self._running_queue else None
        summary = f"{ended} of {len(items)} done" if items else ""
        if left is not None:
            summary += f", {100 * self.queue.share:.0f} %, about {minutes_seconds(left + 0.999)} left"
        self._window.queue.set_items(items, summary)
        self._session.update(num_waiting=waiting)

    # where captions go

    def _show_model(self, records: list[CaptionRecord]) -> None:
        self.records = records
        self._window.captions.set_model_records(records, datetime.now())
        self._window.sound.set_records(records)
        self._window.tabs.show_captions(live=False)
        self._session.update(has_captions=True)

    def _show_recording(self, records: list[CaptionRecord]) -> None:
        for record in records:
            span = time_span(record.start_s, record.end_s)
            self._window.captions.add_live(record, span if len(records) > 1 else f"{datetime.now():%H:%M:%S}")
        self._window.tabs.show_captions(live=True)

    def _note(self, path: str, records: Sequence[CaptionRecord]) -> None:
        entry = self._history.find(path)
        if entry is None:
            self._history.add("file", path, records)
        else:
            self._history.set_records(entry.key, records)
        self._window.history.set_entries(self._history.entries)

    def _on_opened(self, path: str) -> None:
        if self.records and Path(self.records[0].file) == Path(path):
            self._window.sound.set_records(self.records)
        else:
            self.records = []
            self._window.captions.clear_model()
            self._session.update(has_captions=False)

    def _on_recording_kept(self, path: str) -> None:
        if self._caption_next_recording:
            self._caption_next_recording = False
            self.run_live()

    def _rerun(self, key: str) -> None:
        entry = self._history.entry(key)
        if entry is not None:
            self._sound.open(entry.path)
            self._start(entry.path, self._show_model)

    def _open_entry(self, key: str) -> None:
        entry = self._history.entry(key)
        if entry is None:
            return
        if entry.path:
            self._sound.open(entry.path)
        if entry.records:
            self._show_model(list(entry.records))
        if entry.kind == "recording":
            self._sound.last_recording = entry.path
            self._session.update(has_recording=True)

    def _delete_entry(self, key: str, with_recording: bool) -> None:
        try:
            self._history.delete(key, with_recording)
        except OSError as error:
            self._window.tell(f"The recording could not be deleted ({error.strerror}).")
        self._window.history.set_entries(self._history.entries)

    # the captioner

    def _on_loaded(self, info: CaptionerInfo) -> None:
        self.info = info
        name = Path(info.checkpoint).name
        self._window.captioner.setText(f"{name} · {info.encoder} · {info.device}")
        self._window.log.add(f"Loaded {info.checkpoint} ({info.encoder}, {info.device}).")
        if not self._session.state.path:
            self._window.set_status("Ready.")
        self._session.update(model_ready=True)

    def _on_load_failed(self, sentence: str) -> None:
        self._window.captioner.setText("no captioner")
        self._window.set_status("You can record and play, but not caption.")
        self._window.tell(sentence)

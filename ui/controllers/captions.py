"""Connects the window with the captioner: queue of captioning jobs, whose captions are stored in their document."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from PyQt6.QtCore import QObject, pyqtSignal

from data.caption_formats import CaptionRecord
from ui.controllers.documents import DocumentController
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.engine.requests import CaptionerChoice, CaptionerInfo, CaptionRequest
from ui.sound.levels import to_amplitude
from ui.store.caption_queue import Status
from ui.store.documents import CaptionRun, Document, Kind, Row
from ui.store.exports import shown_text
from ui.widgets.numbers import decimal
from ui.widgets.state import Recording

_keys = iter(range(1, 1 << 62))


@dataclass
class Job:
    """Captioning job for a recording or a span of it, waiting or running.

    Attributes:
        document: document that receives the captions.
        start_s: start of the span, seconds.
        end_s: end of the span, seconds; None for the end of the recording.
        own_silence: apply the microphone's silence threshold, as for recordings made by the app.
        key: identifier of the job in the worker's signals.
        started: start time by `time.monotonic`, seconds.
        run: collects the captions.
    """

    document: Document
    start_s: float = 0.0
    end_s: float | None = None
    own_silence: bool = False
    key: str = field(default_factory=lambda: str(next(_keys)))
    started: float = 0.0
    run: CaptionRun = field(init=False)

    def __post_init__(self) -> None:
        self.run = CaptionRun(self.document, self.start_s, self.end_s)

    @property
    def name(self) -> str:
        """Display name."""
        return self.document.name


class CaptionController(QObject):
    """Runs captioning jobs one after another; jobs wait until the captioner is loaded.

    Args:
        session: state shared by all controllers.
        documents: controller of the displayed document.
        sound: controller of the open recording and of the recorder.
    """

    progressed = pyqtSignal(object, float)  # Job; completed fraction, 0 to 1
    ended = pyqtSignal(object, object, str)  # Job; its Status; error message if it failed
    _load = pyqtSignal(object)
    _caption = pyqtSignal(str, object)

    def __init__(self, session: Session, documents: DocumentController, sound: SoundController) -> None:
        super().__init__()
        self._session, self._documents, self._sound = session, documents, sound
        self._window, self._workers, self._history = session.window, session.workers, session.history
        self.info: CaptionerInfo | None = None
        self._loaded: CaptionerInfo | None = None  # last choice that was loaded successfully
        self._job: Job | None = None
        self._waiting: list[Job] = []
        self._caption_next_recording = False
        controls = self._window.controls
        controls.model_clicked.connect(self.run_model)
        controls.live_clicked.connect(self.run_live)
        controls.cancel_clicked.connect(self.cancel)
        self._window.captions.again_asked.connect(self._again)
        self._sound.recording_kept.connect(self._on_recording_kept)
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
        """Load the captioner selected in the settings."""
        settings = self._session.settings
        self._session.update(model_ready=False)
        self.info = None
        self._window.captioner.setText("Loading the captioner…")
        self._load.emit(CaptionerChoice(settings.checkpoint, settings.device))

    def run_model(self) -> None:
        """Caption the open recording, or the selected part of it."""
        if self._documents.open is not None and self._session.state.path:
            start_s, end_s = self._sound.region or (0.0, None)
            self._documents.bring(live=False)
            self.add(Job(self._documents.open, start_s, end_s))

    def run_live(self) -> None:
        """Caption the last recording; a recording in progress is stopped and saved first."""
        if self._session.state.recording is not Recording.OFF:
            self._caption_next_recording = True
            self._sound.stop_recording()
        elif self._sound.last_recording:
            document = self._history.of(self._sound.last_recording)
            if document is not self._documents.open:
                self._sound.open(document.path)
            self._documents.bring(live=False)
            self.add(Job(document, own_silence=True))

    def caption_document(self, document: Document) -> None:
        """Open a recording and caption all of it."""
        self._sound.open(document.path)
        self.add(Job(document))

    def add(self, job: Job) -> None:
        """Queue a job; it starts when the captioner is loaded and idle."""
        self._window.banner.end_message()
        self._waiting.append(job)
        self._next()
        if self._job is None:
            self._window.set_status(f"{job.name} is captioned as soon as the captioner is loaded.")

    def cancel(self) -> None:
        """Cancel the running job and all waiting jobs; existing captions are kept."""
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self.ended.emit(job, Status.CANCELLED, "")
        self._show_work()
        self._workers.captioning.cancel()

    # one recording after another

    def _next(self) -> None:
        if self._job is None and self._waiting and self.info is not None:
            self._start(self._waiting.pop(0))
        self._show_work()

    def _show_work(self) -> None:
        jobs = [*([] if self._job is None else [self._job]), *self._waiting]
        self._session.update(captioning=bool(jobs), captioned=tuple(job.document.path for job in jobs))

    def _start(self, job: Job) -> None:
        settings = self._session.settings
        self._job = job
        job.started = time.monotonic()
        options = {"silence_peak": to_amplitude(settings.silence_db)} if job.own_silence else {}
        request = CaptionRequest(
            Path(job.document.path),
            settings.decoding,
            settings.window_s,
            settings.always_windows,
            job.start_s,
            job.end_s,
            **options,
        )
        self._window.controls.set_share(0.0, None)
        self._window.set_status(f"Captioning {job.name}…")
        self._caption.emit(job.key, request)

    def _finish(self, key: str) -> Job | None:
        """Remove and return the current job if it has this key, else None."""
        if self._job is None or self._job.key != key:
            return None
        job, self._job = self._job, None
        return job

    def _on_progress(self, key: str, share: float, records: list[CaptionRecord]) -> None:
        if self._job is None or self._job.key != key:
            return
        self._job.run.put(records)
        left = (time.monotonic() - self._job.started) * (1 - share) / share if share >= 0.02 else None
        self._window.controls.set_share(share, left)
        self.progressed.emit(self._job, share)

    def _on_done(self, key: str, records: list[CaptionRecord]) -> None:
        job = self._finish(key)
        if job is None:
            return
        job.run.finish(records)
        spent = time.monotonic() - job.started
        text = shown_text(records[0]) if len(records) == 1 else f"{len(records)} captions"
        self._window.log.add(f"{job.name}: {text} ({decimal(spent)} s)")
        self._window.set_status(f"Captioned {job.name} in {decimal(spent)} s.")
        if job.document is self._documents.shown:
            self._window.announcer.announce(text)
        self._documents.keep(job.document)
        self._end(job, Status.DONE)

    def _on_failed(self, key: str, sentence: str) -> None:
        job = self._finish(key)
        if job is None:
            return
        job.run.close()
        self._window.set_status(f"{job.name} could not be captioned.")
        self._window.show_message(sentence)
        self._end(job, Status.FAILED, sentence)

    def _on_cancelled(self, key: str) -> None:
        job = self._finish(key)
        if job is None:
            return
        job.run.close()
        kept = len(job.run.records)
        outcome = f"Cancelled; {kept} captions are kept." if kept > 1 else "Cancelled."
        self._window.set_status(outcome)
        self._window.log.add(f"{job.name}: {outcome}")
        self._end(job, Status.CANCELLED)

    def _end(self, job: Job, status: Status, sentence: str = "") -> None:
        self.ended.emit(job, status, sentence)
        self._next()

    def _again(self, rows: list[Row]) -> None:
        document = self._documents.shown
        if document is None or not document.path:
            if rows:
                self._window.show_message(
                    "The sound of this listening session was not stored, so it cannot be captioned again."
                )
            return
        for row in rows:
            self.add(Job(document, row.record.start_s, row.record.end_s, document.kind is Kind.RECORDING))

    def _on_recording_kept(self, path: str) -> None:
        if self._caption_next_recording:
            self._caption_next_recording = False
            self.run_live()

    # the captioner

    def _on_loaded(self, info: CaptionerInfo) -> None:
        self.info = self._loaded = info
        name = Path(info.checkpoint).name
        self._window.captioner.setText(f"{name} · {info.encoder} · {info.device}")
        self._window.log.add(f"Loaded {info.checkpoint} ({info.encoder}, {info.device}).")
        if not self._session.state.path:
            self._window.set_status("Ready.")
        self._session.update(model_ready=True)
        self._next()

    def _on_load_failed(self, sentence: str) -> None:
        settings = self._session.settings
        if settings.device in ("cuda", "mps"):
            self._session.change(replace(settings, device="auto"))
            self._window.show_message(f"{sentence} The captioner runs on another device instead.")
            self.load()
        elif self._loaded is not None and self._loaded.checkpoint != settings.checkpoint:
            self._session.change(replace(settings, checkpoint=self._loaded.checkpoint))
            self._window.show_message(f"{sentence} The previous captioner is used.")
            self.load()
        else:
            self._window.captioner.setText("no captioner")
            self.cancel()
            self._window.set_status(
                "You can record and play; to caption, choose a checkpoint in the settings (Ctrl+,)."
            )
            self._window.show_message(sentence)

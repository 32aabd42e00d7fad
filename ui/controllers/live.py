"""Connects the window with continuous captioning of the microphone."""

from collections.abc import Callable
from datetime import datetime, timedelta

from PyQt6.QtCore import QObject, pyqtSignal

from ui.controllers.documents import DocumentController
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.engine.live import LiveUpdate
from ui.engine.requests import CaptionerInfo
from ui.store.alerts import alert_words, matching_words
from ui.store.documents import Document, Kind, Row
from ui.store.exports import shown_text
from ui.widgets.notifier import Notifier
from ui.widgets.numbers import decimal
from ui.widgets.state import Listening


class LiveController(QObject):
    """Controls a listening session: start, pause and stop, its document and its latency.

    Args:
        session: state shared by all controllers.
        documents: displays the session's captions.
        sound: draws the microphone's waveform.
        info: returns the loaded captioner's description, or None.
    """

    _listen = pyqtSignal(object, int)
    _pause_listening = pyqtSignal(bool)
    _stop_listening = pyqtSignal()

    def __init__(
        self,
        session: Session,
        documents: DocumentController,
        sound: SoundController,
        info: Callable[[], CaptionerInfo | None],
    ) -> None:
        super().__init__()
        self._session, self._documents, self._sound, self._info = session, documents, sound, info
        self._window, self._history = session.window, session.history
        window, microphone = session.window, session.workers.microphone
        self.document: Document | None = None  # document of the running session
        self._notifier = Notifier(window)
        window.controls.listen_clicked.connect(self.listen_or_stop)
        window.controls.listen_pause_clicked.connect(self._pause_or_resume)
        self._listen.connect(microphone.start_listening)
        self._pause_listening.connect(microphone.pause_listening)
        self._stop_listening.connect(microphone.stop_listening)
        microphone.listening_started.connect(self._on_listening)
        microphone.listening_ended.connect(self._on_listening_ended)
        microphone.live_update.connect(self._on_live_update)
        microphone.trouble.connect(self._on_trouble)
        microphone.loud_event.connect(self._on_loud_event)

    def listen_or_stop(self) -> None:
        """Start or stop listening; slot of the Listen button."""
        if self._session.state.listening is not Listening.OFF:
            self._stop_listening.emit()
        elif (info := self._info()) is not None:
            self._session.update(listening=Listening.OPENING)
            self._window.set_status("Opening the microphone…")
            self._listen.emit(self._session.settings, info.sample_rate)

    def _pause_or_resume(self) -> None:
        paused = self._session.state.listening is Listening.ON
        self._pause_listening.emit(paused)
        self._session.update(listening=Listening.PAUSED if paused else Listening.ON)
        self._window.set_status("Listening is paused." if paused else "Listening.")

    def _on_listening(self) -> None:
        self._session.update(listening=Listening.ON)
        self._window.set_status("Listening.")
        self.document = self._history.new(Kind.LIVE, "")
        self._documents.show_live(self.document)
        self._sound.grow(self.document)

    def _on_listening_ended(self) -> None:
        self._session.update(listening=Listening.OFF)
        self._window.set_status("Listening has ended.")
        document, self.document = self.document, None
        if document is not None:
            if document.rows:
                self._documents.keep(document)
            self._sound.end_growth(document)

    def _on_live_update(self, update: LiveUpdate) -> None:
        record = update.record
        if self.document is None:
            return
        begun = datetime.now() - timedelta(seconds=update.latency_s + record.end_s - record.start_s)
        self.document.grow(Row(record, heard_at=begun.isoformat()), update.extends)
        self._alert(shown_text(record), update.extends)
        self._window.large.show_caption(shown_text(record), update.extends)
        if not update.extends:
            self._window.announcer.announce(shown_text(record))
        hop_s = self._session.settings.live_hop_s
        text = (
            f"latency {decimal(update.latency_s)} s"
            if update.latency_s <= hop_s
            else f"behind by {decimal(update.latency_s, 0)} s"
        )
        tip = "Delay from the end of a sound to its caption."
        if update.num_dropped:
            text += f", {update.num_dropped} skipped"
            tip += f" The captioner was slower than the microphone: {update.num_dropped} windows were skipped."
        if self._documents.shown is self.document:
            self._window.captions.set_latency(text, tip)

    def _alert(self, caption: str, extends: bool) -> None:
        """Show a message and a desktop notification, once per caption, if it contains alert words."""
        words = matching_words(alert_words(self._session.settings.alert_words), caption)
        if words and not extends:
            kind = ", ".join(words).capitalize()
            sentence = f"{kind}: {caption}"
            self._window.show_alert(kind, sentence)
            self._notifier.notify("Audio Caption", sentence)
            if self._window.large.isVisible():
                self._window.large.flash()

    def _on_trouble(self, sentence: str) -> None:
        """Tell a user who is not looking at the window, as alert words do, that sounds are no longer captioned."""
        if self._session.state.listening in (Listening.ON, Listening.PAUSED):
            self._notifier.notify("Audio Caption", sentence)

    def _on_loud_event(self) -> None:
        if self._window.large.isVisible() and self._session.state.listening is Listening.ON:
            self._window.large.flash()

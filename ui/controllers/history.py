"""Connects the history list with the controllers that open, caption and delete documents."""

from PyQt6.QtCore import QObject

from ui.controllers.captions import CaptionController
from ui.controllers.documents import DocumentController
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.store.documents import Kind


class HistoryController(QObject):
    """Opens, captions again and deletes documents of the history.

    Args:
        session: state shared by all controllers.
        documents: displays documents.
        sound: opens recordings.
        captions: captions recordings.
    """

    def __init__(
        self, session: Session, documents: DocumentController, sound: SoundController, captions: CaptionController
    ) -> None:
        super().__init__()
        self._session, self._documents, self._sound, self._captions = session, documents, sound, captions
        self._window, self._history = session.window, session.history
        panel = self._window.history
        panel.open_asked.connect(self.open)
        panel.rerun_asked.connect(self._caption_again)
        panel.delete_asked.connect(self._delete)

    def open(self, key: str) -> None:
        """Open a document by its key: a recording with its sound, a listening session with its captions only."""
        document = self._history.entry(key)
        if document is None:
            return
        if document.kind is Kind.LIVE:
            self._documents.show_live(document)
            return
        if document.kind is Kind.RECORDING:
            self._sound.last_recording = document.path
            self._session.update(has_recording=True)
        self._sound.open(document.path)

    def _caption_again(self, key: str) -> None:
        document = self._history.entry(key)
        if document is not None and document.path:
            self._captions.caption_document(document)

    def _delete(self, key: str, with_recording: bool) -> None:
        document = self._history.entry(key)
        try:
            self._history.delete(key, with_recording)
        except OSError as error:
            self._window.show_message(f"The recording could not be deleted ({error.strerror}).")
        else:
            if document is not None and not with_recording:
                sentence = f"{document.name} was removed from the history."
                self._window.offer(sentence, "Undo", lambda: self._documents.keep(document))
        self._window.history.set_entries(self._history.entries)

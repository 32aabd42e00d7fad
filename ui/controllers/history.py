"""Joins the list of past documents with what opens, captions and deletes them."""

from PyQt6.QtCore import QObject

from ui.controllers.captions import CaptionController
from ui.controllers.documents import DocumentController
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.store.documents import Kind


class HistoryController(QObject):
    """Opens past documents with their captions, captions them again, deletes them.

    Args:
        session: what all controllers share.
        documents: shows them.
        sound: opens recordings.
        captions: captions them.
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
        """Show a document: a recording with its sound, a listening with its captions alone."""
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
            self._window.tell(f"The recording could not be deleted ({error.strerror}).")
        else:
            if document is not None and not with_recording:
                sentence = f"{document.name} was taken out of the history."
                self._window.offer(sentence, "Undo", lambda: self._documents.keep(document))
        self._window.history.set_entries(self._history.entries)

"""Selection of the displayed document, and the user's edits of its captions."""

from PyQt6.QtCore import QObject, QTimer, pyqtSignal
from PyQt6.QtGui import QGuiApplication

from ui.controllers.session import Session
from ui.store.documents import Document, Kind, Row
from ui.store.exports import shown_text
from ui.widgets.numbers import time_span
from ui.widgets.tabs import LIVE, RECORDING

KEEP_MS = 1500  # delay between a change and writing it to the history
KEEP_LIVE_MS = 30_000


class DocumentController(QObject):
    """Owns the documents of the open recording and of the last listening session, and displays one of them.

    Args:
        session: state shared by all controllers.
    """

    shown_changed = pyqtSignal()
    rows_changed = pyqtSignal()  # of the displayed document

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._window, self._history = session.window, session.history
        self.open: Document | None = None
        self.live: Document | None = None
        self._live_in_front = False
        self._unwritten: dict[str, Document] = {}
        self._writing = QTimer(self)
        self._writing.setSingleShot(True)
        self._writing.timeout.connect(self.write)
        self._history.on_change = self._on_change
        captions = self._window.captions
        self._window.tabs.document_asked.connect(self._show)
        captions.copy_clicked.connect(self.copy)
        captions.undo_clicked.connect(lambda: self._tell_done("Undone", self.shown.undo() if self.shown else ""))
        captions.redo_clicked.connect(lambda: self._tell_done("Done again", self.shown.redo() if self.shown else ""))
        captions.delete_asked.connect(self._delete)
        captions.accept_asked.connect(self._accept)
        captions.table.edited.connect(self._edit)
        captions.table.chosen.connect(self._choose)

    @property
    def shown(self) -> Document | None:
        """Displayed document, or None."""
        return self.live if self._live_in_front else self.open

    @property
    def shows_live(self) -> bool:
        """True if the tab of the listening session is selected, whether or not a session exists."""
        return self._live_in_front

    def show_open(self, document: Document, in_front: bool = True) -> None:
        """Replace the open recording's document, and display it if `in_front`."""
        self.open = document
        if in_front:
            self.bring(live=False)
        elif not self._live_in_front:
            self._show(False)

    def show_live(self, document: Document) -> None:
        """Replace the document of the last listening session, and display it."""
        self.live = document
        self.bring(live=True)

    def bring(self, live: bool) -> None:
        """Display the listening session (`live`) or the open recording, and select its tab."""
        self._window.tabs.show_tab(LIVE if live else RECORDING)
        self._show(live)

    def keep(self, document: Document) -> None:
        """Write a document to the history immediately."""
        self._unwritten.pop(document.key, None)
        self._history.keep(document)
        self._window.history.set_entries(self._history.entries)

    def write(self) -> None:
        """Write pending changes to the history."""
        for document in list(self._unwritten.values()):
            self.keep(document)

    def copy(self) -> None:
        """Copy the selected captions, or all if none is selected, to the clipboard, one per line."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is None or self.shown is None:
            return
        selected = self._window.captions.table.selected()
        rows = selected or self.shown.rows
        if len(rows) == 1:
            lines = [caption.text for caption in rows[0].record.captions]
        else:
            lines = [f"{time_span(row.record.start_s, row.record.end_s)}\t{shown_text(row.record)}" for row in rows]
        clipboard.setText("\n".join(lines))
        self._window.set_status("Copied." if not selected else f"Copied {len(rows)} of {len(self.shown.rows)}.")

    def _show(self, live: bool) -> None:
        self._live_in_front = live
        self._window.captions.set_document(self.shown, live)
        self._session.update(has_captions=bool(self.shown and self.shown.rows))
        self.shown_changed.emit()
        self.rows_changed.emit()

    def _delete(self, rows: list[Row]) -> None:
        if self.shown is not None and rows:
            count, following = len(self.shown.rows), self._window.captions.table.next_after(rows)
            self.shown.delete(rows)
            if following is not None:  # so that further rows can be deleted by the keyboard
                self._window.captions.table.show_row(following.number)
            self._window.set_status(f"Deleted {len(rows)} of {count} captions; Ctrl+Z restores them.")

    def _accept(self, rows: list[Row]) -> None:
        if self.shown is not None and rows:
            self.shown.accept(rows)

    def _edit(self, row: Row, text: str) -> None:
        if self.shown is not None:
            self.shown.edit(row, text)

    def _choose(self, row: Row, place: int) -> None:
        if self.shown is not None:
            self.shown.choose(row, place)

    def _tell_done(self, what: str, name: str) -> None:
        self._window.set_status(f"{what}: {name}." if name else "There is nothing to undo.")

    def _on_change(self, document: Document) -> None:
        """Update the view if the changed document is displayed, and schedule writing it."""
        if document is self.shown:
            self._window.captions.refresh()
            self._session.update(has_captions=bool(document.rows))
            self.rows_changed.emit()
        grows = document.kind is Kind.LIVE and document is self.live
        self._unwritten[document.key] = document
        if not self._writing.isActive():
            self._writing.start(KEEP_LIVE_MS if grows else KEEP_MS)

"""Panels of the file queue and of the history."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PyQt6.QtCore import QDateTime, QLocale, Qt, pyqtSignal
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import QHBoxLayout, QMessageBox, QTreeWidgetItem, QVBoxLayout, QWidget

from ui.store.caption_queue import QueueItem, Status
from ui.store.documents import Document, Kind
from ui.store.exports import summary
from ui.widgets.columns import Table
from ui.widgets.numbers import localised, per_cent
from ui.widgets.parts import YieldingLabel, button, card, set_primary
from ui.widgets.state import WindowState

_KEY = Qt.ItemDataRole.UserRole
MAX_SHOWN = 300
KIND_NAMES = {Kind.RECORDING: "Recording", Kind.FILE: "File", Kind.LIVE: "Listening"}


def _local_time(created: str) -> str:
    """Format an ISO 8601 time in the user's locale."""
    time = QDateTime.fromString(created[:19], Qt.DateFormat.ISODate)
    return QLocale().toString(time, QLocale.FormatType.ShortFormat) if time.isValid() else created


class QueuePanel(QWidget):
    """List of queued files with their status."""

    run_clicked = pyqtSignal()
    cancel_clicked = pyqtSignal()
    clear_clicked = pyqtSignal()
    export_clicked = pyqtSignal()
    open_asked = pyqtSignal(str)  # a path

    def __init__(self) -> None:
        super().__init__()
        self.files = Table(
            ("File", "Status", "Caption"), 2, "Files", "Files and folders that you opened together.",
            "Open or drop several files, or a folder,\nto caption them one after another.",
        )  # fmt: skip
        self.run = button("Caption All", "Caption every file that waits, was cancelled or failed.")
        self.cancel = button("Cancel", "Stop captioning.")
        self.clear = button("Clear", "Remove finished files from this list; their captions stay in the history.")
        self.export = button("Export All…", "Save the captions of all files.")
        self.summary = YieldingLabel()
        self.summary.setProperty("muted", True)
        row = QHBoxLayout()
        for widget in (self.run, self.cancel, self.clear, self.export):
            row.addWidget(widget)
        row.addWidget(self.summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(card(self.files, row))
        for clicked, signal in (
            (self.run.clicked, self.run_clicked),
            (self.cancel.clicked, self.cancel_clicked),
            (self.clear.clicked, self.clear_clicked),
            (self.export.clicked, self.export_clicked),
        ):
            clicked.connect(lambda checked=False, signal=signal: signal.emit())
        self._known: list[tuple[object, ...]] = []  # what each line shows
        self.set_items((), "")
        self.files.itemActivated.connect(lambda item: self.open_asked.emit(item.data(0, _KEY)))

    def set_items(self, items: Sequence[QueueItem], progress: str) -> None:
        """Set the items; only lines that have changed are written."""
        while self.files.topLevelItemCount() > len(items):
            self.files.takeTopLevelItem(self.files.topLevelItemCount() - 1)
        while self.files.topLevelItemCount() < len(items):
            self.files.addTopLevelItem(QTreeWidgetItem())
        known, self._known = self._known, []
        for number, item in enumerate(items):
            state = (item.document, item.document.rows, item.status, round(100 * item.share), item.message)
            self._known.append(state)
            if number >= len(known) or any(a is not b and a != b for a, b in zip(known[number], state, strict=True)):
                self._set_line(number, item)
        self.summary.setText(progress)
        self.clear.setEnabled(any(item.status not in (Status.WAITING, Status.WORKING) for item in items))
        self.export.setEnabled(any(item.document.rows for item in items))

    def _set_line(self, number: int, item: QueueItem) -> None:
        """Set the texts of a line."""
        line = self.files.topLevelItem(number)
        if line is None:
            return
        status = f"{item.status.value} {per_cent(item.share)}" if item.status is Status.WORKING else item.status.value
        text = localised(item.message) or summary(item.document.records)
        for column, content in enumerate((item.path.name, status, text)):
            line.setText(column, content)
        line.setData(0, _KEY, str(item.path))
        line.setToolTip(0, str(item.path))
        line.setToolTip(2, text)

    def follow(self, place: int) -> None:
        """Scroll to the file that is being captioned."""
        line = self.files.topLevelItem(place)
        if line is not None:
            self.files.scrollToItem(line)

    def show_state(self, state: WindowState) -> None:
        """Enable the buttons that are available in this state."""
        self.run.setEnabled(not state.captioning and state.num_waiting > 0)
        set_primary(self.run, state.num_waiting > 0)
        self.cancel.setEnabled(state.captioning)


class HistoryPanel(QWidget):
    """List of past documents."""

    open_asked = pyqtSignal(str)  # an entry's key
    rerun_asked = pyqtSignal(str)
    delete_asked = pyqtSignal(str, bool)  # an entry's key; whether to delete its recording, too

    def __init__(self) -> None:
        super().__init__()
        self.entries = Table(
            ("When", "What", "Name", "Captions"), 3, "History", "Past recordings and captions.",
            "Recordings and their captions are listed here.",
        )  # fmt: skip
        self.open = button("Open", "Show this recording and its captions.")
        self.rerun = button("Caption Again", "Caption this recording with the current settings.")
        self.delete = button("Delete…", "Delete this entry and, optionally, its recording.")
        row = QHBoxLayout()
        for widget in (self.open, self.rerun, self.delete):
            row.addWidget(widget)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(card(self.entries, row))
        self._by_key: dict[str, Document] = {}
        self._ready = False
        self.entries.itemSelectionChanged.connect(self._enable)
        self.entries.itemActivated.connect(lambda item: self.open_asked.emit(item.data(0, _KEY)))
        self.open.clicked.connect(lambda: self._with_key(self.open_asked.emit))
        self.rerun.clicked.connect(lambda: self._with_key(self.rerun_asked.emit))
        self.delete.clicked.connect(lambda: self._with_key(self._ask_to_delete))
        self._enable()

    def set_entries(self, entries: Sequence[Document]) -> None:
        """Set the entries, newest first; the list is filled when the panel becomes visible."""
        self._by_key = {entry.key: entry for entry in entries}
        if self.isVisible():
            self._fill()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Update the list when the panel becomes visible."""
        super().showEvent(event)
        self._fill()

    def _fill(self) -> None:
        key, entries = self._key(), list(self._by_key.values())
        self.entries.clear()
        for entry in entries[:MAX_SHOWN]:
            captions = summary(entry.records)
            name = Path(entry.path).name if entry.path else "microphone"
            line = QTreeWidgetItem([_local_time(entry.created), KIND_NAMES[entry.kind], name, captions])
            line.setData(0, _KEY, entry.key)
            line.setToolTip(2, entry.path)
            line.setToolTip(3, captions)
            self.entries.addTopLevelItem(line)
            if entry.key == key:
                self.entries.setCurrentItem(line)
        self._enable()

    def show_state(self, state: WindowState) -> None:
        """Enable the buttons that are available in this state."""
        self._ready = not state.captioning
        self._enable()

    def _key(self) -> str | None:
        items = self.entries.selectedItems()
        return items[0].data(0, _KEY) if items else None

    def _with_key(self, action: Callable[[str], None]) -> None:
        key = self._key()
        if key is not None:
            action(key)

    def _enable(self) -> None:
        entry = self._by_key.get(self._key() or "")
        self.open.setEnabled(entry is not None)
        self.delete.setEnabled(entry is not None)
        self.rerun.setEnabled(self._ready and entry is not None and bool(entry.path))

    def _ask_to_delete(self, key: str) -> None:
        entry = self._by_key[key]
        box = QMessageBox(self)
        box.setWindowTitle("Delete from history")
        box.setText(f"Forget {Path(entry.path).name or 'this listening'}?")
        box.addButton("Forget", QMessageBox.ButtonRole.AcceptRole)
        with_file = None
        if entry.kind is Kind.RECORDING:
            with_file = box.addButton("Forget and Delete the Recording", QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        box.exec()
        if box.clickedButton() is not keep:
            self.delete_asked.emit(key, with_file is not None and box.clickedButton() is with_file)
        box.deleteLater()

"""Panel with the captions of the displayed document and their actions."""

from PyQt6.QtCore import QLocale, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QLineEdit, QSizePolicy, QSpinBox, QStackedWidget, QVBoxLayout, QWidget

from ui.store.documents import Document, Kind
from ui.widgets.caption_table import CaptionTable
from ui.widgets.numbers import decimal
from ui.widgets.parts import YieldingLabel, button, card, describe, heading
from ui.widgets.state import Listening, Recording, WindowState

FILE_HEADING, LIVE_HEADING = "Model Predictions:", "Live Environment Sound Captions:"
FILE_HINT = "Open or record something,\nthen press Run Model Prediction."
RUN_HINT = "Press Run Model Prediction\nto caption this recording."
BUSY_HINT = "Another recording is being captioned.\nThis one can be captioned after it."
LIVE_HINT = "Press Listen, or record something\nand press Run Live Prediction."
RECORDING_HINT = "Press Run Live Prediction\nto stop recording and caption it."
WAITING_HINT = "Captions appear here as soon as they are generated."
NO_MATCH_HINT = "No caption contains these words."
ENDED_HINT = "No captions."
GROWING_ROWS = (
    500  # while listening, this number to twice this number of rows are shown: a tree lays out all at each change
)


class CaptionsPanel(QWidget):
    """Caption table with actions, for open recordings and for listening sessions.

    Attributes:
        table: table of captions.
        document: displayed document, or None.
    """

    copy_clicked = pyqtSignal()
    export_clicked = pyqtSignal()
    undo_clicked = pyqtSignal()
    redo_clicked = pyqtSignal()
    large_clicked = pyqtSignal()
    delete_asked = pyqtSignal(list)  # Row
    accept_asked = pyqtSignal(list)  # Row
    again_asked = pyqtSignal(list)  # Row
    clip_asked = pyqtSignal(object)  # Row

    def __init__(self) -> None:
        super().__init__()
        self.document: Document | None = None
        self._live = False  # the tab of the listening session is selected
        self._state = WindowState()
        self.table = CaptionTable()
        self.file_heading, self.live_heading = heading(FILE_HEADING, self.table), heading(LIVE_HEADING, self.table)
        self.name = YieldingLabel()
        self.name.setProperty("muted", True)
        self.latency = YieldingLabel()
        self.latency.setProperty("muted", True)
        self.latency.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search")
        self.search.setClearButtonEnabled(True)
        self.search.setMinimumWidth(90)
        self.search.setMaximumWidth(200)
        describe(self.search, "Search captions", "Show only captions with these words.", "Ctrl+F")
        self.perhaps = QSpinBox()
        self.perhaps.setRange(0, 99)
        self.perhaps.setSingleStep(5)
        self.perhaps.setPrefix("perhaps < ")
        self.perhaps.setSuffix(f" {QLocale().percent()}")
        self.perhaps.setSpecialValueText("perhaps: off")
        describe(self.perhaps, "Perhaps below", 'Captions less probable than this are shown as "perhaps".')
        self.copy = button("Copy", "Copy the selected captions, or all.", "Ctrl+Shift+C")
        self.export = button("Export…", "Save the captions as text, table or subtitles.", "Ctrl+E")
        self.undo = button("Undo", "Undo the last change of the captions.", "Ctrl+Z")
        self.large = button("Large Type", "Show live captions in a window of large letters.", "F11")
        self._headings = QStackedWidget()  # width of the widest text, so that the layout does not change
        self._headings.addWidget(self.file_heading)
        self._headings.addWidget(self.live_heading)
        self._headings.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        head = QHBoxLayout()
        head.addWidget(self._headings)
        head.addWidget(self.name, 2)
        head.addWidget(self.latency, 2)
        head.addWidget(self.search, 1)
        foot = QHBoxLayout()
        for part in (self.copy, self.export, self.undo, self.large):
            foot.addWidget(part)
        foot.addStretch(1)
        foot.addWidget(self.perhaps)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(card(head, self.table, foot))
        self._connect()
        self._make_row_actions()
        self.set_document(None, live=False)

    def _connect(self) -> None:
        for clicked, signal in (
            (self.copy.clicked, self.copy_clicked),
            (self.export.clicked, self.export_clicked),
            (self.undo.clicked, self.undo_clicked),
            (self.large.clicked, self.large_clicked),
        ):
            clicked.connect(lambda checked=False, signal=signal: signal.emit())
        self.search.textChanged.connect(self._on_search)
        selection = self.table.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(self._enable_row_actions)
        selection.currentChanged.connect(self._enable_row_actions)

    def _on_search(self, text: str) -> None:
        self.refresh()  # a search covers all rows
        self.table.set_filter(text)

    def _make_row_actions(self) -> None:
        """Create the actions on selected rows, for the context menu and the shortcuts."""
        table = self.table
        chosen = table.selected
        for name, keys, action in (
            ("Edit", "F2", lambda: table.edit(table.currentIndex().siblingAtColumn(1))),
            ("Use This Caption", "Ctrl+U", table.choose),
            ("Accept", "Ctrl+Y", lambda: self.accept_asked.emit(chosen())),
            ("Delete", "Del", lambda: self.delete_asked.emit(chosen())),
            ("Caption Again", "Ctrl+Shift+A", lambda: self.again_asked.emit(chosen())),
            ("Save This Clip…", "Ctrl+Shift+S", lambda: self.clip_asked.emit(chosen()[0]) if chosen() else None),
        ):  # fmt: skip
            made = QAction(name, table)
            if keys:
                made.setShortcut(QKeySequence(keys))
                made.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            made.triggered.connect(lambda checked=False, action=action: action())
            table.addAction(made)
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._enable_row_actions()

    def _enable_row_actions(self) -> None:
        """Enable the actions that apply to the current and the selected rows."""
        index = self.table.currentIndex()
        is_alternative = index.isValid() and bool(index.internalId())
        selection = self.table.selectionModel()
        has_selection = selection is not None and selection.hasSelection()
        for action in self.table.actions():
            if action.text() == "Edit":
                action.setEnabled(index.isValid() and not is_alternative)
            elif action.text() == "Use This Caption":
                action.setEnabled(is_alternative)
            else:
                action.setEnabled(has_selection)

    def _show_hint(self) -> None:
        """Explain why the table is empty and what to do."""
        document, state = self.document, self._state
        if document is None:
            hint = LIVE_HINT if self._live else FILE_HINT
        elif document.rows:
            hint = NO_MATCH_HINT
        elif document.kind is Kind.LIVE:
            hint = WAITING_HINT if state.listening is not Listening.OFF else ENDED_HINT
        elif document.path in state.captioned:
            hint = WAITING_HINT
        elif state.captioning:
            hint = BUSY_HINT
        else:
            hint = RECORDING_HINT if state.recording is not Recording.OFF else RUN_HINT
        self.table.set_hint(hint)

    def show_state(self, state: WindowState) -> None:
        """Enable the buttons that are available in this state."""
        ended = self._state.listening is not Listening.OFF and state.listening is Listening.OFF
        self._state = state
        if ended:
            self.refresh()  # all rows, no longer only the newest
        self._show_hint()
        self.copy.setEnabled(state.has_captions)
        self.export.setEnabled(state.has_captions)

    def set_document(self, document: Document | None, live: bool) -> None:
        """Set the displayed document.

        Args:
            document: document, or None if none is open.
            live: if there is no document, show the hint about listening instead of that about recordings.
        """
        other = document is not self.document
        self.document, self._live = document, live
        is_live = live if document is None else document.kind is not Kind.FILE
        self._headings.setCurrentIndex(1 if is_live else 0)
        self.name.setText("" if document is None else document.name)
        if other:
            self.search.clear()
            self.table.forget_selection()
            self.latency.clear()
        self.refresh()

    def refresh(self) -> None:
        """Update the table from the document's rows."""
        rows = self.document.rows if self.document is not None else []
        is_growing = self._live and self._state.listening is not Listening.OFF
        first = max(0, (len(rows) // GROWING_ROWS - 1) * GROWING_ROWS) if is_growing and not self.search.text() else 0
        self.table.set_rows(rows[first:])
        if self.document is not None:
            newest = f" (newest {decimal(len(rows) - first, 0)} of {decimal(len(rows), 0)})" if first else ""
            self.name.setText(f"{self.document.name}{newest}")
        name = self.document.undo_name if self.document is not None else ""
        self._show_hint()
        self.undo.setEnabled(bool(name))
        self.undo.setToolTip(f"Undo {name} (Ctrl+Z)" if name else "Undo the last change of the captions. (Ctrl+Z)")

    def set_latency(self, text: str, tip: str = "") -> None:
        """Display the latency of live captions."""
        self.latency.setText(text)
        self.latency.setToolTip(tip or text)

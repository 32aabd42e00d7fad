"""Captions of a recording, and captions of the microphone."""

from collections.abc import Sequence
from datetime import datetime

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtWidgets import QHBoxLayout, QTreeWidget, QTreeWidgetItem, QWidget

from data.caption_formats import CaptionRecord, ScoredCaption
from ui.store.exports import is_silence, shown_text
from ui.widgets.parts import (
    Table,
    YieldingLabel,
    button,
    card,
    describe,
    heading,
    probability_text,
    probability_tip,
    time_span,
)
from ui.widgets.state import Listening, WindowState

COLUMNS = ("Time", "Caption", "Probability")
MAX_ROWS = 1000  # more take longer to lay out than a window may stand still
LONGEST_STAMP = "0:00:00 – 0:00:00"
_START = Qt.ItemDataRole.UserRole


class CaptionsPanel(QWidget):
    """Two lists; a click on a line with a time goes there.

    Attributes:
        model_card: captions of the recording, with their buttons.
        live_card: captions of the microphone, with theirs; where room is short it stands elsewhere.
    """

    seek_asked = pyqtSignal(float)
    copy_clicked = pyqtSignal()
    export_clicked = pyqtSignal()
    listen_clicked = pyqtSignal()
    listen_pause_clicked = pyqtSignal()
    large_clicked = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.model = Table(
            COLUMNS, 1, "Model Predictions", "Captions of the recording; click a line to go there.",
            "Open or record something,\nthen press Run Model Prediction.", optional=2,
        )  # fmt: skip
        self.live = Table(
            COLUMNS, 1, "Live Environment Sound Captions", "Captions of your microphone, newest first.",
            "Press Listen, or record something\nand press Run Live Prediction.", optional=2,
        )  # fmt: skip
        self.copy = button("Copy", "Copy the captions.", "Ctrl+Shift+C")
        self.export = button("Export…", "Save the captions as TXT, CSV, JSON, SRT or WebVTT.", "Ctrl+E")
        self.listen = button("Listen", "Caption the microphone continuously.", "Ctrl+L")
        self.listen_pause = button("Pause", "Hear nothing until you resume.", "Ctrl+Shift+L")
        self.large = button("Large Type", "Show live captions in a window of large letters.", "F11")
        self.latency = YieldingLabel()
        self.latency.setProperty("muted", True)
        self.latency.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        describe(self.latency, "How far live captions are behind")
        foot = self._row(self.copy, self.export, end=QWidget())
        self.model_card = card(heading("Model Predictions:", self.model), self.model, foot)
        head = self._row(heading("Live Environment Sound Captions:", self.live), end=self.latency)
        foot = self._row(self.listen, self.listen_pause, self.large, end=QWidget())
        self.live_card = card(head, self.live, foot)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 6, 0, 0)
        self._layout.setSpacing(10)
        self._layout.addWidget(self.model_card, 1)
        self._layout.addWidget(self.live_card, 1)
        self.model.itemClicked.connect(self._on_click)
        self.model.itemActivated.connect(self._on_click)
        for clicked, signal in (
            (self.copy.clicked, self.copy_clicked),
            (self.export.clicked, self.export_clicked),
            (self.listen.clicked, self.listen_clicked),
            (self.listen_pause.clicked, self.listen_pause_clicked),
            (self.large.clicked, self.large_clicked),
        ):
            clicked.connect(lambda checked=False, signal=signal: signal.emit())

    @staticmethod
    def _row(*widgets: QWidget, end: QWidget) -> QHBoxLayout:
        row = QHBoxLayout()
        for widget in widgets:
            row.addWidget(widget)
        row.addWidget(end, 1)
        return row

    @property
    def width_for_both(self) -> int:
        """Pixels from which both lists can stand side by side and be read."""
        margins = self.model_card.contentsMargins()
        letters = self.fontMetrics().horizontalAdvance(LONGEST_STAMP)
        beside = 2 * self.model.indentation() + 60  # the cards' margins, a scroll bar, room between columns
        lists = letters + beside + Table.READABLE + margins.left() + margins.right()
        buttons = max(part.minimumSizeHint().width() for part in (self.model_card, self.live_card))
        return 2 * max(lists, buttons) + self._layout.spacing()

    def minimumSizeHint(self) -> QSize:
        """Room for one list: where there is none for both, the other stands elsewhere."""
        both = self.model_card.minimumSizeHint().expandedTo(self.live_card.minimumSizeHint())
        return both + QSize(0, self._layout.contentsMargins().top())

    def take_live_card(self) -> None:
        """Put the live list beside the other one again."""
        self._layout.addWidget(self.live_card, 1)

    def show_state(self, state: WindowState) -> None:
        """Enable what can be pressed."""
        self.copy.setEnabled(state.has_captions)
        self.export.setEnabled(state.has_captions)
        listening = state.listening is not Listening.OFF
        self.listen.setText("Stop Listening" if listening else "Listen")
        self.listen.setAccessibleName(self.listen.text())
        self.listen.setEnabled(state.model_ready and state.listening is not Listening.OPENING)
        self.listen_pause.setText("Resume" if state.listening is Listening.PAUSED else "Pause")
        self.listen_pause.setAccessibleName(f"{self.listen_pause.text()} listening")
        self.listen_pause.setEnabled(state.listening in (Listening.ON, Listening.PAUSED))
        if not listening:
            self.latency.clear()

    def set_model_records(self, records: Sequence[CaptionRecord], when: datetime) -> None:
        """Show captions: all of one clip's, or the best of each window with the others below it."""
        self.model.clear()
        timeline = len(records) > 1
        self.model.setRootIsDecorated(timeline and any(len(record.captions) > 1 for record in records))
        for record in records[:MAX_ROWS]:
            stamp = time_span(record.start_s, record.end_s) if timeline else f"{when:%H:%M:%S}"
            item = _line(self.model, stamp, _best(record), record)
            for number, caption in enumerate(record.captions[1:], 2):
                if timeline:
                    item.addChild(_item(f"{number}.", caption, record))
                else:
                    _line(self.model, stamp, caption, record)

        if len(records) > MAX_ROWS:
            self.model.addTopLevelItem(QTreeWidgetItem(["…", f"and {len(records) - MAX_ROWS} more, which Export has"]))

    def clear_model(self) -> None:
        """Show no captions of a recording."""
        self.model.clear()

    def add_live(self, record: CaptionRecord, stamp: str, replaces_newest: bool = False) -> None:
        """Put a line on top of the live list, or in place of the top one; the list is bounded."""
        if replaces_newest:
            self.live.takeTopLevelItem(0)
        self.live.insertTopLevelItem(0, _item(stamp, _best(record), record))
        while self.live.topLevelItemCount() > MAX_ROWS:
            self.live.takeTopLevelItem(self.live.topLevelItemCount() - 1)

    def set_latency(self, text: str, tip: str = "") -> None:
        """Show how far live captions are behind."""
        self.latency.setText(text)
        self.latency.setToolTip(tip or text)

    def _on_click(self, item: QTreeWidgetItem) -> None:
        start_s = item.data(0, _START)
        if start_s is not None:
            self.seek_asked.emit(float(start_s))


def _best(record: CaptionRecord) -> ScoredCaption:
    return record.captions[0]._replace(text=shown_text(record))


def _item(stamp: str, caption: ScoredCaption, record: CaptionRecord) -> QTreeWidgetItem:
    silent = is_silence(record)
    item = QTreeWidgetItem([stamp, caption.text, "" if silent else probability_text(caption)])
    tip = probability_tip(caption)
    item.setToolTip(1, caption.text if silent else f"{caption.text}\n{tip}")
    item.setToolTip(2, "" if silent else tip)
    item.setData(0, _START, record.start_s)
    return item


def _line(tree: QTreeWidget, stamp: str, caption: ScoredCaption, record: CaptionRecord) -> QTreeWidgetItem:
    item = _item(stamp, caption, record)
    tree.addTopLevelItem(item)
    return item

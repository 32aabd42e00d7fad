"""Captions of the open recording, captions of the microphone, files and history: one at a time."""

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

from ui.widgets.captions_panel import CaptionsPanel
from ui.widgets.lists_panel import HistoryPanel, QueuePanel
from ui.widgets.parts import describe

RECORDING, LIVE, FILES, HISTORY = range(4)


class Tabs(QWidget):
    """The first two tabs show one table, of the open recording and of the last listening.

    Args:
        captions: the table of captions.
        queue: the files.
        history: past recordings.
    """

    document_asked = pyqtSignal(bool)  # the captions of the microphone, else of the open recording

    def __init__(self, captions: CaptionsPanel, queue: QueuePanel, history: HistoryPanel) -> None:
        super().__init__()
        self.bar = QTabBar()
        self.bar.setDrawBase(False)
        self.bar.setExpanding(False)
        self.pages = QStackedWidget()
        for page in (captions, queue, history):
            self.pages.addWidget(page)
        for name in ("Captions", "Live", "Files", "History"):
            self.bar.addTab(name)
        describe(self.bar, "Captions, Live, Files, History")
        self.bar.setToolTip("")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self.pages, 1)
        self.bar.currentChanged.connect(self._on_changed)

    @property
    def current(self) -> int:
        """Which tab is in front."""
        return self.bar.currentIndex()

    def show_tab(self, tab: int) -> None:
        """Bring a tab to the front; the keyboard's focus stays where it is."""
        self.bar.setCurrentIndex(tab)

    def _on_changed(self, tab: int) -> None:
        self.pages.setCurrentIndex(max(0, tab - 1))
        if tab in (RECORDING, LIVE):
            self.document_asked.emit(tab == LIVE)

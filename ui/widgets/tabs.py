"""Tabs: captions of the open recording, live captions, file queue and history."""

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QApplication, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from ui.widgets.captions_panel import CaptionsPanel
from ui.widgets.lists_panel import HistoryPanel, QueuePanel
from ui.widgets.parts import describe

RECORDING, LIVE, FILES, HISTORY = range(4)


class Tabs(QWidget):
    """Tab widget whose first two tabs share a caption table, for the open recording and the last listening session.

    Args:
        captions: panel of captions.
        queue: panel of the file queue.
        history: panel of the history.
    """

    document_asked = pyqtSignal(bool)  # True for live captions, False for those of the open recording

    def __init__(self, captions: CaptionsPanel, queue: QueuePanel, history: HistoryPanel) -> None:
        super().__init__()
        self.bar = QTabBar()
        self.bar.setDrawBase(False)
        self.bar.setExpanding(False)
        self.pages = QStackedWidget()
        self._lists = (captions.table, queue.files, history.entries)
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
        """Index of the selected tab."""
        return self.bar.currentIndex()

    def show_tab(self, tab: int) -> None:
        """Select a tab; the keyboard focus moves to its list only if it was in the tab that is hidden."""
        self.bar.setCurrentIndex(tab)

    def _on_changed(self, tab: int) -> None:
        page, focused = self.pages.currentWidget(), QApplication.focusWidget()
        held_focus = page is not None and focused is not None and page.isAncestorOf(focused)
        self.pages.setCurrentIndex(max(0, tab - 1))
        if (
            held_focus and self.pages.currentWidget() is not page
        ):  # else Qt chooses the next control, such as the search
            self._lists[self.pages.currentIndex()].setFocus()
        if tab in (RECORDING, LIVE):
            self.document_asked.emit(tab == LIVE)

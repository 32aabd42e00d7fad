"""Captions, files and history, one behind the other."""

from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import QApplication, QTabWidget, QVBoxLayout, QWidget

from ui.widgets.captions_panel import CaptionsPanel
from ui.widgets.lists_panel import HistoryPanel, QueuePanel
from ui.widgets.parts import describe

MODEL, LIVE = 0, 1  # tabs


class Tabs(QTabWidget):
    """Both lists of captions share a tab where there is room for them; in a narrow window each has its own.

    Args:
        captions: the lists of captions.
        queue: the files.
        history: past recordings.
    """

    def __init__(self, captions: CaptionsPanel, queue: QueuePanel, history: HistoryPanel) -> None:
        super().__init__()
        self._captions = captions
        self._live_page = QWidget()
        self._live_layout = QVBoxLayout(self._live_page)
        self._live_layout.setContentsMargins(0, 6, 0, 0)
        self._wants_live = False
        self._is_apart = False
        for panel, name in (
            (captions, "Captions"), (self._live_page, "Live"), (queue, "Files"), (history, "History"),
        ):  # fmt: skip
            self.addTab(panel, name)
        describe(self, "Captions, live captions, files and history")
        self.setToolTip("")  # it would show over every list
        bar = self.tabBar()
        if bar is not None:
            describe(bar, "Captions, Live, Files, History")
            bar.setToolTip("")
        self._set_apart(True)  # or the window could not be made narrow: this keeps it least wide

    @property
    def is_apart(self) -> bool:
        """Whether each list of captions has a tab of its own."""
        return self._is_apart

    def show_captions(self, live: bool) -> None:
        """Bring a list of captions to the front.

        Args:
            live: that of the microphone, else that of the recording.
        """
        self._wants_live = live
        self.setCurrentIndex(LIVE if live and self._is_apart else MODEL)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Part the lists, or put them side by side."""
        super().resizeEvent(event)
        self._set_apart(self.width() < self._captions.width_for_both)

    def _set_apart(self, apart: bool) -> None:
        if apart == self._is_apart:
            return
        focus = QApplication.focusWidget()  # a button that moves keeps it
        shows_captions = self.currentIndex() in (MODEL, LIVE)
        if self._is_apart and shows_captions:
            self._wants_live = self.currentIndex() == LIVE
        self._is_apart = apart
        if apart:
            self._live_layout.addWidget(self._captions.live_card)
        else:
            self._captions.take_live_card()
        self._captions.live_card.show()  # a layout would do it later, when the focus is lost
        self.setTabVisible(LIVE, apart)
        if shows_captions:
            self.show_captions(self._wants_live)
        if focus is not None and focus.isVisible():
            focus.setFocus()

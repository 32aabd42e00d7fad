"""The window: its parts, menus and shortcuts."""

from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QKeySequence
from PyQt6.QtWidgets import QFileDialog, QLabel, QMainWindow, QMessageBox, QSplitter, QVBoxLayout, QWidget

from data.recognition import AUDIO_SUFFIXES
from ui.store.exports import EXPORT_FORMATS
from ui.widgets.captions_panel import CaptionsPanel
from ui.widgets.control_panel import ControlPanel
from ui.widgets.large_type import LargeTypeWindow
from ui.widgets.lists_panel import HistoryPanel, QueuePanel
from ui.widgets.messages import Banner, LogPanel
from ui.widgets.parts import YieldingLabel, button, card, describe, heading
from ui.widgets.sound_view import SoundView
from ui.widgets.state import WindowState
from ui.widgets.tabs import Tabs
from ui.widgets.theme import Colours

TITLE = "Audio Caption Interface"


class MainWindow(QMainWindow):
    """Everything a person sees; the parts tell by signals what they want."""

    paths_chosen = pyqtSignal(list)  # Path
    export_chosen = pyqtSignal(object, bool, bool)  # Path; as sound-event subtitles; the whole queue
    settings_asked = pyqtSignal()
    log_folded = pyqtSignal(bool)
    closing = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        screen = self.screen()
        room = screen.availableSize() if screen is not None else QSize(1280, 800)
        self.resize(min(1280, room.width()), min(800, room.height() - 40))
        self.setAcceptDrops(True)
        self.controls, self.sound, self.captions = ControlPanel(), SoundView(), CaptionsPanel()
        self.queue, self.history = QueuePanel(), HistoryPanel()
        self.banner, self.log, self.large = Banner(), LogPanel(), LargeTypeWindow()
        self.tabs = Tabs(self.captions, self.queue, self.history)
        self.right = QSplitter(Qt.Orientation.Vertical)
        self.right.addWidget(card(heading("Audio Waveform", self.sound), self.sound))
        self.right.addWidget(self.tabs)
        self.right.setStretchFactor(0, 3)
        self.right.setStretchFactor(1, 2)
        self.right.setSizes([420, 330])
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(self.controls)
        self.splitter.addWidget(self.right)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([340, 940])
        for splitter in (self.splitter, self.right):
            splitter.setHandleWidth(10)
            splitter.setChildrenCollapsible(False)
        page = QWidget()
        page.setObjectName("page")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(10, 6, 10, 0)
        layout.setSpacing(8)
        layout.addWidget(self.banner)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self.log)
        self.setCentralWidget(page)
        self.log.hide()
        self._build_status()
        self._build_menus()
        self.controls.open_clicked.connect(self.ask_for_files)
        self.captions.export_clicked.connect(lambda: self._ask_for_export(False))
        self.queue.export_clicked.connect(lambda: self._ask_for_export(True))
        self.captions.large_clicked.connect(self.show_large)
        controls = self.controls
        order = (
            controls.path, controls.open, controls.devices, controls.meter, controls.record, controls.pause, controls.play,
            controls.num_captions, controls.run_model, controls.run_live, controls.cancel, self.sound,
        )  # fmt: skip
        for before, after in zip(order, order[1:], strict=False):
            self.setTabOrder(before, after)

    def _build_status(self) -> None:
        self.status = YieldingLabel()
        describe(self.status, "Status")
        self.captioner = QLabel()
        self.captioner.setProperty("muted", True)
        describe(self.captioner, "Captioner")
        self.log_button = button("Show Log", "Show or hide what happened.", flat=True)
        self.log_button.clicked.connect(lambda: self.fold_log(self.log.isVisible()))
        bar = self.statusBar()
        if bar is not None:
            bar.setContentsMargins(14, 0, 8, 4)
            bar.addWidget(self.status, 1)
            bar.addPermanentWidget(self.captioner)
            bar.addPermanentWidget(self.log_button)

    def _build_menus(self) -> None:
        controls, captions = self.controls, self.captions
        menus: dict[str, list[tuple[str, str, Callable[[], object]]]] = {
            "&File": [
                ("&Open…", "Ctrl+O", self.ask_for_files),
                ("Open &Folder…", "Ctrl+Shift+O", self._ask_for_folder),
                ("&Export Captions…", "Ctrl+E", lambda: self._ask_for_export(False)),
                ("&Copy Captions", "Ctrl+Shift+C", captions.copy.click),
                ("&Settings…", "Ctrl+,", self.settings_asked.emit),
                ("&Quit", "Ctrl+Q", self.close),
            ],
            "&Sound": [
                ("&Record or Stop", "Ctrl+R", controls.record.click),
                ("&Pause or Resume Recording", "Ctrl+Shift+R", controls.pause.click),
                ("P&lay or Pause", "Ctrl+Space", controls.play.click),
                ("Show &All, Select Nothing", "Ctrl+0", self.sound.show_all),
            ],
            "&Caption": [
                ("Run &Model Prediction", "Ctrl+Return", controls.run_model.click),
                ("Run &Live Prediction", "Ctrl+Shift+Return", controls.run_live.click),
                ("L&isten or Stop", "Ctrl+L", captions.listen.click),
                ("&Pause or Resume Listening", "Ctrl+Shift+L", captions.listen_pause.click),
                ("Large &Type", "F11", self.show_large),
                ("&Cancel", "Esc", controls.cancel.click),
            ],
            "&Help": [("&Keyboard Shortcuts", "F1", self._show_shortcuts)],
        }
        bar = self.menuBar()
        self.shortcuts: list[tuple[str, str]] = []
        for title, entries in menus.items():
            menu = bar.addMenu(title) if bar is not None else None
            for name, keys, action in entries:
                made = QAction(name, self)
                made.setShortcut(QKeySequence(keys))
                made.triggered.connect(lambda checked=False, action=action: action())
                self.shortcuts.append((name.replace("&", ""), keys))
                if menu is not None:
                    menu.addAction(made)

    def show_state(self, state: WindowState) -> None:
        """Hand the state to every part."""
        for part in (self.controls, self.captions, self.queue, self.history):
            part.show_state(state)

    def set_colours(self, colours: Colours) -> None:
        """Hand a theme to the parts that paint themselves."""
        for part in (self.sound, self.controls.meter, self.large):
            part.set_colours(colours)

    def tell(self, sentence: str) -> None:
        """Tell a person something that went wrong."""
        self.banner.tell(sentence)
        self.log.add(sentence)

    def set_status(self, text: str) -> None:
        """What is going on, in the status line."""
        self.status.setText(text)

    def fold_log(self, folded: bool) -> None:
        """Hide or show the log."""
        self.log.setVisible(not folded)
        self.log_button.setText("Show Log" if folded else "Hide Log")
        self.log_button.setAccessibleName(self.log_button.text())
        self.log_folded.emit(folded)

    def show_large(self) -> None:
        """Show the window of large letters."""
        self.large.show()
        self.large.raise_()

    def places(self) -> dict[str, QByteArray]:
        """Where the window and its splitters stand."""
        return {
            "geometry": self.saveGeometry(),
            "splitter": self.splitter.saveState(),
            "right": self.right.saveState(),
            "large": self.large.saveGeometry(),
        }

    def restore_places(self, places: dict[str, QByteArray]) -> None:
        """Put the window and its splitters where they stood."""
        actions = {
            "geometry": self.restoreGeometry,
            "splitter": self.splitter.restoreState,
            "right": self.right.restoreState,
            "large": self.large.restoreGeometry,
        }
        for name, value in places.items():
            actions[name](value)

    def ask_for_files(self) -> None:
        """Choose recordings by a dialog."""
        endings = " ".join(f"*{suffix}" for suffix in sorted(AUDIO_SUFFIXES))
        names, _ = QFileDialog.getOpenFileNames(
            self, "Open recordings", filter=f"Recordings ({endings});;All files (*)"
        )
        if names:
            self.paths_chosen.emit([Path(name) for name in names])

    def _ask_for_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder of recordings")
        if name:
            self.paths_chosen.emit([Path(name)])

    def _ask_for_export(self, whole_queue: bool) -> None:
        events = {f"Sound-event {text}": form for form, text in EXPORT_FORMATS.items() if form in ("srt", "vtt")}
        filters = [*EXPORT_FORMATS.values(), *events]
        name, chosen = QFileDialog.getSaveFileName(self, "Export captions", "captions.txt", ";;".join(filters))
        if not name:
            return
        form = events.get(chosen) or next((key for key, text in EXPORT_FORMATS.items() if text == chosen), "txt")
        path = Path(name)
        if path.suffix.lower().removeprefix(".") not in EXPORT_FORMATS or chosen in events:
            path = path.with_suffix(f".{form}")
        self.export_chosen.emit(path, chosen in events, whole_queue)

    def _show_shortcuts(self) -> None:
        lines = "".join(
            f"<tr><td>{name}&nbsp;&nbsp;</td><td>{QKeySequence(keys).toString()}</td></tr>"
            for name, keys in self.shortcuts
        )
        QMessageBox.information(self, "Keyboard shortcuts", f"<table>{lines}</table>")

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take files."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open what was dropped."""
        data = event.mimeData() if event is not None else None
        if event is None or data is None:
            return
        event.acceptProposedAction()
        urls = data.urls()
        paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if paths:
            self.paths_chosen.emit(paths)
        elif urls:
            self.tell("Only files on this machine can be opened: save the recording first, then drop it here.")

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Tell that the window closes; it never asks, since recordings are on disk already."""
        self.closing.emit()
        self.large.close()
        super().closeEvent(event)

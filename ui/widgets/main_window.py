"""Main window: layout, menus and shortcuts."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSize, QStandardPaths, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QIcon, QKeySequence, QResizeEvent
from PyQt6.QtWidgets import (
    QFileDialog,
    QLabel,
    QMainWindow,
    QMenu,
    QMessageBox,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from data.recognition import AUDIO_SUFFIXES
from ui.store.documents import Document
from ui.store.exports import EXPORT_FORMS, choose_form
from ui.widgets.announcer import Announcer
from ui.widgets.captions_panel import CaptionsPanel
from ui.widgets.control_panel import ControlPanel
from ui.widgets.large_type import LargeTypeWindow
from ui.widgets.lists_panel import HistoryPanel, QueuePanel
from ui.widgets.messages import Banner, LogPanel
from ui.widgets.numbers import localised
from ui.widgets.parts import YieldingLabel, button, card, heading
from ui.widgets.sound_view import KEYS, SoundView
from ui.widgets.state import WindowState
from ui.widgets.tabs import LIVE, RECORDING, Tabs
from ui.widgets.tall_dialog import TextDialog
from ui.widgets.theme import ASSETS, Colours

TITLE = "Audio Caption Interface"


class MainWindow(QMainWindow):
    """Main window; its widgets emit signals for user actions."""

    paths_chosen = pyqtSignal(list)  # Path
    export_chosen = pyqtSignal(
        object, str, bool
    )  # Path; key of EXPORT_FORMS; whether to export the captions of all queued files
    settings_asked = pyqtSignal()
    example_asked = pyqtSignal()
    recent_asked = pyqtSignal(str)  # a path
    log_folded = pyqtSignal(bool)
    closing = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        self.setWindowIcon(QIcon(str(ASSETS / "icon.svg")))
        self._open_folder = self._export_folder = ""
        screen = self.screen()
        room = screen.availableSize() if screen is not None else QSize(1280, 800)
        self.resize(min(1440, room.width()), min(1000, room.height() - 40))
        self.setAcceptDrops(True)
        self.controls, self.sound, self.captions = ControlPanel(), SoundView(), CaptionsPanel()
        self.queue, self.history = QueuePanel(), HistoryPanel()
        self.log, self.large = LogPanel(), LargeTypeWindow()
        self.large.setWindowIcon(self.windowIcon())
        self.tabs = Tabs(self.captions, self.queue, self.history)
        self.right = QSplitter(Qt.Orientation.Vertical)
        self.right.addWidget(card(heading("Audio Waveform", self.sound), self.sound))
        self.right.addWidget(self.tabs)
        self.right.setStretchFactor(0, 1)
        self.right.setStretchFactor(1, 2)
        self.right.setSizes([300, 600])
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
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self.log)
        self.area = QScrollArea()  # scroll area, for small and magnified screens
        self.area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.area.setWidgetResizable(True)
        self.area.setWidget(page)
        self.area.setMinimumSize(320, 200)
        self.setCentralWidget(self.area)
        self.banner = Banner(self, self.area, self.right)
        self.announcer = Announcer(self)
        self.log.hide()
        self._build_status()
        self._build_menus()
        self.controls.open_clicked.connect(self.ask_for_files)
        self.captions.export_clicked.connect(lambda: self._ask_for_export(False))
        self.queue.export_clicked.connect(lambda: self._ask_for_export(True))
        self.captions.large_clicked.connect(self.show_large)
        self.sound.example_asked.connect(self.example_asked)
        self.sound.spoken.connect(self.announcer.announce)
        self.large.listen_asked.connect(self.controls.listen.click)
        controls = self.controls
        order = (
            controls.path, controls.open, controls.devices, controls.meter, controls.record, controls.pause,
            controls.listen, controls.listen_pause, controls.play, controls.progress, controls.num_captions,
            controls.run_model, controls.run_live, controls.cancel, self.sound,
        )  # fmt: skip
        for before, after in zip(order, order[1:], strict=False):
            self.setTabOrder(before, after)

    def _build_status(self) -> None:
        self.status = YieldingLabel()
        self.captioner = QLabel()
        self.captioner.setProperty("muted", True)
        self.log_button = button("Show Log", "Show or hide the log of events.", flat=True)
        self.log_button.set_texts("Show Log", "Hide Log")
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
                ("&Settings…", "Ctrl+,", self.settings_asked.emit),
                ("&Quit", "Ctrl+Q", self.close),
            ],
            "&Edit": [
                ("&Undo", "Ctrl+Z", captions.undo_clicked.emit),
                ("&Redo", "Ctrl+Shift+Z", captions.redo_clicked.emit),
                ("&Copy Captions", "Ctrl+Shift+C", captions.copy.click),
                ("&Search Captions", "Ctrl+F", self._search),
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
                ("L&isten or Stop", "Ctrl+L", controls.listen.click),
                ("&Pause or Resume Listening", "Ctrl+Shift+L", controls.listen_pause.click),
                ("Large &Type", "F11", self.show_large),
                ("&Cancel", "Esc", self._escape),
            ],
            "&Help": [
                ("&Keyboard Shortcuts", "F1", self._show_shortcuts),
                ("Open an &Example", "Ctrl+Shift+E", self.example_asked.emit),
            ],
        }
        bar = self.menuBar()
        self._recent = QMenu("Open &Recent", self)
        self._recent.setToolTipsVisible(True)
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
                    if action == self._ask_for_folder:
                        menu.addMenu(self._recent)
            if menu is not None and title == "&Edit":
                menu.addSeparator()
                menu.addActions(captions.table.actions())  # actions on selected rows

    def _escape(self) -> None:
        """Cancel captioning if it is running, else close the message."""
        if self.controls.cancel.isEnabled():
            self.controls.cancel.click()
        else:
            self.banner.dismiss()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the message banner centred."""
        super().resizeEvent(event)
        self.banner.place()

    def _search(self) -> None:
        if self.tabs.current not in (RECORDING, LIVE):
            self.tabs.show_tab(RECORDING)
        self.captions.search.setFocus()

    def show_state(self, state: WindowState) -> None:
        """Pass the state to all widgets."""
        for part in (self.controls, self.captions, self.queue, self.history, self.large):
            part.show_state(state)

    def set_colours(self, colours: Colours) -> None:
        """Pass the colours to all widgets with custom painting."""
        for part in (self.sound, self.controls, self.large, self.captions.table.rows):
            part.set_colours(colours)

    def show_message(self, sentence: str) -> None:
        """Display a message in the banner, announce it and add it to the log; its numbers get the form of the locale."""
        sentence = localised(sentence)
        self.banner.show_message(sentence)
        self.announcer.announce(sentence, urgent=True)
        self.log.add(sentence)

    def show_alert(self, words: str, sentence: str) -> None:
        """Display an alert with the current time, announce it and add it to the log; messages do not replace it."""
        self.banner.show_alert(words, f"{datetime.now():%H:%M:%S}  {sentence}")
        self.announcer.announce(sentence, urgent=True)
        self.log.add(sentence)

    def offer(self, sentence: str, name: str, action: Callable[[], object]) -> None:
        """Display a message with a button, such as Undo."""
        self.banner.show_message(sentence, name, action)
        self.announcer.announce(f"{sentence} {name}", urgent=True)
        self.log.add(sentence)

    def set_status(self, text: str, announced: bool = True) -> None:
        """Set the text of the status bar, and announce it to screen readers unless it is one of many, such as progress."""
        self.status.setText(text)
        if announced:
            self.announcer.announce(text)

    def fold_log(self, folded: bool) -> None:
        """Hide or show the log."""
        self.log.setVisible(not folded)
        self.log_button.setText("Show Log" if folded else "Hide Log")
        self.log_button.setAccessibleName(self.log_button.text())
        self.log_folded.emit(folded)

    def show_large(self) -> None:
        """Show the large-type window."""
        self.large.show()
        self.large.raise_()

    def places(self) -> dict[str, QByteArray]:
        """Return the geometry of the window and the state of its splitters, by name."""
        return {
            "geometry": self.saveGeometry(),
            "splitter": self.splitter.saveState(),
            "right": self.right.saveState(),
            "large": self.large.saveGeometry(),
        }

    def restore_places(self, places: dict[str, QByteArray]) -> None:
        """Restore the geometry of the window and the state of its splitters."""
        actions = {
            "geometry": self.restoreGeometry,
            "splitter": self.splitter.restoreState,
            "right": self.right.restoreState,
            "large": self.large.restoreGeometry,
        }
        for name, value in places.items():
            actions[name](value)

    @property
    def _start_folder(self) -> str:
        """Folder in which the dialogs to open recordings start: the last one, else that of the user's music."""
        music = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.MusicLocation)
        return self._open_folder or (music if Path(music).is_dir() else str(Path.home()))

    def ask_for_files(self) -> None:
        """Show a file dialog to open recordings."""
        endings = " ".join(f"*{suffix}" for suffix in sorted(AUDIO_SUFFIXES))
        names, _ = QFileDialog.getOpenFileNames(
            self,
            "Open recordings",
            self._start_folder,
            filter=f"Recordings ({endings});;All files (*)",
            options=QFileDialog.Option.HideNameFilterDetails,
        )
        if names:
            self.paths_chosen.emit([Path(name) for name in names])

    def _ask_for_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder of recordings", self._start_folder)
        if name:
            self.paths_chosen.emit([Path(name)])

    def _ask_for_export(self, whole_queue: bool) -> None:
        filters = {form.filter: key for key, form in EXPORT_FORMS.items()}
        document = self.captions.document
        stem = "captions" if whole_queue or document is None else Path(document.name).stem.replace(":", "-")
        name, chosen = QFileDialog.getSaveFileName(
            self, "Export captions", str(self._folder(document) / f"{stem}.txt"), ";;".join(filters),
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        if name:
            self.export_chosen.emit(*choose_form(Path(name), filters.get(chosen, "")), whole_queue)

    def ask_for_clip(self, stem: str) -> Path | None:
        """Ask for the path of a clip to save; returns None if cancelled."""
        folder = self._folder(self.captions.document)
        name, _ = QFileDialog.getSaveFileName(
            self, "Save this clip", str(folder / f"{stem}.wav"), "WAV (*.wav)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )  # fmt: skip
        return (Path(name) if name.lower().endswith(".wav") else Path(f"{name}.wav")) if name else None

    def confirm_replacing(self, paths: Sequence[Path]) -> bool:
        """Ask whether existing files may be replaced."""
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        names = ", ".join(path.name for path in paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        box.setText(
            f"{'These files' if len(paths) > 1 else 'This file'} already exist{'s' if len(paths) == 1 else ''}: {names}."
        )
        replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
        keep = box.addButton(QMessageBox.StandardButton.Cancel)
        box.setDefaultButton(keep)
        box.exec()
        answer = box.clickedButton() is replace
        box.deleteLater()
        return answer

    def set_folders(self, open_folder: str, export_folder: str, recent: Sequence[str]) -> None:
        """Set the initial folders of the dialogs and the entries of the Open Recent menu."""
        self._open_folder, self._export_folder = open_folder, export_folder
        self._recent.clear()
        for path in recent:
            action = self._recent.addAction(Path(path).name)
            if action is not None:
                action.setToolTip(path)
                action.triggered.connect(lambda checked=False, path=path: self.recent_asked.emit(path))
        self._recent.setEnabled(bool(recent))

    def _folder(self, document: Document | None) -> Path:
        """Return the folder of the last export, else the folder of the recording."""
        if self._export_folder and Path(self._export_folder).is_dir():
            return Path(self._export_folder)
        return Path(document.path).parent if document is not None and document.path else Path.home()

    def _show_shortcuts(self) -> None:
        rows = [(action.text(), action.shortcut().toString()) for action in self.captions.table.actions()]
        lines = ""
        for title, shortcuts in (
            ("", [(name, QKeySequence(keys).toString()) for name, keys in self.shortcuts]),
            ("Selected captions", [(name, keys) for name, keys in rows if keys]),
            ("Time axis", KEYS),
        ):
            lines += f"<tr><td colspan=2><b>{title}</b></td></tr>" if title else ""
            lines += "".join(f"<tr><td>{name}&nbsp;&nbsp;</td><td>{keys}</td></tr>" for name, keys in shortcuts)
        TextDialog("Keyboard shortcuts", f"<table>{lines}</table>", self).exec()

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Accept drags that contain files."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Open the dropped files."""
        data = event.mimeData() if event is not None else None
        if event is None or data is None:
            return
        event.acceptProposedAction()
        urls = data.urls()
        paths = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if paths:
            self.paths_chosen.emit(paths)
        elif urls:
            self.show_message("Only files on this machine can be opened: save the recording first, then drop it here.")

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Emit that the window closes; no confirmation is needed, since recordings are already on disk."""
        self.closing.emit()
        self.large.close()
        super().closeEvent(event)

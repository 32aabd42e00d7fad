"""Main controller: creates and connects the window, the workers, the settings and the history."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication, QDialog

from captioning.files import expand
from ui.controllers.captions import CaptionController
from ui.controllers.documents import DocumentController
from ui.controllers.history import HistoryController
from ui.controllers.live import LiveController
from ui.controllers.queue import QueueController
from ui.controllers.session import Session
from ui.controllers.sound import SoundController
from ui.store.background import Background
from ui.store.exports import export, export_targets
from ui.store.history import History
from ui.store.settings import AppSettings, SettingsStore
from ui.widgets.main_window import TITLE, MainWindow
from ui.widgets.settings_dialog import SettingsDialog
from ui.widgets.state import WindowState
from ui.widgets.theme import ASSETS, apply_theme, colours_of
from ui.workers.threads import Workers

EXAMPLE = ASSETS / "siren_then_waves.flac"
READERS = ("data.audio", "data.decoding", "data.survey")  # loggers whose warnings concern the recording being opened
PLACES = ("geometry", "splitter", "right", "large")


class _LogHandler(logging.Handler):
    """Logging handler that forwards messages of any thread to the window's thread."""

    class Bridge(QObject):
        """Signals that deliver messages across threads."""

        message = pyqtSignal(str)
        about_sound = pyqtSignal(str)  # warnings about the opened recording

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.bridge = self.Bridge()

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one log record."""
        signal = self.bridge.about_sound if record.name.startswith(READERS) else self.bridge.message
        signal.emit(record.getMessage())


class Controller(QObject):
    """Owns the window, the workers and all controllers, and connects them.

    Args:
        workers: started workers.
        store: settings.
        history: past recordings and captions.
        writing: writes the files of both.
    """

    _silence_changed = pyqtSignal(float)
    _not_written = pyqtSignal(str)  # history or settings; from the thread that writes
    _export_failed = pyqtSignal(str)  # from the thread that writes
    _exported = pyqtSignal(list)  # from the thread that writes; paths

    def __init__(self, workers: Workers, store: SettingsStore, history: History, writing: Background) -> None:
        super().__init__()
        self._writing = writing
        self._workers, self._store, self._history = workers, store, history
        self.all_ended = True
        self._closed = self._told_not_written = False
        self.window = MainWindow()
        self._session = Session(self.window, workers, store, history, writing.run)
        self.documents = DocumentController(self._session)
        self.sound = SoundController(self._session, self.documents)
        self.captions = CaptionController(self._session, self.documents, self.sound)
        self.queue = QueueController(self._session, self.captions)
        self.past = HistoryController(self._session, self.documents, self.sound, self.captions)
        self.live = LiveController(self._session, self.documents, self.sound, lambda: self.captions.info)
        self._log = _LogHandler()
        self._log.bridge.message.connect(self.window.log.add)
        self._log.bridge.about_sound.connect(self.window.show_message)
        logging.getLogger().addHandler(self._log)
        self._fill_window()
        self._connect()

    @property
    def settings(self) -> AppSettings:
        """Current settings."""
        return self._session.settings

    @property
    def state(self) -> WindowState:
        """Current state of the window."""
        return self._session.state

    def _fill_window(self) -> None:
        window = self.window
        window.controls.num_captions.setValue(self.settings.num_captions)
        window.controls.meter.set_threshold(self.settings.silence_db)
        window.captions.perhaps.setValue(self.settings.perhaps_below)
        window.captions.table.rows.set_threshold(self.settings.perhaps_below / 100)
        self._show_folders()
        window.history.set_entries(self._history.entries)
        self._not_written.connect(self._on_not_written)
        self._export_failed.connect(window.show_message)
        self._exported.connect(self._on_exported)
        self._history.on_error = self._store.on_error = self._not_written.emit
        window.restore_places({name: place for name in PLACES if (place := self._store.read_place(name)) is not None})
        window.fold_log(not self.settings.log_shown)
        self._paint()
        window.show_state(self.state)
        if self._history.notice:
            window.show_message(self._history.notice)

    def _connect(self) -> None:
        window = self.window
        window.paths_chosen.connect(self.open_paths)
        window.export_chosen.connect(self.export)
        window.settings_asked.connect(self._ask_for_settings)
        window.closing.connect(self.close)
        window.log_folded.connect(lambda folded: self.change(log_shown=not folded))
        window.queue.open_asked.connect(self.sound.open)
        window.captions.perhaps.valueChanged.connect(self._on_perhaps)
        window.example_asked.connect(lambda: self.open_paths([EXAMPLE]))
        window.recent_asked.connect(lambda path: self.open_paths([Path(path)]))
        self.sound.opened.connect(self._on_opened)
        self.documents.shown_changed.connect(self._show_title)
        window.controls.num_captions_changed.connect(lambda number: self.change(num_captions=number))
        window.controls.devices.device_chosen.connect(lambda name: self.change(input_device=name))
        window.controls.meter.threshold_changed.connect(self._on_threshold)
        self._silence_changed.connect(self._workers.microphone.set_silence)
        hints = QGuiApplication.styleHints()
        if hints is not None:
            hints.colorSchemeChanged.connect(self._paint)

    def start(self) -> None:
        """Show the window and load the captioner."""
        self.window.show()
        self.window.controls.record.setFocus()
        self.captions.load()

    def open_paths(self, paths: list[Path]) -> None:
        """Open a single recording; add several recordings, or those of a folder, to the queue."""
        try:
            files = expand([str(path) for path in paths])
        except ValueError as error:
            self.window.show_message(str(error)[:1].upper() + str(error)[1:])
            return
        if len(files) == 1:
            self.sound.open(files[0])
        else:
            self.queue.add([Path(file) for file in files])

    def change(self, **changes: Any) -> None:
        """Change fields of the settings and store them."""
        self._session.change(replace(self.settings, **changes))

    def export(self, path: Path, form: str, whole_queue: bool) -> None:
        """Export the displayed captions, or those of all queued files, in the background; asks before replacing files.

        Args:
            path: target file.
            form: a key of `ui.store.exports.EXPORT_FORMS`.
            whole_queue: export the captions of all queued files.
        """
        documents = [item.document for item in self.queue.files.items] if whole_queue else [self.documents.shown]
        records = [record for document in documents if document is not None for record in document.records]
        try:
            targets = export_targets(records, path, form)
            there = [target for target in targets if target.exists()]
        except (ValueError, OSError) as error:  # sentences
            self.window.show_message(str(error))
            return
        if there and not self.window.confirm_replacing(there):
            return

        def write() -> None:
            try:
                export(targets, form)
            except (ValueError, OSError) as error:
                self._export_failed.emit(str(error))
            else:
                self._exported.emit([str(target) for target in targets])

        self._writing.run(write)
        self.change(export_folder=str(path.parent))
        self._show_folders()

    def _on_not_written(self, sentence: str) -> None:
        """Show the first of these messages; the others, one for each change, go to the log."""
        if self._told_not_written:
            self.window.log.add(sentence)
        else:
            self._told_not_written = True
            self.window.show_message(sentence)

    def _on_exported(self, paths: list[str]) -> None:
        first = Path(paths[0])
        where = str(first) if len(paths) == 1 else f"{len(paths)} files in {first.parent}"
        self.window.set_status(f"Exported to {where}.")
        self.window.log.add(f"Exported to {', '.join(paths)}.")

    def close(self) -> None:
        """Store the window's geometry, save the recording in progress, stop all workers and finish writing."""
        if self._closed:
            return
        self._closed = True
        for name, place in self.window.places().items():
            self._store.write_place(name, place)
        self._store.write(self.settings)
        logging.getLogger().removeHandler(self._log)
        self.sound.close()
        self.all_ended = self._workers.close()
        self.documents.write()
        self._writing.close()

    def apply_settings(self, settings: AppSettings) -> None:
        """Apply new settings; the captioner is reloaded only if its checkpoint or device changed."""
        old = self.settings
        self._session.change(settings)
        if settings.theme != old.theme:
            self._paint()
        if (settings.checkpoint, settings.device) != (old.checkpoint, old.device):
            self.captions.load()

    def _ask_for_settings(self) -> None:
        info = self.captions.info
        encoder, styles = (f"{info.encoder} on {info.device}", info.styles) if info else ("", ())
        dialog = SettingsDialog(self.settings, encoder, self.window, styles)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.apply_settings(dialog.settings())
        dialog.deleteLater()

    def _on_perhaps(self, per_cent: int) -> None:
        self.change(perhaps_below=per_cent)
        self.window.captions.table.rows.set_threshold(per_cent / 100)
        self.documents.rows_changed.emit()

    def _on_opened(self, path: str) -> None:
        if Path(path) != EXAMPLE:
            self._session.change(self.settings.with_recent(path))
        self._show_folders()

    def _show_folders(self) -> None:
        settings = self.settings
        self.window.set_folders(settings.open_folder, settings.export_folder, settings.recent_paths)

    def _show_title(self) -> None:
        document = self.documents.shown
        self.window.setWindowTitle(f"{document.name} – {TITLE}" if document is not None else TITLE)

    def _on_threshold(self, silence_db: float) -> None:
        self.change(silence_db=silence_db)
        self._silence_changed.emit(silence_db)

    def _paint(self) -> None:
        colours = colours_of(self.settings.theme)
        with self.window.captions.table.one_layout():
            apply_theme(cast(QApplication, QApplication.instance()), colours)
            self.window.set_colours(colours)

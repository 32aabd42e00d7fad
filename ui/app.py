"""Entry point of the desktop app: command line, Qt application and handler of unhandled exceptions."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PyQt6.QtCore import QSettings, QStandardPaths, QTimer
from PyQt6.QtWidgets import QApplication

from ui.controllers.main import Controller
from ui.engine.process import EngineProcess
from ui.engine.requests import Engine
from ui.sound.devices import SoundSystem
from ui.store.background import Background
from ui.store.history import History
from ui.store.settings import SettingsStore
from ui.workers.threads import start_workers

logger = logging.getLogger("ui")
NAME = "Audio Caption"


def build(engine: Engine, system: SoundSystem, settings: QSettings, history: Path) -> Controller:
    """Create the controller, with the window and the workers; requires a QApplication.

    Args:
        engine: the captioner.
        system: the sound devices.
        settings: persistent storage of the settings.
        history: folder of the history files.
    """
    writing = Background()
    store, past = SettingsStore(settings, writing.run), History(history, writing.run)
    return Controller(start_workers(engine, system), store, past, writing)


def main(arguments: Sequence[str]) -> int:
    """Run the app; return the exit status, 0 on success."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="UI_Code.py", description="Record, play and caption audio in a window.")
    parser.add_argument("recordings", nargs="*", type=Path, help="recordings or folders to open")
    parser.add_argument("--ckpt_path", help="captioner to use from now on: checkpoint folder, step=N.pth or hub id")
    options = parser.parse_args(arguments)
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        print("no display was found: start this on a desktop, or under xvfb-run.", file=sys.stderr)
        return 2
    application = QApplication(sys.argv[:1])
    application.setApplicationName(NAME)
    application.setOrganizationName(NAME)
    data_folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppDataLocation)
    controller = build(EngineProcess(), SoundSystem(), QSettings(), Path(data_folder) / "history")
    _report_unhandled(controller)
    waker = _close_on_signals(controller)
    if options.ckpt_path:
        controller.change(checkpoint=options.ckpt_path)
    controller.start()
    if options.recordings:
        controller.open_paths(options.recordings)
    status = application.exec()
    waker.stop()
    controller.close()
    if not controller.all_ended:  # a sound server that does not respond must not keep the process running
        sys.stderr.flush()
        os._exit(status)
    return status


def _close_on_signals(controller: Controller) -> QTimer:
    """Close the window on SIGINT and SIGTERM; the returned timer lets Python handle signals during the event loop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: controller.window.close())
    timer = QTimer()
    timer.timeout.connect(lambda: None)
    timer.start(200)
    return timer


def _report_unhandled(controller: Controller) -> None:
    """Log and display unhandled exceptions, for which PyQt would abort the process and lose the recording."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        logger.error("unforeseen error", exc_info=(kind, error, trace))
        controller.window.show_message(f"Something went wrong ({kind.__name__}: {error}). Recordings are kept.")

    sys.excepthook = hook

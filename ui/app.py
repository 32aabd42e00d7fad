"""The app's process: command line, Qt, and what happens when something unforeseen fails."""

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
from ui.store.history import History
from ui.store.settings import SettingsStore
from ui.workers.threads import start_workers

logger = logging.getLogger("ui")
NAME = "Audio Caption"


def build(engine: Engine, system: SoundSystem, settings: QSettings, history: Path) -> Controller:
    """The window with everything behind it; needs a QApplication.

    Args:
        engine: the captioner.
        system: the sound devices.
        settings: where settings are kept.
        history: folder of past recordings and captions.
    """
    return Controller(start_workers(engine, system), SettingsStore(settings), History(history))


def main(arguments: Sequence[str]) -> int:
    """Command line; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="UI_Code.py", description="A window that hears and tells.")
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
    _tell_unforeseen(controller)
    waker = _close_on_signals(controller)
    if options.ckpt_path:
        controller.change(checkpoint=options.ckpt_path)
    controller.start()
    if options.recordings:
        controller.open_paths(options.recordings)
    status = application.exec()
    waker.stop()
    controller.close()
    if not controller.all_ended:  # a sound server that does not answer must not keep a closed window alive
        sys.stderr.flush()
        os._exit(status)
    return status


def _close_on_signals(controller: Controller) -> QTimer:
    """Ctrl+C and SIGTERM close the window as its own button does; Python needs the timer to notice them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: controller.window.close())
    timer = QTimer()
    timer.timeout.connect(lambda: None)
    timer.start(200)
    return timer


def _tell_unforeseen(controller: Controller) -> None:
    """An error that nobody foresaw is told and logged; PyQt would end the process, and with it a recording."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        logger.error("unforeseen error", exc_info=(kind, error, trace))
        controller.window.tell(f"Something went wrong ({kind.__name__}: {error}). Recordings are kept.")

    sys.excepthook = hook

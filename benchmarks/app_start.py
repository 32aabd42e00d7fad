"""Start the desktop app without a display and close it when it can caption; a command of `benchmarks.speed --parts start`.

This file imports nothing of the app unless it is run, since the captioner's process imports it too, as it does UI_Code.py.
"""

import os
import sys
import tempfile
from pathlib import Path


def run() -> int:
    """Build the app with its real captioner, wait until that is loaded, and close it; returns the exit status."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PyQt6.QtCore import QEventLoop, QSettings
    from PyQt6.QtWidgets import QApplication

    from ui.app import build
    from ui.engine.process import EngineProcess
    from ui.sound.devices import SoundSystem

    application = QApplication(sys.argv[:1])
    with tempfile.TemporaryDirectory() as folder:
        settings = QSettings(str(Path(folder) / "settings.ini"), QSettings.Format.IniFormat)
        controller = build(EngineProcess(), SoundSystem(), settings, Path(folder) / "history")
        controller.start()
        while controller.captions.info is None:
            application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        controller.window.close()
        controller.close()
    return 0


if __name__ == "__main__":
    sys.exit(run())

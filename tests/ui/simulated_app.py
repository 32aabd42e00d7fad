"""The app with a simulated captioner and microphone, on a display; started by screen_reader.py.

    python -m tests.ui.simulated_app FOLDER

The microphone is gone once listening was stopped.
"""

import sys
from pathlib import Path

from PyQt6.QtCore import QSettings
from PyQt6.QtWidgets import QApplication

from tests.ui.simulated import SimulatedEngine, SimulatedSystem, chirp
from ui.app import build
from ui.widgets.state import Listening


def main(folder: Path) -> int:
    application = QApplication([])
    application.setApplicationName("Simulated Audio Caption")
    engine, system = SimulatedEngine(), SimulatedSystem(chirp(3.0, 48000))
    engine.probability, engine.num_windows = 0.75, 2
    settings = QSettings(str(folder / "settings.ini"), QSettings.Format.IniFormat)
    app = build(engine, system, settings, folder / "history")  # type: ignore[arg-type]
    app.change(live_window_s=1.0, live_hop_s=0.5, recordings_folder=str(folder / "recordings"))

    def unplug() -> None:
        if system.inputs_made and app.state.listening is Listening.OFF:
            system.devices.clear()

    app.live._stop_listening.connect(lambda: app._workers.microphone.listening_ended.connect(unplug))
    app.start()
    status = application.exec()
    app.close()
    return status if app.all_ended else 3


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

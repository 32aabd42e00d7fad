"""State shared by all controllers."""

from dataclasses import replace
from typing import Any

from ui.store.background import Run
from ui.store.history import History
from ui.store.settings import AppSettings, SettingsStore
from ui.widgets.main_window import MainWindow
from ui.widgets.state import WindowState
from ui.workers.threads import Workers


class Session:
    """Window, workers, stores and current state.

    Args:
        window: main window.
        workers: started workers.
        store: persistent settings.
        history: past recordings and captions.
        run: runs tasks that write files, on another thread.

    Attributes:
        settings: current settings.
        state: current state of the window.
    """

    def __init__(self, window: MainWindow, workers: Workers, store: SettingsStore, history: History, run: Run) -> None:
        self.window, self.workers, self.store, self.history, self.run = window, workers, store, history, run
        self.settings = store.read()
        self.state = WindowState()

    def change(self, settings: AppSettings) -> None:
        """Replace the settings and store them."""
        self.settings = settings
        self.store.write(settings)

    def update(self, **changes: Any) -> None:
        """Change fields of the state and update the window."""
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.window.show_state(state)

"""What all controllers share."""

from dataclasses import replace
from typing import Any

from ui.store.history import History
from ui.store.settings import AppSettings, SettingsStore
from ui.widgets.main_window import MainWindow
from ui.widgets.state import WindowState
from ui.workers.threads import Workers


class Session:
    """The window, the workers behind it, and what is kept and shown.

    Args:
        window: the window.
        workers: the workers, started.
        store: settings.
        history: past recordings and captions.

    Attributes:
        settings: the settings as they are.
        state: what the window shows.
    """

    def __init__(self, window: MainWindow, workers: Workers, store: SettingsStore, history: History) -> None:
        self.window, self.workers, self.store, self.history = window, workers, store, history
        self.settings = store.read()
        self.state = WindowState()

    def change(self, settings: AppSettings) -> None:
        """Take other settings and keep them."""
        self.settings = settings
        self.store.write(settings)

    def update(self, **changes: Any) -> None:
        """Change fields of the state, and show it."""
        state = replace(self.state, **changes)
        if state != self.state:
            self.state = state
            self.window.show_state(state)

"""Tells of an alert word outside the window too: a notification of the desktop, and a flash in the task bar."""

from PyQt6.QtWidgets import QApplication, QSystemTrayIcon, QWidget


class Notifier:
    """A notification where the desktop has a tray, and the window's entry in the task bar asks for attention.

    Args:
        window: whose icon and entry they are.
    """

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None

    def tell(self, title: str, sentence: str) -> None:
        """Tell something that a person must not miss."""
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable():
            if self._tray is None:
                self._tray = QSystemTrayIcon(self._window.windowIcon(), self._window)
                self._tray.show()
            self._tray.showMessage(title, sentence, self._window.windowIcon())

"""Desktop notifications of alert words and of a lost microphone."""

from PyQt6.QtWidgets import QApplication, QSystemTrayIcon, QWidget


class Notifier:
    """Shows desktop notifications, if a system tray is available, and marks the window's task bar entry.

    Args:
        window: window whose icon and task bar entry are used.
    """

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None

    def notify(self, title: str, sentence: str) -> None:
        """Show a notification."""
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable():
            if self._tray is None:
                self._tray = QSystemTrayIcon(self._window.windowIcon(), self._window)
                self._tray.show()
            self._tray.showMessage(title, sentence, self._window.windowIcon())

"""Dialogs whose page can be scrolled where the screen is too low for it, as at 200 % on 1920 x 1080."""

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import QDialog, QDialogButtonBox, QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

TITLE_BAR = 48  # logical pixels that the window manager needs above and below a dialog


class TallDialog(QDialog):
    """A dialog with a page that scrolls, and buttons that are always in view.

    Args:
        title: title of the window.
        parent: parent window.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.area = QScrollArea()
        self.area.setAccessibleName(title)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def build(self, page: QWidget, buttons: QDialogButtonBox) -> None:
        """Lay out the page above the buttons."""
        self.area.setWidget(page)
        layout = QVBoxLayout(self)
        layout.addWidget(self.area)
        layout.addWidget(buttons)

    def size_on(self, available: QSize) -> QSize:
        """Size with the whole page in view, if a screen of this size, in logical pixels, has room for it."""
        page, layout = self.area.widget(), self.layout()
        if page is None or layout is None:
            return self.size()
        bar = self.area.verticalScrollBar()
        width = page.sizeHint().width() + (bar.sizeHint().width() if bar is not None else 0)
        around = layout.sizeHint() - self.area.sizeHint()
        wanted = QSize(max(self.minimumWidth(), width + layout.contentsMargins().left() * 2), page.sizeHint().height())
        return QSize(wanted.width(), wanted.height() + max(0, around.height())).boundedTo(
            available - QSize(0, TITLE_BAR)
        )

    def showEvent(self, event: QShowEvent | None) -> None:
        """Fit the dialog to its screen."""
        super().showEvent(event)
        if (screen := self.screen()) is not None:
            self.resize(self.size_on(screen.availableGeometry().size()))


class TextDialog(TallDialog):
    """A dialog that shows a text.

    Args:
        title: title of the window.
        text: rich text.
        parent: parent window.
    """

    def __init__(self, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.text = QLabel(text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        self.build(self.text, buttons)

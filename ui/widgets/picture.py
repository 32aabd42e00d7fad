"""Picture of the way from a sound to its caption."""

from functools import cache

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QPainter, QPixmap
from PyQt6.QtSvg import QSvgRenderer
from PyQt6.QtWidgets import QLabel

from ui.widgets.parts import describe
from ui.widgets.theme import ASSETS, LIGHT, Colours

PICTURE = QSize(277, 65)
FLOW_MUTED, FLOW_ACCENT = "#8a94a6", "#4c74ea"  # colours in flow.svg


@cache
def _flow() -> str:
    """The picture's file, read once: it is painted again when its size or the theme changes."""
    return (ASSETS / "flow.svg").read_text(encoding="utf-8")


def painted_flow(colours: Colours) -> bytes:
    """Return the picture, an SVG file, in the colours of a theme."""
    picture = _flow()
    for drawn, name in ((FLOW_MUTED, colours.muted), (FLOW_ACCENT, colours.accent)):
        picture = picture.replace(drawn, name)
    return picture.encode()


class FlowPicture(QLabel):
    """The picture, painted in the colours of a theme; a label with a picture has the role of an image for screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self._colours = LIGHT
        describe(self, "Picture: from a microphone through the model to a sentence")
        self.set_size(PICTURE)

    def set_size(self, size: QSize) -> None:
        """Set the size, pixels."""
        if size != self.size() or self.pixmap().isNull():
            self.setFixedSize(size)
            self._paint()

    def set_colours(self, colours: Colours) -> None:
        """Apply the colours of a theme."""
        self._colours = colours
        self._paint()

    def _paint(self) -> None:
        ratio = self.devicePixelRatioF()
        pixmap = QPixmap(self.size() * ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        QSvgRenderer(painted_flow(self._colours)).render(painter)
        painter.end()
        pixmap.setDevicePixelRatio(ratio)
        self.setPixmap(pixmap)

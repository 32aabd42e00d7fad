"""Announcements of new texts for screen readers."""

import logging

from PyQt6.QtCore import Q_ARG, QMetaObject, QObject, Qt

logger = logging.getLogger(__name__)
_ITEM = b"""
import QtQuick
Item {
    Accessible.role: Accessible.StaticText
    Accessible.name: "Messages"
    function announce(text, urgent) { Accessible.announce(text, urgent ? Accessible.Assertive : Accessible.Polite) }
}
"""


class Announcer:
    """Makes screen readers speak texts, through `Accessible.announce` of QML: PyQt6 does not bind Qt's announcement events.

    If QML's libraries cannot be loaded, screen readers are notified of new texts by the name-changed events of labels only.

    Args:
        parent: owner of the QML objects.
    """

    def __init__(self, parent: QObject) -> None:
        self._item: QObject | None = None
        try:
            from PyQt6.QtQml import QQmlComponent, QQmlEngine
        except ImportError as error:  # on Debian, libgssapi-krb5-2 is missing
            logger.info("texts are not announced to screen readers (%s)", error)
            return
        self._engine = QQmlEngine(parent)
        self._component = QQmlComponent(self._engine, parent)
        self._component.setData(_ITEM, self._engine.baseUrl())
        self._item = self._component.create()
        if self._item is None:
            reasons = "; ".join(error.toString() for error in self._component.errors())
            logger.warning("texts are not announced to screen readers (%s)", reasons)

    def announce(self, text: str, urgent: bool = False) -> None:
        """Make a running screen reader speak a text, at once if `urgent`, else when it has finished speaking."""
        if self._item is not None and text:
            arguments = (Q_ARG("QVariant", text), Q_ARG("QVariant", urgent))
            QMetaObject.invokeMethod(self._item, "announce", Qt.ConnectionType.DirectConnection, *arguments)

"""Colours and style sheet of the window."""

import gc
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QGuiApplication, QPalette
from PyQt6.QtWidgets import QApplication

_STYLED = "audio_caption_styled"
ASSETS = Path(__file__).parents[2] / "assets"


@dataclass(frozen=True)
class Colours:
    """Colours of a theme, as CSS colours.

    Attributes:
        window: background of the window.
        surface: background of cards.
        raised: background of buttons and fields on cards.
        text: primary text.
        muted: secondary text, with a contrast of at least 4.5:1 on `surface`.
        accent: suggested action, play head and live sound.
        on_accent: text on the accent colour.
        warning: background of warnings.
        selected: background of selected rows.
    """

    window: str
    surface: str
    raised: str
    text: str
    muted: str
    accent: str
    on_accent: str
    warning: str
    selected: str


LIGHT = Colours("#f3f4f7", "#ffffff", "#eceef3", "#1c2330", "#5b6577", "#2f5fd9", "#ffffff", "#fff1d6", "#dbe4fb")
DARK = Colours("#14171d", "#1d2129", "#2a2f3a", "#e8ebf1", "#a0a9ba", "#7fa2ff", "#0f1420", "#453714", "#2b3a66")

_STYLE = """
QWidget {{ color: {text}; }}
QMainWindow, QDialog, QScrollArea, #page {{ background: {window}; }}
#card {{ background: {surface}; border-radius: 12px; }}
QLabel[heading="true"] {{ font-weight: 600; }}
QLabel[muted="true"] {{ color: {muted}; }}
#banner {{ background: {warning}; border: 1px solid {muted}; border-radius: 10px; }}
QPushButton, QToolButton {{ background: {raised}; border: 2px solid {raised}; border-radius: 9px; padding: 6px 14px; }}
QToolButton {{ padding: 6px 8px; }}
QPushButton:hover, QToolButton:hover {{ border-color: {muted}; }}
QPushButton:focus, QToolButton:focus {{ border-color: {accent}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {muted}; background: {window}; border-color: {window}; }}
QPushButton[primary="true"] {{ background: {accent}; border-color: {accent}; color: {on_accent}; }}
QPushButton[primary="true"]:hover {{ border-color: {text}; }}
QPushButton[primary="true"]:focus {{ border: 5px double {on_accent}; padding: 3px 11px; }}
QPushButton[primary="true"]:disabled {{ color: {muted}; background: {window}; border-color: {window}; }}
QPushButton[off="true"] {{ color: {muted}; background: {window}; border-color: {accent}; }}
QPushButton[flat="true"], QToolButton[flat="true"] {{ background: transparent; border-color: transparent; }}
QPushButton[flat="true"]:focus, QToolButton[flat="true"]:focus {{ border-color: {accent}; }}
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {{ background: {raised}; border: 2px solid {raised}; border-radius: 8px;
    padding: 5px 8px; selection-background-color: {accent}; selection-color: {on_accent}; }}
QLineEdit {{ placeholder-text-color: {muted}; }}
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {{ border-color: {accent}; }}
QComboBox::drop-down, QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button,
    QDoubleSpinBox::down-button {{ border: none; background: transparent; width: 22px; }}
QComboBox::down-arrow, QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {{ image: url({assets}/arrow_down.svg);
    width: 11px; height: 8px; }}
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {{ image: url({assets}/arrow_up.svg); width: 11px; height: 8px; }}
QComboBox QAbstractItemView {{ background: {surface}; selection-background-color: {accent};
    selection-color: {on_accent}; }}
QCheckBox::indicator {{ width: 16px; height: 16px; background: {raised}; border: 2px solid {muted}; border-radius: 5px; }}
QCheckBox::indicator:focus {{ border-color: {accent}; }}
QCheckBox::indicator:checked {{ background: {accent}; border-color: {accent}; image: url({assets}/{check}); }}
QTreeView, QPlainTextEdit {{ background: {surface}; border: 2px solid {surface}; border-radius: 8px;
    alternate-background-color: {surface}; selection-background-color: {accent}; selection-color: {on_accent}; }}
QTreeView {{ selection-background-color: {selected}; selection-color: {text}; }}
QTreeView QLineEdit {{ background: {surface}; border: 1px solid {accent}; border-radius: 0; padding: 0 1px; }}
QTreeView:focus, QPlainTextEdit:focus {{ border-color: {accent}; }}
QTreeView::item {{ padding: 0 2px; }}
QHeaderView::section {{ background: {surface}; color: {muted}; border: none; padding: 4px 6px; }}
QProgressBar {{ background: {raised}; border: 2px solid {raised}; border-radius: 8px; text-align: center; }}
QProgressBar:focus {{ border-color: {accent}; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 6px; }}
#sound {{ border: 2px solid {surface}; border-radius: 8px; }}
#sound:focus {{ border-color: {accent}; }}
QTabWidget::pane {{ border: none; }}
QTabBar::tab {{ background: transparent; color: {muted}; padding: 8px 14px; border-bottom: 2px solid transparent; }}
QTabBar::tab:selected {{ color: {text}; border-bottom-color: {accent}; }}
QTabBar::tab:selected:focus {{ background: {raised}; color: {accent}; border-top-left-radius: 8px;
    border-top-right-radius: 8px; }}
QSplitter::handle {{ background: transparent; }}
QStatusBar {{ background: {window}; }}
QStatusBar::item {{ border: none; }}
QMenuBar {{ background: {window}; }}
QMenuBar::item:selected, QMenu::item:selected {{ background: {accent}; color: {on_accent}; }}
QMenu {{ background: {surface}; border: 1px solid {raised}; padding: 4px; }}
QMenu::item {{ padding: 5px 22px; }}
QToolTip {{ background: {surface}; color: {text}; border: 1px solid {raised}; padding: 4px; }}
QScrollBar:vertical {{ background: transparent; width: 14px; }}
QScrollBar:horizontal {{ background: transparent; height: 14px; }}
QScrollBar::handle {{ background: {muted}; border-radius: 5px; margin: 2px; min-height: 28px; min-width: 28px; }}
QScrollBar::handle:hover {{ background: {text}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
"""


def colours_of(theme: str) -> Colours:
    """Return the colours of a theme: "light", "dark", or "system" for the desktop's colour scheme."""
    if theme == "system":
        hints = QGuiApplication.styleHints()
        dark = hints is not None and hints.colorScheme() == Qt.ColorScheme.Dark
        return DARK if dark else LIGHT
    return DARK if theme == "dark" else LIGHT


def apply_theme(application: QApplication, colours: Colours) -> None:
    """Apply colours to all windows of the application."""
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: colours.window,
        QPalette.ColorRole.Base: colours.surface,
        QPalette.ColorRole.AlternateBase: colours.surface,
        QPalette.ColorRole.Button: colours.raised,
        QPalette.ColorRole.Text: colours.text,
        QPalette.ColorRole.WindowText: colours.text,
        QPalette.ColorRole.ButtonText: colours.text,
        QPalette.ColorRole.PlaceholderText: colours.muted,
        QPalette.ColorRole.Highlight: colours.accent,
        QPalette.ColorRole.HighlightedText: colours.on_accent,
        QPalette.ColorRole.ToolTipBase: colours.surface,
        QPalette.ColorRole.ToolTipText: colours.text,
        QPalette.ColorRole.Link: colours.accent,
    }
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText, QPalette.ColorRole.WindowText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(colours.muted))
    check = "check_dark.svg" if colours is DARK else "check_light.svg"
    # Qt iterates over all widgets and calls into Python for some; a garbage collection in between could free widgets that Qt
    # still uses.
    gc.disable()
    try:
        if application.property(_STYLED) is None:
            application.setStyle("Fusion")
            application.setProperty(_STYLED, True)
        application.setPalette(palette)
        application.setStyleSheet(_STYLE.format(assets=ASSETS.as_posix(), check=check, **vars(colours)))
    finally:
        gc.enable()

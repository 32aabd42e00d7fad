"""Contrast of texts (at least 4.5:1) and graphics (3:1) in both themes, by the formula of WCAG 2.2, also where colours blend."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("PyQt6.QtWidgets", reason="Qt's libraries are not here: bash env.sh --ui", exc_type=ImportError)
from PyQt6.QtGui import QColor, QPalette
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from ui.widgets.meter import BRIGHT, DIM
from ui.widgets.picture import painted_flow
from ui.widgets.theme import ASSETS, DARK, LIGHT, Colours, apply_theme
from ui.widgets.timeline_strip import STRONGEST

TEXT, GRAPHIC = 4.5, 3.0
THEMES = pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: QColor) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [colour.redF(), colour.greenF(), colour.blueF()]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str | QColor, second: str | QColor) -> float:
    """Contrast ratio of WCAG 2.2, 1 to 21."""
    high, low = sorted((luminance(QColor(first)), luminance(QColor(second))), reverse=True)
    return (high + 0.05) / (low + 0.05)


def blend(above: str, below: str, opacity: float) -> QColor:
    first, second = QColor(above), QColor(below)
    pairs = zip(first.getRgbF()[:3], second.getRgbF()[:3], strict=True)
    return QColor.fromRgbF(*(opacity * (a or 0.0) + (1 - opacity) * (b or 0.0) for a, b in pairs))


def rules(sheet: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Selectors and properties of a style sheet."""
    for selectors, body in re.findall(r"([^{}]+)\{([^}]*)\}", sheet):
        yield " ".join(selectors.split()), dict(re.findall(r"([\w-]+):\s*([^;]+);", body))


def test_the_formula_gives_the_known_ratios() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@THEMES
def test_every_text_of_the_style_sheet_can_be_read(qtbot: QtBot, colours: Colours) -> None:
    """Where a rule sets no background, on both that texts stand on; disabled controls and bars included."""
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    apply_theme(application, colours)
    checked = 0
    for selectors, found in rules(application.styleSheet()):
        for front, back in (("color", "background"), ("selection-color", "selection-background-color"),
                            ("placeholder-text-color", "background")):  # fmt: skip
            if front not in found:
                continue
            own = found.get(back, "transparent").strip()
            for background in [own] if own.startswith("#") else [colours.window, colours.surface]:
                ratio = contrast(found[front].strip(), background)
                assert ratio >= TEXT, f"{selectors}: {front} {found[front]} on {background} is {ratio:.2f}:1"
                checked += 1
    assert checked >= 20


@THEMES
def test_every_text_of_the_palette_can_be_read(qtbot: QtBot, colours: Colours) -> None:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    apply_theme(application, colours)
    palette, roles = application.palette(), QPalette.ColorRole
    pairs = (
        (roles.WindowText, roles.Window), (roles.Text, roles.Base), (roles.ButtonText, roles.Button),
        (roles.PlaceholderText, roles.Base), (roles.PlaceholderText, roles.Button),
        (roles.HighlightedText, roles.Highlight), (roles.ToolTipText, roles.ToolTipBase), (roles.Link, roles.Base),
    )  # fmt: skip
    for group in (QPalette.ColorGroup.Active, QPalette.ColorGroup.Inactive, QPalette.ColorGroup.Disabled):
        for front, back in pairs:
            ratio = contrast(palette.color(group, front), palette.color(group, back))
            assert ratio >= TEXT, f"{group.name} {front.name} on {back.name} is {ratio:.2f}:1"


@THEMES
def test_painted_texts_can_be_read(colours: Colours) -> None:
    """Those that widgets paint themselves: messages, large type, captions on the time axis, axes, selected rows."""
    strongest = blend(colours.accent, colours.surface, STRONGEST)
    for front, back in (
        (colours.text, colours.warning), (colours.text, colours.selected), (colours.muted, colours.surface),
        (colours.muted, colours.window), (colours.muted, colours.raised), (colours.on_accent, colours.accent),
        (colours.text, strongest), (colours.muted, blend(colours.accent, colours.surface, 0.06)),
    ):  # fmt: skip
        assert contrast(front, back) >= TEXT, (front, QColor(back).name(), contrast(front, back))


@THEMES
def test_the_pictures_words_and_lines_take_the_themes_colours(qtbot: QtBot, colours: Colours) -> None:
    picture = painted_flow(colours).decode()
    assert set(re.findall(r"#[0-9a-fA-F]{6}", picture)) == {colours.muted, colours.accent}


@THEMES
def test_graphics_are_seen(colours: Colours) -> None:
    """Waveform, focus, bars, scroll bars, outlines, level meter, icons."""
    for front, back in (
        (colours.accent, colours.surface), (colours.accent, colours.window), (colours.accent, colours.raised),
        (colours.muted, colours.surface), (colours.muted, colours.window), (colours.muted, colours.warning),
        (colours.on_accent, colours.accent), (colours.muted, blend(colours.accent, colours.surface, 0.14)),
        (blend(colours.accent, colours.raised, BRIGHT), colours.raised),
        (blend(colours.accent, colours.raised, DIM), colours.raised),
    ):  # fmt: skip
        assert contrast(front, back) >= GRAPHIC, (front, QColor(back).name(), contrast(front, back))
    check = "check_dark.svg" if colours is DARK else "check_light.svg"
    for name, back in (("arrow_down.svg", colours.raised), ("arrow_up.svg", colours.raised), (check, colours.accent)):
        painted = set(re.findall(r"#[0-9a-fA-F]{6}", (ASSETS / name).read_text(encoding="utf-8")))
        assert painted, name
        for colour in painted:
            ratio = contrast(colour, back)
            assert ratio >= GRAPHIC, f"{name}: {colour} on {back} is {ratio:.2f}:1"

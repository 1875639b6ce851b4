"""Colors, type and the two palettes: one frozen set of tokens a theme (spec: look 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Literal

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontMetrics, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

Choice = Literal["system", "light", "dark"]


@dataclass(frozen=True)
class Tokens:
    """Every color of the window, as `#rrggbb`, named for its use."""

    dark: bool
    window: str
    panel: str
    raised: str
    sunken: str
    hover: str
    line: str
    field: str
    text: str
    text2: str
    text3: str
    accent: str
    on_accent: str
    accent_hover: str
    accent_soft: str
    changed: str
    warn: str
    warn_soft: str
    error: str
    error_soft: str
    scroll: str
    validation: str
    smoothed: str
    raw: str
    learning_rate: str
    conv: str
    ramp: tuple[str, str, str, str, str]  # ranks 4, 8, 16, 32, 64

    @property
    def fill(self) -> str:
        """The ground of fields: raised in the light theme, sunken in the dark one."""
        return self.sunken if self.dark else self.raised

    def colors(self) -> dict[str, str]:
        """All single colors by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.type == "str"}


LIGHT = Tokens(
    dark=False,
    window="#F0F0EE", panel="#F8F8F7", raised="#FFFFFF", sunken="#E7E7E4", hover="#E6E6E3",
    line="#DBDBD7", field="#868782", text="#1C1E1D", text2="#4D5250", text3="#616663",
    accent="#0C6B53", on_accent="#FFFFFF", accent_hover="#0A5A46", accent_soft="#DCECE5",
    changed="#2E5BD0", warn="#7F5300", warn_soft="#FAF0DA", error="#B3261E",
    error_soft="#FBE9E7", scroll="#B9BAB5", validation="#B84700", smoothed="#0B62A8",
    raw="#7F93AC", learning_rate="#4A505A", conv="#6650B4",
    ramp=("#D3EADF", "#A3D3C0", "#62B495", "#2A8F6F", "#0C6B53"),
)  # fmt: skip

DARK = Tokens(
    dark=True,
    window="#161718", panel="#1C1E1F", raised="#242729", sunken="#101112", hover="#2E3234",
    line="#313537", field="#71777A", text="#E8EAE8", text2="#B4B9B6", text3="#989E9B",
    accent="#4FC3A1", on_accent="#06231A", accent_hover="#6AD3B4", accent_soft="#1B3A32",
    changed="#8FB0FF", warn="#F0BA57", warn_soft="#372C16", error="#FF8F85",
    error_soft="#3A201E", scroll="#4C5255", validation="#FF9D55", smoothed="#6DB5F5",
    raw="#61778F", learning_rate="#C9CED6", conv="#A996F2",
    ramp=("#20463B", "#2A6452", "#37866C", "#45A88A", "#6AD9B8"),
)  # fmt: skip


class ThemeSwitch(QObject):
    """The theme in use; widgets repaint by themselves, since the palette changes with it.

    Signals:
        changed: the tokens are other ones now; rebuild what was made of them (pens, pixmaps).
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.choice: Choice = "system"
        self.tokens = LIGHT
        self.text_percent = 100
        self._base_points = 0.0
        self._base_pixels = 0

    def apply(self, choice: Choice | None = None, text_percent: int | None = None) -> None:
        """Set the theme and the text size (80 to 200 %) of the whole application."""
        app = QApplication.instance()
        if not isinstance(app, QApplication):
            return
        first = not self._base_points and not self._base_pixels
        if first:
            hints = QGuiApplication.styleHints()
            hints.colorSchemeChanged.connect(lambda _: self.apply())
            self._base_points = app.font().pointSizeF()
            self._base_pixels = app.font().pixelSize()
        self.choice = choice or self.choice
        percent = min(200, max(80, text_percent or self.text_percent))
        resized = first or percent != self.text_percent
        if resized:
            self.text_percent = percent
            font = app.font()
            if self._base_points > 0:
                font.setPointSizeF(self._base_points * percent / 100)
            else:
                font.setPixelSize(round(self._base_pixels * percent / 100))
            font.setFeature(QFont.Tag("tnum"), 1)
            app.setFont(font)
        wanted = DARK if self._wants_dark() else LIGHT
        if first or wanted is not self.tokens:
            self.tokens = wanted
            for widget in app.allWidgets():
                widget.ensurePolished()  # else its polish brings the former colors back
            # From one sheet to another Qt styles each widget again for every widget around it.
            app.setStyleSheet("")
            app.setPalette(palette_of(wanted))
            app.setStyleSheet(style_sheet(wanted))
        elif not resized:
            return
        self.changed.emit()

    def _wants_dark(self) -> bool:
        if self.choice != "system":
            return self.choice == "dark"
        return QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark


@cache
def switch() -> ThemeSwitch:
    """The application's theme switch."""
    return ThemeSwitch()


def tokens() -> Tokens:
    """The colors to paint with now; ask again at each painting."""
    return switch().tokens


def color(name: str, alpha: float = 1.0) -> QColor:
    """A token as a QColor, with an opacity of 0 to 1."""
    found = QColor(getattr(tokens(), name))
    found.setAlphaF(alpha)
    return found


def rank_color(rank: float) -> QColor:
    """The ramp's color for a rank: 4, 8, 16, 32, 64 and what lies nearest."""
    steps = tokens().ramp
    index = sum(rank > limit for limit in (4, 8, 16, 32))
    return QColor(steps[index])


def font(scale: float = 1.0, bold: bool = False, mono: bool = False) -> QFont:
    """The application's font at a multiple of its size; weight 400, or 600 if `bold`.

    Mono fonts come at 0.92 of that, as they look larger.
    """
    base = QApplication.font()
    made = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont) if mono else QFont(base)
    factor = scale * (0.92 if mono else 1.0)
    if base.pointSizeF() > 0:
        made.setPointSizeF(base.pointSizeF() * factor)
    else:
        made.setPixelSize(max(1, round(base.pixelSize() * factor)))
    made.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    if not mono:
        made.setFeature(QFont.Tag("tnum"), 1)
    return made


SMALL, TICK, GROUP, CHOICE, HEADLINE = 0.92, 0.85, 1.3, 1.15, 2.0


def control_height() -> int:
    """Height of a field or button, from the text's own height."""
    return max(28, QFontMetrics(QApplication.font()).height() + 12)


def palette_of(t: Tokens) -> QPalette:
    """The Fusion palette of a theme; all colors of standard widgets come from its roles."""
    palette = QPalette()
    role = QPalette.ColorRole
    usual = {
        role.Window: t.panel, role.WindowText: t.text, role.Base: t.fill,
        role.AlternateBase: t.panel, role.Text: t.text, role.PlaceholderText: t.text3,
        role.Button: t.raised, role.ButtonText: t.text, role.BrightText: t.error,
        role.Highlight: t.accent, role.HighlightedText: t.on_accent, role.Accent: t.accent,
        role.Link: t.accent, role.LinkVisited: t.accent, role.ToolTipBase: t.raised,
        role.ToolTipText: t.text, role.Light: t.raised, role.Midlight: t.line,
        role.Mid: t.field, role.Dark: t.field, role.Shadow: t.line,
    }  # fmt: skip
    for which, name in usual.items():
        palette.setColor(which, QColor(name))
    off = QPalette.ColorGroup.Disabled
    for which in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
        palette.setColor(off, which, QColor(t.text3))
    for which in (role.Base, role.Button):
        palette.setColor(off, which, QColor(t.panel))
    palette.setColor(off, role.Highlight, QColor(t.line))
    return palette


def style_sheet(t: Tokens) -> str:
    """What palette roles cannot say: scroll bars, menus, tooltips, and disabled lines in a frame.

    With any sheet Qt fills a disabled line with the enabled ground, whatever its palette says.
    """
    return f"""
    QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
    QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
    QScrollBar::handle {{ background: {t.scroll}; border-radius: 3px; margin: 3px; }}
    QScrollBar::handle:vertical {{ min-height: 28px; }}
    QScrollBar::handle:horizontal {{ min-width: 28px; }}
    QScrollBar::handle:hover {{ background: {t.field}; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QMenuBar {{ background: transparent; spacing: 2px; padding: 2px 0; }}
    QMenuBar::item {{ padding: 4px 8px; border-radius: 4px; background: transparent;
                      color: {t.text2}; }}
    QMenuBar::item:selected {{ background: {t.hover}; color: {t.text}; }}
    QMenu {{ background: {t.raised}; border: 1px solid {t.field}; padding: 4px; }}
    QMenu::item {{ padding: 5px 24px 5px 12px; border-radius: 4px; color: {t.text}; }}
    QMenu::item:selected {{ background: {t.hover}; }}
    QMenu::item:disabled {{ color: {t.text3}; }}
    QMenu::separator {{ height: 1px; background: {t.line}; margin: 4px 8px; }}
    QSplitter::handle {{ background: transparent; }}
    QLineEdit:no-frame:disabled {{ background-color: transparent; }}
    QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.field};
                padding: 4px 6px; }}
    """

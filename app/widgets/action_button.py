"""Buttons of the training pages: ghost, outlined and primary, with an icon and a word."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from app import theme
from app.icons import draw_icon

Look = Literal["ghost", "outline", "primary"]
_ICON, _GAP, _RADIUS = 16, 6, 6


class ActionButton(QAbstractButton):
    """A button painted from the theme. A checked one is filled softly."""

    def __init__(
        self, text: str = "", icon: str = "", look: Look = "ghost", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.look: Look = look
        self._icon = icon
        self.setText(text)
        self.setAccessibleName(text)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_icon(self, icon: str) -> None:
        """Change the icon."""
        self._icon = icon
        self.update()

    def setText(self, text: str) -> None:
        """Change the word, and the name that screen readers say."""
        super().setText(text)
        self.setAccessibleName(text)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """From the text's own size."""
        self.setFont(theme.font(bold=self.look == "primary" or self.look == "outline"))
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(self.text())
        if self._icon:
            width += _ICON + (_GAP if self.text() else 0)
        padding = 28 if self.look != "ghost" else 18
        return QSize(width + (padding if self.text() else 14), theme.control_height() + 2)

    def minimumSizeHint(self) -> QSize:
        """Never smaller than its word."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint ground, edge, icon and word."""
        tokens = theme.tokens()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        ground, edge, ink = self._colors()
        focused = self.hasFocus() and self.isEnabled()
        if focused:
            edge = tokens.on_accent if self.look == "primary" else tokens.accent
        painter.setPen(QPen(QColor(edge), 2 if focused else 1) if edge else Qt.PenStyle.NoPen)
        painter.setBrush(QColor(ground) if ground else Qt.BrushStyle.NoBrush)
        inset = 2.0 if focused and self.look == "primary" else (0.5 if focused else 0.0)
        if focused and self.look == "primary":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawRoundedRect(rect, _RADIUS, _RADIUS)
            painter.setPen(QPen(QColor(edge), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(rect.adjusted(inset, inset, -inset, -inset), _RADIUS, _RADIUS)
        self._paint_words(painter, ink)

    def _paint_words(self, painter: QPainter, ink: str) -> None:
        text_width = self.fontMetrics().horizontalAdvance(self.text())
        total = text_width + (
            (_ICON + (_GAP if self.text() else 0)) if self._icon else 0
        )
        x = (self.width() - total) / 2
        if self._icon:
            spot = QRectF(x, (self.height() - _ICON) / 2, _ICON, _ICON)
            token = "text2" if ink == "text" else ink
            draw_icon(painter, self._icon, spot, token)
            x += _ICON + _GAP
        painter.setFont(self.font())
        painter.setPen(theme.color(ink))
        line = QRectF(x, 0, text_width + 2, self.height())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, self.text())

    def _colors(self) -> tuple[str, str, str]:
        """Ground, edge and the token of the ink; empty: none."""
        tokens = theme.tokens()
        over = self.underMouse() and self.isEnabled()
        if not self.isEnabled():
            return ("", tokens.line if self.look != "ghost" else "", "text3")
        if self.look == "primary":
            return (tokens.accent_hover if over else tokens.accent, "", "on_accent")
        if self.isChecked():
            return (tokens.accent_soft, tokens.accent, "accent")
        ground = tokens.hover if over or self.isDown() else ""
        if self.look == "outline":
            return (ground or tokens.raised, tokens.text if over else tokens.field, "text")
        return (ground, "", "text")

"""Buttons: primary, secondary, ghost, danger and link, painted from the tokens."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QEnterEvent, QFont, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QPushButton, QWidget

from app.icons import draw_icon
from app.theme import SMALL, color, control_height, font, tokens

Role = Literal["primary", "secondary", "ghost", "danger", "link"]


class Button(QPushButton):
    """A push button with an icon before its word; `tall` is for the tool bar."""

    def __init__(
        self,
        text: str,
        role: Role = "secondary",
        icon: str = "",
        parent: QWidget | None = None,
        *,
        tall: bool = False,
        small: bool = False,
    ) -> None:
        super().__init__(text, parent)
        self.role: Role = role
        self._icon, self._tall, self._small = icon, tall, small
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def set_role(self, role: Role) -> None:
        """Change what kind of button it is."""
        if role != self.role:
            self.role = role
            self.update()

    def set_icon(self, name: str) -> None:
        """Change the icon."""
        if name != self._icon:
            self._icon = name
            self.updateGeometry()
            self.update()

    def _font(self) -> QFont:
        return font(SMALL if self._small else 1.0, bold=self.role != "ghost")

    def width_of(self, text: str) -> int:
        """Its width with another word, without changing the one it has."""
        width = QFontMetrics(self._font()).horizontalAdvance(text.replace("&", ""))
        if self._icon:
            width += 16 + (8 if text else 0)
        padding = 0 if self.role == "link" else (32 if self._tall and self.role != "ghost" else 22)
        return max(width + padding, 24)

    def sizeHint(self) -> QSize:
        """Icon, word and room around them."""
        height = control_height() + (6 if self._tall else (-3 if self._small else 0))
        return QSize(self.width_of(self.text()), height)

    def minimumSizeHint(self) -> QSize:
        """The same: words are never cut."""
        return self.sizeHint()

    def _colors(self) -> tuple[str | None, str | None, str]:
        """Tokens of fill, edge and text."""
        hot = self.underMouse() or self.isDown()
        if not self.isEnabled():
            edge = None if self.role in ("ghost", "link") else "line"
            return ("panel" if edge else None), edge, "text3"
        if self.role == "primary":
            return ("accent_hover" if hot else "accent"), None, "on_accent"
        if self.role == "danger":
            return ("error_soft" if hot else "raised"), "error", "error"
        if self.role == "ghost":
            return ("hover" if hot or self.isChecked() else None), None, "text2"
        if self.role == "link":
            return None, None, "accent"
        return ("hover" if hot else "raised"), "field", "text"

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint fill, edge, focus, icon and word."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        fill, edge, ink = self._colors()
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        radius = 6.0
        painter.setPen(QPen(color(edge), 1) if edge else Qt.PenStyle.NoPen)
        painter.setBrush(color(fill) if fill else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, radius, radius)
        if self.hasFocus() and self.focus_is_shown():
            inner = box.adjusted(2, 2, -2, -2) if self.role == "primary" else box
            inner = inner.adjusted(0.5, 0.5, -0.5, -0.5)
            ring = QColor(tokens().on_accent if self.role == "primary" else tokens().accent)
            painter.setPen(QPen(ring, 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(inner, radius - 1, radius - 1)
        painter.setFont(self._font())
        metrics = painter.fontMetrics()
        text = self.text().replace("&", "")
        width = metrics.horizontalAdvance(text)
        total = width + (16 + (8 if text else 0) if self._icon else 0)
        x = (self.width() - total) / 2 if self.role != "link" else 0.0
        if self._icon:
            draw_icon(painter, self._icon, QRectF(x, (self.height() - 16) / 2, 16, 16), ink)
            x += 24
        painter.setPen(color(ink))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(x, 0, width + 2, self.height()), left, text)

    def focus_is_shown(self) -> bool:
        """Whether focus is worth a ring: always, as it never comes by hover."""
        return True

    def enterEvent(self, event: QEnterEvent) -> None:
        """Repaint for the hover fill."""
        super().enterEvent(event)
        self.update()


class IconButton(Button):
    """A square ghost button that is an icon alone; `name` is for tooltip and screen reader."""

    def __init__(self, icon: str, name: str, parent: QWidget | None = None, side: int = 28) -> None:
        super().__init__("", "ghost", icon, parent)
        self._side = side
        self.setToolTip(name)
        self.setAccessibleName(name)
        self.setFixedSize(side, side)

    def sizeHint(self) -> QSize:
        """A square."""
        return QSize(self._side, self._side)

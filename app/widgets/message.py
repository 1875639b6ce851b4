"""What is wrong, in words under a field: icon, wrapped small text."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.icons import draw_icon
from app.theme import SMALL
from app.widgets.label import Label

Kind = Literal["error", "warning", "hint"]
_TOKENS = {"error": "error", "warning": "warn", "hint": "text3"}
_ICONS = {"error": "error", "warning": "warn", "hint": "eye"}


class Icon(QWidget):
    """An icon alone, in a token's color."""

    def __init__(
        self, name: str, token: str, side: int = 16, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name, self._token = name, token
        self.setFixedSize(side, side)

    def set_icon(self, name: str, token: str) -> None:
        """Show another icon."""
        self._name, self._token = name, token
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint it."""
        draw_icon(QPainter(self), self._name, QRectF(self.rect()), self._token)


class Message(QWidget):
    """An icon and words in the color of their kind."""

    def __init__(self, text: str, kind: Kind, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(Icon(_ICONS[kind], _TOKENS[kind], 14, self), 0, Qt.AlignmentFlag.AlignTop)
        self.label = Label(text, _TOKENS[kind], SMALL, self)
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row.addWidget(self.label, 1)

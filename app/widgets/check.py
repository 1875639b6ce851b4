"""A painted check box."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QWidget

from app.icons import draw_icon
from app.theme import color, control_height
from app.widgets.frame import State

_SIDE = 16


class CheckBox(QCheckBox):
    """On or off.

    Signals:
        edited: the value set by the person.
    """

    edited = Signal(object)

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._state: State = "rest"
        self.clicked.connect(lambda on: self.edited.emit(bool(on)))

    def value(self) -> Any:
        """Whether it is on."""
        return self.isChecked()

    def set_value(self, value: Any) -> None:
        """Turn it on or off."""
        self.setChecked(bool(value))

    def set_inherited(self, _text: str) -> None:
        """A check box always says what applies."""

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        self._state = state
        self.update()

    def sizeHint(self) -> QSize:
        """Box and word; never smaller than 24 for the mouse."""
        text = self.text().replace("&", "")
        width = self.fontMetrics().horizontalAdvance(text) + 10 if text else 8
        return QSize(_SIDE + width, control_height())

    def hitButton(self, pos: Any) -> bool:
        """The whole widget answers to the mouse."""
        return self.rect().contains(pos)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint box, tick and word."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(1.5, (self.height() - _SIDE) / 2 + 0.5, _SIDE - 1, _SIDE - 1)
        on, enabled = self.isChecked(), self.isEnabled()
        edge = {"error": "error", "warn": "warn"}.get(self._state, "field")
        if self.underMouse() and self._state == "rest":
            edge = "text"
        if not enabled:
            edge = "line"
        painter.setPen(QPen(color("accent" if on and enabled else edge), 1))
        fill = ("accent" if enabled else "line") if on else "raised"
        painter.setBrush(color(fill) if fill != "raised" else self.palette().base())
        painter.drawRoundedRect(box, 4, 4)
        if on:
            ink = "on_accent" if enabled else "text3"
            draw_icon(painter, "check", box.adjusted(1.5, 1.5, -1.5, -1.5), ink)
        if self.hasFocus():
            painter.setPen(QPen(color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            ring = box.adjusted(-1.5, -1.5, 1.5, 1.5) if not on else box.adjusted(-2, -2, 2, 2)
            painter.drawRoundedRect(ring.intersected(QRectF(self.rect())), 5, 5)
        painter.setPen(color("text" if enabled else "text3"))
        painter.drawText(
            QRectF(_SIDE + 10, 0, self.width(), self.height()),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
            self.text().replace("&", ""),
        )

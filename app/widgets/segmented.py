"""Two to four choices side by side; arrow keys move between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import color, control_height, font, tokens
from app.widgets.frame import State


class Segmented(QWidget):
    """A row of segments of which one is chosen.

    Signals:
        edited: the value chosen by the person.
    """

    edited = Signal(object)

    def __init__(self, choices: Sequence[tuple[Any, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = list(choices)
        self._value: Any = None
        self._state: State = "rest"
        self._hovered = -1
        self._disabled: dict[Any, str] = {}
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def set_disabled(self, reasons: Mapping[Any, str]) -> None:
        """Grey these choices; their reasons are the tooltip."""
        self._disabled = dict(reasons)
        labels = dict(self._choices)
        self.setToolTip("\n".join(f"{labels[v]}: {reason}" for v, reason in reasons.items()))
        self.update()

    def value(self) -> Any:
        """The chosen value."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Choose a value; one that is no choice leaves all segments off."""
        self._value = value
        self.setAccessibleDescription(dict(self._choices).get(value, str(value)))
        self.update()

    def set_inherited(self, _text: str) -> None:
        """Segments always say what applies."""

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        self._state = state
        self.update()

    def _widths(self) -> list[int]:
        metrics = QFontMetrics(font(bold=True))
        return [metrics.horizontalAdvance(label) + 24 for _, label in self._choices]

    def _at(self, x: float) -> int:
        edge = 1
        for i, width in enumerate(self._widths()):
            edge += width
            if x < edge:
                return i
        return len(self._choices) - 1

    def _choose(self, index: int) -> None:
        value = self._choices[index][0]
        if value != self._value and value not in self._disabled:
            self.set_value(value)
            self.edited.emit(value)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the segment under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self._at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse for the hover color."""
        self._hovered = self._at(event.position().x())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the hovered segment."""
        self._hovered = -1
        self.update()
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right move the choice."""
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1}
        move = moves.get(Qt.Key(event.key()))
        if move is None or event.modifiers() & Qt.KeyboardModifier.AltModifier:
            super().keyPressEvent(event)
            return
        values = [value for value, _ in self._choices]
        here = values.index(self._value) if self._value in values else -move
        self._choose(min(max(here + move, 0), len(values) - 1))

    def sizeHint(self) -> QSize:
        """All segments with their words."""
        return QSize(sum(self._widths()) + 2, control_height())

    def minimumSizeHint(self) -> QSize:
        """The same: words are never cut."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the ground, the chosen segment and the words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        edge = {"error": "error", "warn": "warn"}.get(self._state, "field")
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(color(edge), 1))
        painter.setBrush(color("sunken"))
        painter.drawRoundedRect(box, 5, 5)
        x = 1.0
        for i, ((value, label), width) in enumerate(
            zip(self._choices, self._widths(), strict=True)
        ):
            rect = QRectF(x, 0, width, self.height())
            chosen = value == self._value
            if chosen:
                wide = 2 if self.hasFocus() else 1.5
                painter.setPen(QPen(color("accent"), wide))
                painter.setBrush(color("hover" if tokens().dark else "raised"))
                painter.drawRoundedRect(rect.adjusted(0, 1, 0, -1), 5, 5)
            painter.setFont(font(bold=chosen))
            hot = chosen or i == self._hovered
            off = not self.isEnabled() or value in self._disabled
            painter.setPen(color("text3" if off else "text" if hot else "text2"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, label)
            x += width

"""One of several painted places, chosen by mouse or arrow keys: what rail and tabs share."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget


class Chooser(QWidget):
    """Keeps which place is chosen and which is under the mouse.

    A subclass says what there is (`keys`), which place lies at a point (`place_at`), and paints.
    `before` and `after` are the keys that move to the neighbors.

    Signals:
        chosen: key of the place chosen by the person.
    """

    chosen = Signal(str)

    def __init__(self, before: Qt.Key, after: Qt.Key, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._moves = {before: -1, after: 1}
        self._current = ""
        self._hovered = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def keys(self) -> list[str]:
        """The places in order."""
        return []

    def place_at(self, _point: QPointF) -> int:
        """Number of the place at a point, -1 for none."""
        return -1

    def describe(self) -> None:
        """Tell screen readers which place is chosen."""

    @property
    def current(self) -> str:
        """Key of the chosen place."""
        return self._current

    def set_current(self, key: str) -> None:
        """Choose a place without a signal."""
        if key != self._current:
            self._current = key
            self.describe()
            self.update()

    def _choose(self, index: int) -> None:
        keys = self.keys()
        if 0 <= index < len(keys):
            self.set_current(keys[index])
            self.chosen.emit(self._current)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the place under the mouse."""
        self._choose(self.place_at(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse for the hover color."""
        self._hovered = self.place_at(event.position())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the hovered place."""
        self._hovered = -1
        self.update()
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move to a neighbor."""
        move = self._moves.get(Qt.Key(event.key()))
        keys = self.keys()
        if move is None or event.modifiers() & Qt.KeyboardModifier.AltModifier or not keys:
            super().keyPressEvent(event)
            return
        self._choose(keys.index(self._current) + move)

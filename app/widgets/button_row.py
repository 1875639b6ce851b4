"""Buttons in a row that give up their words, last ones first, before they ask for more room."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.widgets.button import Button

_GAP = 6


class RowButton(Button):
    """A button that can be its icon alone; the word is then its tooltip."""

    def __init__(self, text: str, role: str = "secondary", icon: str = "") -> None:
        self._words = text
        self._is_short = False
        super().__init__(text, role, icon)  # type: ignore[arg-type]
        self.setAccessibleName(text)

    def setText(self, text: str) -> None:
        """Set the word, shown or not."""
        if text != self._words:
            self._words = text
            self.setAccessibleName(text)
            self._show_words()

    def set_short(self, short: bool) -> None:
        """Show the icon alone, or the word too."""
        if short != self._is_short:
            self._is_short = short
            self._show_words()

    def width_with(self, short: bool) -> int:
        """Its width as icon alone, or with the word.

        Asked by size hints, so nothing may change here: a changed text asks for a new layout,
        which asks for the size hints again, for ever.
        """
        return self.width_of("" if short else self._words)

    def _show_words(self) -> None:
        super().setText("" if self._is_short else self._words)
        self.setToolTip(self._words if self._is_short else "")
        self.updateGeometry()


class ButtonRow(QWidget):
    """Buttons at the left and at the right of a row."""

    def __init__(
        self, left: Sequence[RowButton], right: Sequence[RowButton], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._buttons = [*left, *right]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(_GAP)
        for button in left:
            layout.addWidget(button)
        layout.addStretch(1)
        for button in right:
            layout.addWidget(button)
        for button in self._buttons:
            button.installEventFilter(self)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """All words shown."""
        height = max(button.sizeHint().height() for button in self._buttons)
        return QSize(self._width(set()), height)

    def minimumSizeHint(self) -> QSize:
        """All that have an icon without their word."""
        return QSize(self._width(set(self._buttons)), self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Drop or bring back words."""
        super().resizeEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A button that comes or goes changes the room of the others."""
        if event.type() in (QEvent.Type.ShowToParent, QEvent.Type.HideToParent):
            self._fit()
            self.updateGeometry()
        return False

    def _width(self, short: set[RowButton]) -> int:
        shown = [button for button in self._buttons if not button.isHidden()]
        widths = (button.width_with(button in short) for button in shown)
        return sum(widths) + _GAP * max(0, len(shown) - 1)

    def _fit(self) -> None:
        short: set[RowButton] = set()
        for button in reversed(self._buttons):
            if self._width(short) <= self.width():
                break
            if button.role != "primary":
                short.add(button)
        for button in self._buttons:
            button.set_short(button in short)

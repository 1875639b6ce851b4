"""A line over the work area or form that says something and offers an act; never modal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.theme import color
from app.widgets.button import Button, IconButton
from app.widgets.label import Label
from app.widgets.message import Icon

Kind = Literal["info", "warning", "error"]
_LOOK = {
    "info": ("window", "eye", "text2"),
    "warning": ("warn_soft", "warn", "warn"),
    "error": ("error_soft", "error", "error"),
}


class Notice(QWidget):
    """Icon, words, acts, and a cross.

    Signals:
        closed: it was dismissed, by the cross or by an act.
    """

    closed = Signal()

    def __init__(
        self,
        text: str,
        kind: Kind = "info",
        acts: Sequence[tuple[str, Callable[[], object]]] = (),
        parent: QWidget | None = None,
        *,
        can_close: bool = True,
    ) -> None:
        super().__init__(parent)
        self._ground, icon, token = _LOOK[kind]
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 4, 10, 5)
        row.setSpacing(10)
        row.addWidget(Icon(icon, token, 16, self))
        self.label = Label(text, "text" if kind != "info" else "text2", 0.92, self)
        self.label.setWordWrap(True)
        row.addWidget(self.label, 1)
        self.buttons: list[Button] = []
        for words, act in acts:
            button = Button(words, "link", parent=self)
            button.clicked.connect(lambda _=False, a=act: self._do(a))
            row.addWidget(button)
            self.buttons.append(button)
        if can_close:
            cross = IconButton("close", self.tr("Dismiss"), self, side=26)
            cross.clicked.connect(self.closed)
            row.addWidget(cross)

    def _do(self, act: Callable[[], object]) -> None:
        act()
        self.closed.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and lower line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color(self._ground))
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), color("line"))

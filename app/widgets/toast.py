"""A notice at the lower left that goes by itself; only for what can be undone or needs no act."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QRectF, QTimer
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QWidget

from app.theme import color
from app.widgets.button import Button, IconButton
from app.widgets.label import Label
from app.widgets.message import Icon

SECONDS = 6


class Toast(QWidget):
    """One toast over `host`; a new one takes the place of the former."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self._act: Callable[[], object] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 4, 8, 4)
        row.setSpacing(10)
        self._icon = Icon("check", "accent", 16, self)
        row.addWidget(self._icon)
        self.label = Label("", parent=self)
        row.addWidget(self.label)
        self.button = Button("", "link", parent=self)
        self.button.clicked.connect(self._on_act)
        row.addWidget(self.button)
        cross = IconButton("close", self.tr("Dismiss"), self, side=26)
        cross.clicked.connect(self.hide)
        row.addWidget(cross)
        self._timer = QTimer(self, interval=SECONDS * 1000, singleShot=True)
        self._timer.timeout.connect(self._on_time)
        host.installEventFilter(self)
        self.hide()

    def say(
        self, text: str, act_words: str = "", act: Callable[[], object] | None = None,
        *, trouble: bool = False,
    ) -> None:  # fmt: skip
        """Show a sentence, with an act such as Undo; trouble stays twice as long."""
        self.label.setText(text)
        self._icon.set_icon("warn" if trouble else "check", "warn" if trouble else "accent")
        self._act = act
        self.button.setText(act_words)
        self.button.setVisible(act is not None)
        self.button.updateGeometry()
        self.setAccessibleName(text)
        self._timer.start(SECONDS * (2000 if trouble else 1000))
        self.show()
        self._place()
        self.raise_()

    def _on_act(self) -> None:
        self.hide()
        if self._act is not None:
            self._act()

    def _on_time(self) -> None:
        if self.underMouse():
            self._timer.start()
        else:
            self.hide()

    def _place(self) -> None:
        self.label.setWordWrap(False)
        room = self._host.width() - 40
        if self.sizeHint().width() > room:
            self.label.setWordWrap(True)
        self.resize(min(self.sizeHint().width(), room), self.sizeHint().height())
        self.move(20, self._host.height() - self.height() - 16)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the corner."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and edge."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color("field"), 1))
        painter.setBrush(color("raised"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)

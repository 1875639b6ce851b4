"""A notice at the lower left that goes by itself; only for what can be undone or needs no act."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, QTimer
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QWidget

from app.theme import color, control_height
from app.widgets.button import Button, IconButton
from app.widgets.label import Label
from app.widgets.message import Icon

SECONDS = 6
_FROM_BELOW, _FROM_LEFT = 16, 20
_FOOT = 32  # what a dialog has round the buttons at its foot


class Toast(QWidget):
    """One toast over `host`; a new one takes the place of the former.

    A dialog that lies over its place carries it meanwhile: it would not be seen below.
    """

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = self._carrier = host
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
        cross.clicked.connect(self._dismiss)
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
        self._move_to(self._host)
        self._place()
        self._move_to(self._dialog_above() or self._host)
        self.show()
        self._place()
        self.raise_()

    def _dismiss(self) -> None:
        self._timer.stop()
        self.hide()

    def _on_act(self) -> None:
        self._dismiss()
        if self._act is not None:
            self._act()

    def _on_time(self) -> None:
        if self.underMouse():
            self._timer.start()
        else:
            self.hide()

    def _dialog_above(self) -> QDialog | None:
        """The dialog of this window that lies over the toast's place; the active one first."""
        place = QRect(self.mapToGlobal(QPoint(0, 0)), self.size())
        dialogs = [
            dialog
            for dialog in self._host.window().findChildren(QDialog)
            if dialog.isVisible() and dialog.isWindow() and dialog.frameGeometry().intersects(place)
        ]
        active = QApplication.activeWindow()
        return next((d for d in dialogs if d is active), dialogs[-1] if dialogs else None)

    def _move_to(self, carrier: QWidget) -> None:
        if carrier is not self._carrier:
            if self._carrier is not self._host:
                self._carrier.removeEventFilter(self)
            self._carrier = carrier
            self.setParent(carrier)
            carrier.installEventFilter(self)

    def _place(self) -> None:
        self.label.setWordWrap(False)
        room = self._carrier.width() - 2 * _FROM_LEFT
        if self.sizeHint().width() > room:
            self.label.setWordWrap(True)
        self.resize(min(self.sizeHint().width(), room), self.sizeHint().height())
        below = _FROM_BELOW if self._carrier is self._host else control_height() + _FOOT
        self.move(_FROM_LEFT, self._carrier.height() - self.height() - below)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay at the corner; leave a dialog that goes."""
        if watched is self._carrier and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        leaves = watched is self._carrier and watched is not self._host
        if leaves and event.type() == QEvent.Type.Hide:
            self._move_to(self._host)
            if self._timer.isActive():
                self._place()
                self.show()
                self.raise_()
        return super().eventFilter(watched, event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and edge."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color("field"), 1))
        painter.setBrush(color("raised"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)

"""The frame of every field: edge and ground in all states, around a line that paints none."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSizePolicy, QWidget

from app.theme import control_height, tokens

State = Literal["rest", "warn", "error"]


def paint_field(
    painter: QPainter, rect: QRectF, state: State, *, focus: bool, hover: bool, enabled: bool = True
) -> None:
    """Paint a field's ground and edge (spec: look 6); combos and fields share it."""
    t = tokens()
    edge, width = t.field, 1.0
    if not enabled:
        edge = t.line
    elif state == "error":
        edge, width = t.error, 2.0
    elif focus:
        edge, width = t.accent, 2.0
    elif state == "warn":
        edge = t.warn
    elif hover:
        edge = t.text
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(t.fill if enabled else t.panel))
    painter.setPen(QPen(QColor(edge), width))
    half = width / 2
    painter.drawRoundedRect(rect.adjusted(half, half, -half, -half), 4, 4)


class Frame(QWidget):
    """A row of widgets inside a painted edge; focus of any child is the frame's."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state: State = "rest"
        self._focus = False
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(10, 1, 3, 1)
        self.row.setSpacing(2)

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        if state != self._state:
            self._state = state
            self.update()

    @property
    def state(self) -> State:
        """How the field is marked."""
        return self._state

    def watch(self, child: QWidget) -> None:
        """Show the frame in focus while `child` has it."""
        child.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the children's focus."""
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self._focus = event.type() == QEvent.Type.FocusIn
            self.update()
        return super().eventFilter(watched, event)

    def sizeHint(self) -> QSize:
        """As high as a control."""
        return QSize(super().sizeHint().width(), control_height())

    def minimumSizeHint(self) -> QSize:
        """As high as a control, as narrow as its parts allow."""
        return QSize(min(super().minimumSizeHint().width(), 90), control_height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and edge."""
        painter = QPainter(self)
        rect = QRectF(self.rect())
        paint_field(
            painter, rect, self._state,
            focus=self._focus, hover=self.underMouse(), enabled=self.isEnabled(),
        )  # fmt: skip


class Line(QLineEdit):
    """A line without frame or ground of its own, for use inside a `Frame`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrame(False)
        self.setTextMargins(0, 0, 0, 0)
        self._clear_ground()

    def _clear_ground(self) -> None:
        palette = self.palette()
        clear = QColor(0, 0, 0, 0)
        if palette.color(QPalette.ColorRole.Base) != clear:
            palette.setColor(QPalette.ColorRole.Base, clear)
            self.setPalette(palette)

    def minimumSizeHint(self) -> QSize:
        """May shrink to a few letters."""
        return QSize(24, super().minimumSizeHint().height())

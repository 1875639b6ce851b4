"""The box beside the mouse on the chart."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app import theme


class ReadOut(QWidget):
    """The box beside the mouse: a step and the value of every line there."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.index: int | None = None
        self._title = ""
        self._rows: list[tuple[str, str, str]] = []
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def fill(self, title: str, rows: list[tuple[str, str, str]]) -> None:
        """Rows of token, name and value."""
        self._title, self._rows = title, rows
        self.setFont(theme.font(theme.SMALL))
        line = self.fontMetrics().height() + 4
        widest = max(self.fontMetrics().horizontalAdvance(name) for _, name, _ in rows)
        self.resize(widest + 110, line * (len(rows) + 1) + 14)
        self.update()

    def place(self, mouse: QPointF) -> None:
        """Beside the mouse, inside the chart."""
        parent = self.parentWidget()
        if parent is None:
            return
        x = mouse.x() + 14
        if x + self.width() > parent.width():
            x = mouse.x() - self.width() - 14
        y = min(max(4.0, mouse.y() - 20), max(4.0, parent.height() - self.height() - 4))
        self.move(round(x), round(y))
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the box."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(theme.color("field"))
        painter.setBrush(theme.color("raised"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        line = self.fontMetrics().height() + 4
        painter.setFont(theme.font(theme.SMALL, bold=True))
        painter.setPen(theme.color("text"))
        painter.drawText(QRectF(10, 6, self.width(), line), Qt.AlignmentFlag.AlignVCenter,
                         self._title)  # fmt: skip
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        for number, (token, name, value) in enumerate(self._rows, 1):
            y = 6 + number * line
            painter.fillRect(QRectF(10, y + line / 2 - 1.5, 10, 3), QColor(theme.color(token)))
            painter.setFont(theme.font(theme.SMALL))
            painter.setPen(theme.color("text"))
            spot = QRectF(27, y, self.width(), line)
            painter.drawText(spot, Qt.AlignmentFlag.AlignVCenter, name)
            painter.setFont(theme.font(theme.SMALL, bold=True))
            painter.drawText(QRectF(0, y, self.width() - 10, line), right, value)

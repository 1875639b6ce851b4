"""An entry of the chart's legend, which hides and shows its line."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import QAbstractButton, QSizePolicy

from app import theme


class ChartKey(QAbstractButton):
    """A legend entry; a click hides or shows its line."""

    def __init__(self, text: str, token: str) -> None:
        super().__init__()
        self._token = token
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setAccessibleName(text)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """From the text."""
        self.setFont(theme.font(theme.SMALL))
        return QSize(self.fontMetrics().horizontalAdvance(self.text()) + 22, 24)

    def paintEvent(self, event: QPaintEvent) -> None:
        """A diamond for validation, a line for the others; pale when hidden."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        painter.setOpacity(1.0 if self.isChecked() else 0.4)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color(self._token))
        if self._token == "validation":
            r = 5.0
            points = [QPointF(7, middle - r), QPointF(7 + r, middle), QPointF(7, middle + r)]
            painter.drawPolygon(QPolygonF([*points, QPointF(7 - r, middle)]))
        else:
            painter.drawRoundedRect(QRectF(0, middle - 1.5, 14, 3), 1.5, 1.5)
        painter.setPen(theme.color("text"))
        painter.drawText(
            QRectF(19, 0, self.width(), self.height()), Qt.AlignmentFlag.AlignVCenter, self.text()
        )
        if self.hasFocus():
            painter.setOpacity(1)
            painter.setPen(theme.color("accent"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)

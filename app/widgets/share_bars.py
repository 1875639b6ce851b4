"""Rows of name, bar and number: where the parameters go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import SMALL, font, tokens


@dataclass(frozen=True)
class Row:
    """One row; `value` draws the bar, `text` stands at its right."""

    name: str
    value: float
    text: str


class ShareBars(QWidget):
    """Bars on one scale, the longest as wide as there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[Row, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Draw other rows."""
        if tuple(rows) != self._rows:
            self._rows = tuple(rows)
            self.setAccessibleName("; ".join(f"{row.name} {row.text}" for row in rows))
            self.updateGeometry()
            self.update()

    def _line(self) -> int:
        return self.fontMetrics().height() + 14

    def sizeHint(self) -> QSize:
        return QSize(260, self._line() * max(len(self._rows), 1))

    def minimumSizeHint(self) -> QSize:
        return QSize(180, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font(SMALL))
        metrics = painter.fontMetrics()
        names = max((metrics.horizontalAdvance(r.name) for r in self._rows), default=0) + 16
        painter.setFont(font(SMALL, bold=True))
        texts = max(
            (painter.fontMetrics().horizontalAdvance(r.text) for r in self._rows), default=0
        )
        most = max((r.value for r in self._rows), default=0) or 1
        room = max(self.width() - names - texts - 16, 10)
        middle = Qt.AlignmentFlag.AlignVCenter
        for i, row in enumerate(self._rows):
            line = QRectF(0, i * self._line(), self.width(), self._line())
            painter.setFont(font(SMALL))
            painter.setPen(QColor(tokens().text2))
            painter.drawText(line, Qt.AlignmentFlag.AlignLeft | middle, row.name)
            painter.setFont(font(SMALL, bold=True))
            painter.setPen(QColor(tokens().text if row.value else tokens().text3))
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | middle, row.text)
            if row.value:
                bar = QRectF(names, line.center().y() - 4, max(room * row.value / most, 2), 8)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(tokens().accent))
                painter.drawRoundedRect(bar, 2, 2)

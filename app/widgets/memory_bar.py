"""The memory at its peak: one stacked bar against what the device has, and its parts below."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import SMALL, TICK, font, tokens
from app.words import size_words
from engine.plan.memory import MemoryEstimate

_BAR_PX = 16


class MemoryBar(QWidget):
    """Draws a `MemoryEstimate`; `available_bytes` 0 means: not known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._estimate: MemoryEstimate | None = None
        self._available = 0
        self._device = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_estimate(
        self, estimate: MemoryEstimate, available_bytes: int = 0, device: str = ""
    ) -> None:
        """Draw another estimate."""
        self._estimate, self._available, self._device = estimate, available_bytes, device
        self.setAccessibleName("; ".join(f"{name} {text}" for name, text in self._texts()))
        self.updateGeometry()
        self.update()

    def _texts(self) -> list[tuple[str, str]]:
        if self._estimate is None:
            return []
        rows = [(part.name, size_words(part.low)) for part in self._estimate.parts]
        spread = self._estimate.high - self._estimate.low
        return [*rows, (self.tr("Estimate may be low by"), size_words(spread))]

    def _line(self) -> int:
        return self.fontMetrics().height() + 8

    def sizeHint(self) -> QSize:
        return QSize(260, _BAR_PX + 26 + self._line() * max(len(self._texts()), 1))

    def minimumSizeHint(self) -> QSize:
        return QSize(180, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()

    def _colors(self) -> list[QColor]:
        t = tokens()
        names = [t.text3, t.accent, t.ramp[2], t.field, t.conv, t.text2]
        return [QColor(name) for name in names]

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._estimate is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = max(self._available, self._estimate.high * 1.05)
        bar = QRectF(0, 0, self.width(), _BAR_PX)
        clip = QPainterPath()
        clip.addRoundedRect(bar, 3, 3)
        painter.save()
        painter.setClipPath(clip)
        painter.fillRect(bar, QColor(tokens().sunken))
        x = 0.0
        colors = self._colors()
        for part, ink in zip(self._estimate.parts, colors, strict=False):
            width = self.width() * part.low / whole
            painter.fillRect(QRectF(x, 0, width, _BAR_PX), ink)
            x += width
        spread = self.width() * (self._estimate.high - self._estimate.low) / whole
        self._hatch(painter, QRectF(x, 0, spread, _BAR_PX))
        painter.restore()
        painter.setPen(QPen(QColor(tokens().line), 1))
        painter.drawRoundedRect(bar.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
        painter.setFont(font(TICK))
        painter.setPen(QColor(tokens().text3))
        scale = QRectF(0, _BAR_PX + 2, self.width(), 18)
        painter.drawText(scale, Qt.AlignmentFlag.AlignLeft, "0")
        end = size_words(self._available) if self._available else size_words(whole)
        words = f"{self._device}, {end}" if self._device else end
        painter.drawText(scale, Qt.AlignmentFlag.AlignRight, words)
        self._paint_rows(painter)

    def _hatch(self, painter: QPainter, area: QRectF) -> None:
        painter.save()
        painter.setClipRect(area)
        painter.setPen(QPen(QColor(tokens().field), 1))
        x = area.left() - area.height()
        while x < area.right():
            painter.drawLine(int(x), int(area.bottom()), int(x + area.height()), int(area.top()))
            x += 5
        painter.restore()

    def _paint_rows(self, painter: QPainter) -> None:
        top = _BAR_PX + 24.0
        rows, colors = self._texts(), self._colors()
        middle = Qt.AlignmentFlag.AlignVCenter
        for i, (name, text) in enumerate(rows):
            line = QRectF(0, top + i * self._line(), self.width(), self._line())
            box = QRectF(0, line.center().y() - 5, 10, 10)
            if i < len(rows) - 1 and i < len(colors):
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colors[i])
                painter.drawRoundedRect(box, 2, 2)
            else:
                self._hatch(painter, box)
            painter.setFont(font(SMALL))
            painter.setPen(QColor(tokens().text2))
            painter.drawText(line.adjusted(20, 0, 0, 0), Qt.AlignmentFlag.AlignLeft | middle, name)
            painter.setFont(font(SMALL, bold=True))
            painter.setPen(QColor(tokens().text))
            painter.drawText(line, Qt.AlignmentFlag.AlignRight | middle, text)

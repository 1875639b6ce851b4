"""The memory at its peak: one stacked bar against what the device has, and its parts below."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import SMALL, TICK, font, tokens
from app.words import size_words
from engine.plan.memory import MemoryPart

_BAR_PX = 16


class MemoryBar(QWidget):
    """Draws the parts of an estimate; `available_bytes` 0 means: not known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: tuple[MemoryPart, ...] = ()
        self._available = 0
        self._device = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_parts(
        self, parts: Sequence[MemoryPart], available_bytes: int = 0, device: str = ""
    ) -> None:
        """Draw other parts: those that are there together at the peak."""
        self._parts, self._available, self._device = tuple(parts), available_bytes, device
        self.setAccessibleName("; ".join(f"{name} {text}" for name, text in self._texts()))
        self.updateGeometry()
        self.update()

    def _texts(self) -> list[tuple[str, str]]:
        if not self._parts:
            return []
        rows = [(part.name, size_words(part.low)) for part in self._parts]
        return [*rows, (self.tr("Estimate may be low by"), size_words(self._spread()))]

    def _spread(self) -> int:
        return sum(part.high - part.low for part in self._parts)

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
        """One for each part, the same in every plan; what the adapter brings is green."""
        t = tokens()
        known = {
            "picture model": t.text3, "blocks on their way": t.scroll, "text encoder": t.smoothed,
            "T5": t.raw, "VAE": t.validation, "encoding pictures": t.warn, "adapters": t.accent,
            "gradients": t.ramp[2], "optimizer": t.ramp[1], "EMA": t.ramp[3],
            "activations": t.conv, "driver and PyTorch": t.field,
        }  # fmt: skip
        return [QColor(known.get(part.name, t.text2)) for part in self._parts]

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._parts:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = max(self._available, 1.05 * sum(part.high for part in self._parts))
        bar = QRectF(0, 0, self.width(), _BAR_PX)
        clip = QPainterPath()
        clip.addRoundedRect(bar, 3, 3)
        painter.save()
        painter.setClipPath(clip)
        painter.fillRect(bar, QColor(tokens().sunken))
        x = 0.0
        colors = self._colors()
        for part, ink in zip(self._parts, colors, strict=True):
            width = self.width() * part.low / whole
            painter.fillRect(QRectF(x, 0, width, _BAR_PX), ink)
            x += width
        spread = self.width() * self._spread() / whole
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
        if self._available and self._available < whole:  # too much: say where the device ends
            x = self.width() * self._available / whole
            painter.setPen(QPen(QColor(tokens().error), 2))
            painter.drawLine(round(x), 0, round(x), _BAR_PX + 4)
            width = painter.fontMetrics().horizontalAdvance(words) + 4
            scale.moveLeft(min(max(x - width / 2, 12), self.width() - width))
            painter.drawText(scale, Qt.AlignmentFlag.AlignLeft, words)
        else:
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
            if i < len(colors):
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

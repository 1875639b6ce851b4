"""The buckets as they will be: a bar for each shape, as high as it has samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.theme import TICK, color, font, tokens


@dataclass(frozen=True)
class Bucket:
    """A bucket's size in pixels, its pictures, and the mean share of a picture that is cut off."""

    width: int
    height: int
    pictures: int
    crop_loss: float = 0.0

    @property
    def size(self) -> str:
        """Its sides, short."""
        return f"{self.width}×{self.height}"

    @property
    def words(self) -> str:
        """What it is, for tooltips and screen readers."""
        loss = f", {self.crop_loss:.0%} cut off" if self.crop_loss >= 0.005 else ""
        return f"{self.width} × {self.height}: {self.pictures}{loss}"


class BucketBars(QWidget):
    """Bars from upright to wide, the outline of the shape below each."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._buckets: tuple[Bucket, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_buckets(self, buckets: Sequence[Bucket]) -> None:
        """Draw other buckets."""
        self._buckets = tuple(sorted(buckets, key=lambda b: b.width / b.height))
        self.setAccessibleName(self.tr("Buckets"))
        self.setAccessibleDescription("; ".join(b.words for b in self._buckets))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(240, 118)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 118)

    def _column(self, index: int) -> QRectF:
        metrics = QFontMetrics(font(TICK))
        widest = max(metrics.horizontalAdvance(bucket.size) for bucket in self._buckets)
        width = min(self.width() / len(self._buckets), max(56, widest + 6))
        return QRectF(index * width, 0, width, self.height())

    def event(self, event: QEvent) -> bool:
        """Name the bucket under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            for index, bucket in enumerate(self._buckets):
                if self._column(index).contains(QPointF(event.pos())):
                    QToolTip.showText(event.globalPos(), bucket.words, self)
                    return True
            QToolTip.hideText()
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._buckets:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        most = max(b.pictures for b in self._buckets)
        floor = self.height() - 40.0
        for index, bucket in enumerate(self._buckets):
            column = self._column(index)
            height = max((floor - 18) * bucket.pictures / max(most, 1), 2)
            bar = QRectF(column.center().x() - 9, floor - height, 18, height)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color("accent"))
            painter.drawRoundedRect(bar, 2, 2)
            painter.setFont(font(TICK))
            painter.setPen(QColor(tokens().text2))
            number = QRectF(column.left(), bar.top() - 17, column.width(), 15)
            painter.drawText(number, Qt.AlignmentFlag.AlignCenter, str(bucket.pictures))
            self._paint_shape(painter, bucket, column, floor)

    def _paint_shape(self, painter: QPainter, bucket: Bucket, column: QRectF, floor: float) -> None:
        longest = max(bucket.width, bucket.height)
        shape = QRectF(0, 0, 16 * bucket.width / longest, 16 * bucket.height / longest)
        shape.moveCenter(QPointF(column.center().x(), floor + 12))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(tokens().field), 1.2))
        painter.drawRect(shape)
        painter.setPen(QColor(tokens().text3))
        words = QRectF(column.left() - 2, floor + 23, column.width() + 4, 15)
        if painter.fontMetrics().horizontalAdvance(bucket.size) <= words.width():
            painter.drawText(words, Qt.AlignmentFlag.AlignCenter, bucket.size)

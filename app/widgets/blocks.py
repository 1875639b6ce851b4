"""The block editor: a bar for each block, painted by the mouse or the keyboard.

Linear and 1×1 modules stand above the axis, 3×3 convolutions hang below it, on one scale. The
widget knows values and block names, nothing of jobs; `app.plan_page` binds it to one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.block_values import LayerName, Side, clipped, limits, line, text_of
from app.theme import TICK, font, tokens
from app.widgets.block_geometry import (
    AXIS_PX,
    LEFT_PX,
    TOP_PX,
    Bars,
    BlockGeometry,
    top_value,
)
from engine.schema.architectures import BlockName


class BlockEditor(QWidget):
    """Bars for every block.

    Signals:
        edited(side, values): a stroke changed the side's values; sent while dragging too.
        stroke_finished(): the mouse was released or a key was pressed: one undo step ends here.
        pointed(index): the block under the mouse or the cursor; -1 for none.
    """

    edited = Signal(str, list)
    stroke_finished = Signal()
    pointed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._blocks: tuple[BlockName, ...] = ()
        self._layer: LayerName = "rank"
        self._sides: dict[Side, Bars] = {}
        self._at = -1
        self._side: Side = "linear"
        self._stroke: tuple[Side, int, float] | None = None  # where a stroke began
        self._typed = ""
        self._scale_held: float | None = None  # the axis must not move under a stroke
        self._read_only = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Values of each block"))

    # --- what it shows -------------------------------------------------------------------------

    def show_layer(
        self, blocks: Sequence[BlockName], layer: LayerName, sides: dict[Side, Bars]
    ) -> None:
        """Show a layer; `sides` has "linear" and, where the layer has two, "conv"."""
        self._blocks = tuple(blocks)
        self._layer = layer
        self._sides = dict(sides)
        self._at = min(self._at, len(blocks) - 1)
        if self._side not in sides:
            self._side = "linear"
        self._describe()
        self.update()

    def set_read_only(self) -> None:
        """Only show: bars can be pointed at, and not be changed."""
        self._read_only = True

    def values(self, side: Side) -> list[float]:
        """The side's present values."""
        return list(self._sides[side].values)

    @property
    def current(self) -> tuple[Side, int]:
        """Side and block the cursor is on; index -1 for none."""
        return self._side, self._at

    def sizeHint(self) -> QSize:
        return QSize(60 + 26 * max(len(self._blocks), 20), 300)

    def minimumSizeHint(self) -> QSize:
        return QSize(40 + 13 * max(len(self._blocks), 20), 210 if "conv" in self._sides else 150)

    def _geometry(self) -> BlockGeometry:
        top = self._scale_held or top_value(self._layer, self._sides)
        return BlockGeometry(
            self._blocks, self._layer, self._sides, self.width(), self.height(), top
        )

    # --- editing -------------------------------------------------------------------------------

    def _put(self, side: Side, values: Sequence[float]) -> None:
        if self._read_only:
            return
        bars = self._sides[side]
        kept = tuple(
            clipped(self._layer, v) if on else old
            for v, on, old in zip(values, bars.live, bars.values, strict=True)
        )
        if kept != bars.values:
            self._sides[side] = Bars(kept, bars.live)
            self.edited.emit(side, list(kept))
            self._describe()
            self.update()

    def _set_one(self, side: Side, index: int, value: float) -> None:
        values = self.values(side)
        values[index] = value
        self._put(side, values)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        side, index = self._geometry().hit(event.position())
        if index < 0 or not self._sides:
            return
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if self._read_only:
            self._move_to(side, index)
            return
        self._scale_held = top_value(self._layer, self._sides)
        right = event.button() == Qt.MouseButton.RightButton
        value = 0.0 if right else self._geometry().value_at(side, event.position().y())
        self._move_to(side, index)
        self._stroke = (side, index, value)
        self._set_one(side, index, value)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        side, index = self._geometry().hit(event.position())
        if self._stroke is None:
            self._move_to(side, index)
            return
        side, start, start_value = self._stroke
        if index < 0:
            return
        erase = bool(event.buttons() & Qt.MouseButton.RightButton)
        value = 0.0 if erase else self._geometry().value_at(side, event.position().y())
        modifiers = event.modifiers()
        live = self._sides[side].live
        if modifiers & Qt.KeyboardModifier.AltModifier:
            self._set_one(side, start, value)
            return
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            drawn = line(self.values(side), live, (start, start_value), (index, value))
        else:
            drawn = line(self.values(side), live, (max(self._at, 0), value), (index, value))
        self._move_to(side, index)
        self._put(side, drawn)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._stroke is not None:
            self._stroke = None
            self._scale_held = None
            self.stroke_finished.emit()
            self.update()

    def contextMenuEvent(self, event: object) -> None:
        """A right drag erases; there is no menu."""

    def leaveEvent(self, event: object) -> None:
        if not self.hasFocus() and self._stroke is None:
            self._move_to(self._side, -1)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if not self.hasFocus() or self._at < 0 or self._read_only:
            event.ignore()
            return
        self._nudge(1 if event.angleDelta().y() > 0 else -1)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        keys = Qt.Key
        if key in (keys.Key_Left, keys.Key_Right):
            step = -1 if key == keys.Key_Left else 1
            self._move_to(self._side, min(max(self._at + step, 0), len(self._blocks) - 1))
        elif key in (keys.Key_Up, keys.Key_Down):
            self._nudge(1 if key == keys.Key_Up else -1)
        elif key in (keys.Key_PageUp, keys.Key_PageDown) and self._at >= 0:
            value = self._sides[self._side].values[self._at]
            self._set_one(self._side, self._at, value * 2 if key == keys.Key_PageUp else value / 2)
            self.stroke_finished.emit()
        elif key == keys.Key_Space and "conv" in self._sides:
            self._move_to("conv" if self._side == "linear" else "linear", self._at)
        elif key in (keys.Key_Delete, keys.Key_Backspace) and self._at >= 0:
            self._typed = ""
            self._set_one(self._side, self._at, 0)
            self.stroke_finished.emit()
        elif event.text() and event.text() in "0123456789." and self._at >= 0:
            self._type(event.text())
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: object) -> None:
        if self._at < 0 and self._blocks:
            self._move_to(self._side, 0)
        self.update()

    def focusOutEvent(self, event: object) -> None:
        self._typed = ""
        self.update()

    def _type(self, character: str) -> None:
        self._typed = (self._typed + character)[-6:]
        try:
            value = float(self._typed)
        except ValueError:
            return
        self._set_one(self._side, self._at, value)
        self.stroke_finished.emit()

    def _nudge(self, direction: int) -> None:
        if self._at < 0:
            return
        step = limits(self._layer)[2]
        value = self._sides[self._side].values[self._at] + direction * step
        self._set_one(self._side, self._at, value)
        self.stroke_finished.emit()

    def _move_to(self, side: Side, index: int) -> None:
        if (side, index) != (self._side, self._at):
            self._typed = ""
            self._side, self._at = side, index
            self._describe()
            self.pointed.emit(index)
            self.update()

    def _describe(self) -> None:
        """Say the values to a screen reader; the painted bars say nothing by themselves."""
        parts = [f"{side}: {text_of(bars.values)}" for side, bars in self._sides.items()]
        if 0 <= self._at < len(self._blocks) and self._sides:
            value = self._sides[self._side].values[self._at]
            parts.insert(0, f"{self._blocks[self._at].name} {self._side} {value:g}")
        self.setAccessibleDescription("; ".join(parts))

    # --- painting ------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._blocks or not self._sides:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_scale(painter)
        if self._at >= 0:
            tint = QColor(tokens().text)
            tint.setAlphaF(0.07)
            painter.fillRect(self._geometry().column(self._at).adjusted(0, TOP_PX - 6, 0, -2), tint)
        for side, bars in self._sides.items():
            for index in range(len(self._blocks)):
                self._paint_bar(painter, side, bars, index)
        self._paint_axis(painter)
        if self.hasFocus():
            painter.setPen(QPen(QColor(tokens().accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 5, 5)

    def _paint_scale(self, painter: QPainter) -> None:
        painter.setFont(font(TICK))
        geometry = self._geometry()
        top, base, lower = geometry.top, geometry.base, geometry.shares[1]
        per_value = geometry.px_per_value
        step = top / (4 if self._layer == "lr_weight" else 3 if top % 3 == 0 else 2)
        marks = [(i * step, base - i * step * per_value) for i in range(5)]
        value = step
        while value * per_value <= lower:
            marks.append((value, base + AXIS_PX + value * per_value))
            value += step
        for number, y in marks:
            if y < TOP_PX - 1:
                continue
            painter.setPen(QPen(QColor(tokens().line), 1))
            painter.drawLine(QPointF(LEFT_PX, y), QPointF(self.width() - 4, y))
            painter.setPen(QColor(tokens().text3))
            area = QRectF(0, y - 8, LEFT_PX - 8, 16)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(area, flags, f"{number:g}")

    def _paint_bar(self, painter: QPainter, side: Side, bars: Bars, index: int) -> None:
        rect = self._geometry().bar(side, index)
        if not bars.live[index]:
            self._paint_hatch(painter, side, rect)
            return
        value = bars.values[index]
        color = QColor(tokens().accent if side == "linear" else tokens().conv)
        if value <= 0:
            painter.fillRect(rect, QColor(tokens().field))
        else:
            path = QPainterPath()
            path.addRoundedRect(rect, 2, 2)
            painter.fillPath(path, color)
        inside = rect.height() >= 20 and rect.width() >= 14
        painter.setFont(font(TICK, bold=inside))
        if inside:
            painter.setPen(QColor(tokens().on_accent))
            y = rect.top() + 2 if side == "linear" else rect.bottom() - 17
        else:
            painter.setPen(QColor(tokens().text2))
            y = rect.top() - 16 if side == "linear" else rect.bottom() + 1
        if rect.width() >= 9:
            area = QRectF(rect.center().x() - 20, y, 40, 15)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, f"{value:g}")
        if index == self._at and side == self._side:
            painter.setPen(QPen(QColor(tokens().text), 2))
            y = rect.top() if side == "linear" else rect.bottom()
            painter.drawLine(QPointF(rect.left() - 2, y), QPointF(rect.right() + 2, y))

    def _paint_hatch(self, painter: QPainter, side: Side, rect: QRectF) -> None:
        """Lines drawn in logical pixels: Qt's hatch brush is finer at 200 %."""
        height = 16.0
        top = rect.bottom() - height if side == "linear" else rect.top()
        area = QRectF(rect.left(), top, rect.width(), height)
        painter.save()
        painter.setClipRect(area)
        painter.setPen(QPen(QColor(tokens().field), 1))
        x = area.left() - height
        while x < area.right():
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x + height, area.top()))
            x += 5
        painter.restore()

    def _paint_axis(self, painter: QPainter) -> None:
        base = self._geometry().base
        sizes = Counter(block.part for block in self._blocks)
        for index, block in enumerate(self._blocks):
            column = self._geometry().column(index)
            number = block.name if sizes[block.part] == 1 else block.name[-2:]
            area = QRectF(column.center().x() - 18, base + 3, 36, 17)
            if index == self._at:
                chip = QRectF(column.center().x() - 13, base + 3, 26, 17)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(QColor(tokens().text))
                painter.drawRoundedRect(chip, 4, 4)
                painter.setPen(QColor(tokens().panel))
                painter.setFont(font(TICK, bold=True))
            else:
                painter.setPen(QColor(tokens().text2))
                painter.setFont(font(TICK))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, number)
        words = {
            "IN": self.tr("IN, shallow to deep"),
            "MID": self.tr("MID") if sizes["MID"] > 1 else "",
            "OUT": self.tr("OUT, deep to shallow"),
        }
        for part, text in words.items():
            inside = [i for i, b in enumerate(self._blocks) if b.part == part]
            if inside and text:
                left = self._geometry().column(inside[0]).left()
                right = self._geometry().column(inside[-1]).right()
                self._paint_bracket(
                    painter, QRectF(left + 2, base + 21, right - left - 4, 15), text
                )

    def _paint_bracket(self, painter: QPainter, area: QRectF, text: str) -> None:
        painter.setFont(font(TICK, bold=True))
        width = painter.fontMetrics().horizontalAdvance(text) + 16
        y = area.center().y()
        painter.setPen(QPen(QColor(tokens().field), 1))
        middle = area.center().x()
        for x, end in ((area.left(), middle - width / 2), (area.right(), middle + width / 2)):
            painter.drawLine(QPointF(x, area.top()), QPointF(x, y))
            painter.drawLine(QPointF(x, y), QPointF(end, y))
        painter.setPen(QColor(tokens().text2))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)

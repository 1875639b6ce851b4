"""The adapter map: blocks across, families down, the rank as color; columns can be switched.

It knows a `PlaceMap` and which strips can be chosen from; `app.map_card` binds it to a job.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.place_map import PlaceMap, family_words
from app.theme import SMALL, TICK, color, font, rank_color, tokens

_LABELS_PX, _RANK_PX, _BETWEEN_PX = 124, 34, 16
_LEAST_ROW, _MOST_ROW, _LEAST_PITCH = 20, 30, 4
_PALE_UP_TO = 8  # ranks whose color is under 3:1 to the ground
Spot = tuple[int, int, int]  # strip, row, block


class PlaceMapView(QWidget):
    """Paints a PlaceMap.

    Signals:
        columns_switched(strip, blocks, on): a click or drag chose or left out blocks of a strip.
        stroke_finished(): the mouse was released or a key was pressed: one undo step ends here.
        family_pressed(family): the name of a row was clicked.
        pointed(strip, family, block): the cell under mouse or cursor; strip -1 for none.
    """

    columns_switched = Signal(int, list, bool)
    stroke_finished = Signal()
    family_pressed = Signal(str)
    pointed = Signal(int, str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._map = PlaceMap()
        self._choosable: tuple[bool, ...] = ()
        self._chosen: tuple[tuple[bool, ...], ...] = ()
        self._at: Spot | None = None
        self._left_px = 0
        self._measured: QFont | None = None  # the font of it
        self._stroke: tuple[int, bool, int] | None = None  # strip, on or off, last block
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Adapter map"))

    def show_map(self, found: PlaceMap, chosen: list[list[bool]], choosable: list[bool]) -> None:
        """Show a map; `chosen` has for each strip which blocks its field chooses."""
        self._map, self._choosable = found, tuple(choosable)
        self._measured = None
        self._chosen = tuple(map(tuple, chosen))
        at, self._at = self._at, None
        if at is not None:
            self._point(at if self._is_there(at) else None)  # its figures are others now
        self._describe()
        self.updateGeometry()
        self.update()

    def _is_there(self, spot: Spot) -> bool:
        strip, row, block = spot
        if strip >= len(self._map.strips):
            return False
        found = self._map.strips[strip]
        return row < len(found.families) and block < found.count

    def _words(self, family: str) -> str:
        return family_words(family, self._map.architecture)

    # --- measures ------------------------------------------------------------------------------

    def _rows(self) -> int:
        return max((len(strip.families) for strip in self._map.strips), default=1)

    def _head(self) -> int:
        return self.fontMetrics().height() + 10

    def _left(self) -> int:
        small = font(SMALL)
        if self._measured != small:  # measured once: each cell asks for it
            names = [self._words(f) for strip in self._map.strips[:1] for f in strip.families]
            metrics = QFontMetrics(small)
            widest = max((metrics.horizontalAdvance(name) for name in names), default=0)
            self._left_px = min(_LABELS_PX, widest + 8) + _RANK_PX
            self._measured = small
        return self._left_px

    def sizeHint(self) -> QSize:
        height = self._head() + self._rows() * _MOST_ROW + 24
        return QSize(560, height)

    def minimumSizeHint(self) -> QSize:
        blocks = sum(strip.count for strip in self._map.strips)
        height = self._head() + self._rows() * _LEAST_ROW + 24
        return QSize(self._left() + _LEAST_PITCH * blocks + _BETWEEN_PX, height)

    def _pitch(self) -> float:
        blocks = sum(strip.count for strip in self._map.strips)
        gaps = _BETWEEN_PX * max(len(self._map.strips) - 1, 0)
        return (self.width() - self._left() - gaps - 4) / max(blocks, 1)

    def _strip_left(self, strip: int) -> float:
        before = sum(found.count for found in self._map.strips[:strip])
        return self._left() + before * self._pitch() + strip * _BETWEEN_PX

    def _strip_height(self) -> float:
        room = self.height() - self._head() - 22
        return min(float(room), self._rows() * float(_MOST_ROW))

    def _row_rect(self, strip: int, row: int) -> tuple[float, float]:
        """Top and height of a row's cells; later strips carry the name over each row."""
        rows = len(self._map.strips[strip].families)
        pitch = self._strip_height() / rows
        over = QFontMetrics(font(SMALL)).height() + 2 if strip and row else 0
        return self._head() + row * pitch + over, pitch - over - 3

    def cell_rect(self, spot: Spot) -> QRectF:
        """Where a cell lies."""
        strip, row, block = spot
        top, height = self._row_rect(strip, row)
        pitch = self._pitch()
        gap = 1.5 if pitch >= 7 else 1.0
        left = self._strip_left(strip) + block * pitch
        return QRectF(left, top, max(pitch - gap, 2.0), height)

    def _spot_at(self, place: QPointF) -> Spot | None:
        for strip, found in enumerate(self._map.strips):
            block = int((place.x() - self._strip_left(strip)) // self._pitch())
            if not 0 <= block < found.count or place.x() < self._strip_left(strip):
                continue
            rows = len(found.families)
            share = (place.y() - self._head()) / max(self._strip_height(), 1)
            if -0.2 <= share <= 1.15:
                return strip, min(max(int(share * rows), 0), rows - 1), block
        return None

    def _family_at(self, place: QPointF) -> str:
        if place.x() >= self._left() or not self._map.strips:
            return ""
        families = self._map.strips[0].families
        row = int((place.y() - self._head()) // (self._strip_height() / len(families)))
        return families[row] if 0 <= row < len(families) else ""

    # --- the mouse and the keyboard ------------------------------------------------------------

    def _switch(self, strip: int, blocks: list[int], on: bool) -> None:
        if self._choosable[strip] and blocks:
            self.columns_switched.emit(strip, blocks, on)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Switch the column under the mouse; dragging goes on with it."""
        if event.button() != Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
            return
        spot = self._spot_at(event.position())
        if spot is None:
            family = self._family_at(event.position())
            if family:
                self.family_pressed.emit(family)
            return
        self._point(spot)
        strip, _, block = spot
        on = not self._chosen[strip][block]
        self._stroke = (strip, on, block)
        self._switch(strip, [block], on)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Point, and in a stroke switch every column passed."""
        spot = self._spot_at(event.position())
        self.setCursor(self._shape(spot, event.position()))
        if self._stroke is None:
            self._point(spot)
            return
        strip, on, last = self._stroke
        count = self._map.strips[strip].count
        block = int((event.position().x() - self._strip_left(strip)) // self._pitch())
        block = min(max(block, 0), count - 1)
        passed = range(min(last, block), max(last, block) + 1)
        self._stroke = (strip, on, block)
        self._switch(strip, [b for b in passed if self._chosen[strip][b] != on], on)
        self._point((strip, spot[1] if spot and spot[0] == strip else 0, block))

    def _shape(self, spot: Spot | None, place: QPointF) -> Qt.CursorShape:
        can = spot is not None and self._choosable[spot[0]]
        hand = can or (spot is None and bool(self._family_at(place)))
        return Qt.CursorShape.PointingHandCursor if hand else Qt.CursorShape.ArrowCursor

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the stroke."""
        if self._stroke is not None:
            self._stroke = None
            self.stroke_finished.emit()
        super().mouseReleaseEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the cell, unless the keyboard is at work in it."""
        if not self.hasFocus():
            self._point(None)
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move, Space switches the column."""
        moves = {
            Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0),
        }  # fmt: skip
        key = Qt.Key(event.key())
        if key in moves and self._map.strips and not event.modifiers():
            self._move(*moves[key])
        elif key == Qt.Key.Key_Space and self._at is not None:
            strip, _, block = self._at
            self._switch(strip, [block], not self._chosen[strip][block])
            self.stroke_finished.emit()
        else:
            super().keyPressEvent(event)

    def _move(self, rows: int, blocks: int) -> None:
        strip, row, block = self._at or (0, 0, -blocks)
        strips = self._map.strips
        block += blocks
        if block < 0 and strip > 0:
            strip, block = strip - 1, strips[strip - 1].count - 1
        elif block >= strips[strip].count and strip + 1 < len(strips):
            strip, block = strip + 1, 0
        found = strips[strip]
        row = min(max(row + rows, 0), len(found.families) - 1)
        self._point((strip, row, min(max(block, 0), found.count - 1)))

    def _point(self, spot: Spot | None) -> None:
        if spot == self._at:
            return
        self._at = spot
        if spot is None:
            self.pointed.emit(-1, "", -1)
        else:
            strip, row, block = spot
            self.pointed.emit(strip, self._map.strips[strip].families[row], block)
        self._describe()
        self.update()

    def _describe(self) -> None:
        """Tell screen readers the ranks of all rows, or the cell the cursor is on."""
        if self._at is not None:
            strip, row, block = self._at
            found = self._map.strips[strip]
            cell = self._map.cell(strip, found.families[row], block)
            words = f"{found.label} {block}, {self._words(found.families[row])}: "
            words += self.tr("rank %s") % cell.rank if cell else self.tr("none here")
        else:
            words = "; ".join(
                f"{strip.label}, {self._words(f)}: {self._map.rank_words(i, f)}"
                for i, strip in enumerate(self._map.strips)
                for f in strip.families
            )
        self.setAccessibleDescription(words)

    # --- painting ------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint names, ranks, cells, block numbers."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for strip in range(len(self._map.strips)):
            self._paint_names(painter, strip)
            self._paint_cells(painter, strip)
            self._paint_numbers(painter, strip)

    def _paint_names(self, painter: QPainter, strip: int) -> None:
        found = self._map.strips[strip]
        left = self._strip_left(strip)
        width = found.count * self._pitch()
        line = painter.fontMetrics().height()
        painter.setFont(font(SMALL, bold=True))
        painter.setPen(color("text"))
        title = self.tr("%1 %2").replace("%1", str(found.count)).replace("%2", found.label)
        painter.drawText(QRectF(left, 0, width + 60, line + 2), Qt.AlignmentFlag.AlignLeft, title)
        for row, family in enumerate(found.families):
            top, height = self._row_rect(strip, row)
            rank = self._map.rank_words(strip, family)
            if strip == 0:
                name = QRectF(0, top, self._left() - _RANK_PX, height)
                place = QRectF(self._left() - _RANK_PX - 4, top, _RANK_PX - 4, height)
                self._paint_name(painter, name, place, family, rank)
            else:
                over = QFontMetrics(font(SMALL)).height()
                y = top - over - 2 if row else 0.0
                if not row:
                    left_over = QFontMetrics(font(SMALL, bold=True)).horizontalAdvance(title) + 12
                else:
                    left_over = 0
                name = QRectF(left + left_over, y, width - left_over - 30, over + 2)
                place = QRectF(left + width - 30, y, 28, over + 2)
                self._paint_name(painter, name, place, family, rank, right=True)

    def _paint_name(
        self, painter: QPainter, name: QRectF, place: QRectF, family: str, rank: str,
        *, right: bool = False,
    ) -> None:  # fmt: skip
        middle = Qt.AlignmentFlag.AlignVCenter
        at_right = middle | Qt.AlignmentFlag.AlignRight
        painter.setFont(font(SMALL))
        painter.setPen(color("text"))
        words = painter.fontMetrics().elidedText(
            self._words(family), Qt.TextElideMode.ElideRight, int(name.width())
        )
        painter.drawText(name, at_right if right else middle | Qt.AlignmentFlag.AlignLeft, words)
        painter.setFont(font(SMALL, bold=True))
        painter.setPen(color("text3" if rank == "off" else "text"))
        painter.drawText(place.adjusted(-20, 0, 0, 0), at_right, rank)

    def _paint_cells(self, painter: QPainter, strip: int) -> None:
        found = self._map.strips[strip]
        ramp = tokens().ramp
        for row, family in enumerate(found.families):
            for block in range(found.count):
                cell = self._map.cell(strip, family, block)
                rect = self.cell_rect((strip, row, block))
                here = self._at is not None and self._at[::2] == (strip, block)
                if cell is None:
                    painter.setPen(QPen(color("line"), 1))
                    painter.drawLine(rect.center() - QPointF(2, 0), rect.center() + QPointF(2, 0))
                    continue
                painter.setPen(Qt.PenStyle.NoPen)
                if here and self._choosable[strip]:
                    painter.setPen(QPen(color("accent"), 1))
                elif not cell.rank:
                    painter.setPen(QPen(color("field"), 1))
                elif cell.rank <= _PALE_UP_TO:  # too pale to be seen without an edge
                    painter.setPen(QPen(QColor(ramp[3]), 1))
                painter.setBrush(rank_color(cell.rank) if cell.rank else color("panel"))
                painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
        if self._at is not None and self._at[0] == strip:
            painter.setPen(QPen(color("text"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(self.cell_rect(self._at).adjusted(-1, -1, 1, 1), 3, 3)

    def _paint_numbers(self, painter: QPainter, strip: int) -> None:
        found = self._map.strips[strip]
        painter.setFont(font(TICK))
        painter.setPen(color("text2"))
        y = self._head() + self._strip_height() + 1
        last = found.count - 1
        for block in sorted({0, last // 2, last}):
            rect = self.cell_rect((strip, 0, block))
            spot = QRectF(rect.center().x() - 20, y, 40, 18)
            painter.drawText(spot, Qt.AlignmentFlag.AlignCenter, str(block))

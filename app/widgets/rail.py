"""The rail beside the form: its groups with counts of changed and wrong fields."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QFontMetrics,
    QHelpEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.icons import draw_icon
from app.theme import SMALL, TICK, color, control_height, font
from app.widgets.chooser import Chooser

WIDE, NARROW = 136, 48


@dataclass
class _Row:
    key: str
    title: str
    icon: str
    changed: int = 0
    errors: int = 0
    warnings: int = 0


class Rail(Chooser):
    """A column of group names, or of their icons alone."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Key.Key_Up, Qt.Key.Key_Down, parent)
        self._rows: list[_Row] = []
        self._narrow = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Groups of options"))

    def add_group(self, key: str, title: str, icon: str) -> None:
        """Add a group at the end."""
        self._rows.append(_Row(key, title, icon))
        self._current = self._current or key

    def keys(self) -> list[str]:
        """The groups in order."""
        return [row.key for row in self._rows]

    def set_counts(self, key: str, changed: int, errors: int, warnings: int) -> None:
        """Show a group's counts."""
        for row in self._rows:
            if row.key == key:
                row.changed, row.errors, row.warnings = changed, errors, warnings
        self.describe()
        self.update()

    def set_narrow(self, narrow: bool) -> None:
        """Icons alone."""
        if narrow != self._narrow:
            self._narrow = narrow
            self.updateGeometry()
            self.update()

    @property
    def is_narrow(self) -> bool:
        """Whether only icons are shown."""
        return self._narrow

    def describe(self) -> None:
        """Tell screen readers the chosen group and its counts."""
        for row in self._rows:
            if row.key == self._current:
                self.setAccessibleDescription(self._words(row))

    def _words(self, row: _Row) -> str:
        parts = [row.title]
        if row.errors:
            parts.append(self.tr("%d to mend") % row.errors)
        if row.warnings:
            parts.append(self.tr("%d to look at") % row.warnings)
        if row.changed:
            parts.append(self.tr("%d changed") % row.changed)
        return ", ".join(parts)

    def _pitch(self) -> int:
        return control_height() + 7

    def _rect(self, index: int) -> QRectF:
        return QRectF(8, 12 + index * self._pitch(), self.width() - 16, self._pitch() - 4)

    def place_at(self, point: QPointF) -> int:
        """The group at a height."""
        index = int((point.y() - 12) // self._pitch())
        return index if 0 <= index < len(self._rows) else -1

    def event(self, event: QEvent) -> bool:
        """Name the group under the mouse, needed where only its icon is seen."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.place_at(QPointF(event.pos()))
            words = self._words(self._rows[index]) if index >= 0 else ""
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return super().event(event)

    def sizeHint(self) -> QSize:
        """136 wide, 48 with icons alone; wider at large text."""
        if self._narrow:
            return QSize(NARROW, 200)
        metrics = QFontMetrics(font(bold=True))
        widest = max((metrics.horizontalAdvance(r.title) for r in self._rows), default=60)
        return QSize(max(WIDE, widest + 72), 200)

    def minimumSizeHint(self) -> QSize:
        """All groups are in sight."""
        return QSize(self.sizeHint().width(), 12 + len(self._rows) * self._pitch())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground, rows and counts."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), color("window"))
        painter.fillRect(QRectF(self.width() - 1, 0, 1, self.height()), color("line"))
        for i, row in enumerate(self._rows):
            self._paint_row(painter, i, row)

    def _paint_row(self, painter: QPainter, i: int, row: _Row) -> None:
        rect = self._rect(i)
        chosen = row.key == self._current
        painter.setPen(Qt.PenStyle.NoPen)
        if chosen or i == self._hovered:
            painter.setBrush(color("accent_soft" if chosen else "hover"))
            painter.drawRoundedRect(rect, 5, 5)
        if chosen:
            painter.setBrush(color("accent"))
            bar = QRectF(rect.left(), rect.top() + 7, 3, rect.height() - 14)
            painter.drawRoundedRect(bar, 1.5, 1.5)
            if self.hasFocus():
                painter.setPen(QPen(color("accent"), 2))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), 5, 5)
        middle = rect.center().y()
        left = rect.left() + 8
        draw_icon(
            painter, row.icon, QRectF(left, middle - 8, 16, 16), "accent" if chosen else "text2"
        )
        if self._narrow:
            token = "error" if row.errors else ("changed" if row.changed else "")
            if token:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(color(token))
                painter.drawEllipse(QPointF(left + 19, middle - 8), 3, 3)
            return
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.setFont(font(bold=chosen))
        painter.setPen(color("text" if chosen else "text2"))
        painter.drawText(rect.adjusted(32, 0, 0, 0), align, row.title)
        right = rect.right() - 7
        if row.errors:
            self._paint_badge(painter, QPointF(right - 8, middle), row.errors)
        elif row.changed:
            painter.setFont(font(SMALL))
            painter.setPen(color("changed"))
            text = str(row.changed)
            width = painter.fontMetrics().horizontalAdvance(text)
            painter.drawText(
                QRectF(right - width, rect.top(), width + 2, rect.height()), align, text
            )
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color("changed"))
            painter.drawEllipse(QPointF(right - width - 7, middle), 3, 3)

    def _paint_badge(self, painter: QPainter, middle: QPointF, count: int) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("error"))
        painter.drawEllipse(middle, 8.5, 8.5)
        painter.setFont(font(TICK, bold=True))
        painter.setPen(color("panel"))
        box = QRectF(middle.x() - 9, middle.y() - 9, 18, 18)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(count))

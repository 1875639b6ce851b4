"""The row of tabs over the work area: words with a count, an underline for the chosen one."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import color, font
from app.widgets.chooser import Chooser


@dataclass
class _Tab:
    key: str
    title: str
    count: str = ""


class TabRow(Chooser):
    """Tabs by key. Left and right move between them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Key.Key_Left, Qt.Key.Key_Right, parent)
        self._tabs: list[_Tab] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.describe()

    def add_tab(self, key: str, title: str) -> None:
        """Add a tab at the end."""
        self._tabs.append(_Tab(key, title))
        self._current = self._current or key
        self.updateGeometry()
        self.update()

    def set_count(self, key: str, count: str) -> None:
        """A count beside a tab's word; empty for none."""
        for tab in self._tabs:
            if tab.key == key and tab.count != count:
                tab.count = count
                self.update()

    def keys(self) -> list[str]:
        """The tabs in order."""
        return [tab.key for tab in self._tabs]

    def title(self, key: str) -> str:
        """The word on a tab."""
        return next(tab.title for tab in self._tabs if tab.key == key)

    def describe(self) -> None:
        """Tell screen readers which page is seen."""
        titles = {tab.key: tab.title for tab in self._tabs}
        self.setAccessibleName(f"{self.tr('Page')}: {titles.get(self._current, '')}")

    def _rects(self) -> list[QRectF]:
        metrics, bold = QFontMetrics(font()), QFontMetrics(font(bold=True))
        gap = 32 if self.width() > 620 else (24 if self.width() > 480 else 16)
        x, rects = 20.0, []
        for tab in self._tabs:
            width = bold.horizontalAdvance(tab.title)
            if tab.count:
                width += 8 + metrics.horizontalAdvance(tab.count)
            rects.append(QRectF(x, 0, width, self.height()))
            x += width + gap
        return rects

    def place_at(self, point: QPointF) -> int:
        """The tab at a point, with half the gap at each side."""
        for i, rect in enumerate(self._rects()):
            if rect.left() - 10 <= point.x() <= rect.right() + 10:
                return i
        return -1

    def sizeHint(self) -> QSize:
        """48 high at the usual text size."""
        return QSize(420, max(48, self.fontMetrics().height() + 30))

    def minimumSizeHint(self) -> QSize:
        """As low as it is."""
        return QSize(320, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint words, counts, underline and the line below."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        height = self.height()
        painter.fillRect(QRectF(0, height - 1, self.width(), 1), color("line"))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for i, (tab, rect) in enumerate(zip(self._tabs, self._rects(), strict=True)):
            chosen = tab.key == self._current
            painter.setFont(font(bold=chosen))
            painter.setPen(color("text" if chosen or i == self._hovered else "text2"))
            painter.drawText(rect, left, tab.title)
            if tab.count:
                start = rect.left() + painter.fontMetrics().horizontalAdvance(tab.title) + 8
                painter.setFont(font())
                painter.setPen(color("text3"))
                painter.drawText(QRectF(start, 0, 80, height), left, tab.count)
            if chosen:
                bar = QRectF(rect.left(), height - 3, rect.width(), 3)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(color("accent"))
                painter.drawRoundedRect(bar, 1.5, 1.5)
                if self.hasFocus():
                    painter.setPen(QPen(color("accent"), 2))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawRoundedRect(rect.adjusted(-6, 9, 6, -9), 4, 4)

"""The row of tabs over the work area: words with a count, an underline for the chosen one."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import color, font


@dataclass
class _Tab:
    key: str
    title: str
    count: str = ""


class TabRow(QWidget):
    """Tabs by key. Left and right move between them.

    Signals:
        chosen: the key of the tab chosen by the person.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tabs: list[_Tab] = []
        self._current = ""
        self._hovered = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._name()

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

    @property
    def current(self) -> str:
        """The key of the chosen tab."""
        return self._current

    def set_current(self, key: str) -> None:
        """Choose a tab without a signal."""
        if key != self._current:
            self._current = key
            self._name()
            self.update()

    def _name(self) -> None:
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

    def _at(self, x: float) -> int:
        for i, rect in enumerate(self._rects()):
            if rect.left() - 10 <= x <= rect.right() + 10:
                return i
        return -1

    def _choose(self, index: int) -> None:
        if 0 <= index < len(self._tabs) and self._tabs[index].key != self._current:
            self.set_current(self._tabs[index].key)
            self.chosen.emit(self._current)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the tab under the mouse."""
        self._choose(self._at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the mouse for the hover color."""
        self._hovered = self._at(event.position().x())
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """Forget the hovered tab."""
        self._hovered = -1
        self.update()
        super().leaveEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right move."""
        move = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if move is None:
            super().keyPressEvent(event)
            return
        self._choose(self.keys().index(self._current) + move)

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

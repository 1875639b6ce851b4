"""The top row: mark, menus, and the job's name with when it was saved, in the middle."""

from __future__ import annotations

import sys
import time

from PySide6.QtCore import QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QMenuBar, QSizePolicy, QWidget

from app.icons import draw_icon
from app.theme import SMALL, color, font


class TitleRow(QWidget):
    """Holds the menu bar; on macOS that is the system's own and the row shows the name alone."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.menu_bar = QMenuBar(None if sys.platform == "darwin" else self)
        self._name, self._words, self._saved_at = "", "", 0.0
        row = QHBoxLayout(self)
        row.setContentsMargins(40, 0, 16, 0)
        if sys.platform != "darwin":
            self.menu_bar.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            row.addWidget(self.menu_bar, 0, Qt.AlignmentFlag.AlignVCenter)
        row.addStretch(1)
        self._timer = QTimer(self, interval=5000)
        self._timer.timeout.connect(self.update)
        self._timer.start()

    def show_job(self, name: str, words: str = "", saved_at: float = 0.0) -> None:
        """The job's name, and `words` or how long ago it was saved (unix seconds)."""
        self._name, self._words, self._saved_at = name, words, saved_at
        self.setAccessibleName(f"{name}, {self._note()}")
        self.update()

    def _note(self) -> str:
        if self._words or not self._saved_at:
            return self._words
        seconds = max(0, int(time.time() - self._saved_at))
        if seconds < 60:
            return self.tr("saved %d s ago") % seconds
        if seconds < 3600:
            return self.tr("saved %d min ago") % (seconds // 60)
        return self.tr("saved at %s") % time.strftime("%H:%M", time.localtime(self._saved_at))

    def sizeHint(self) -> QSize:
        """30 high at the usual text size."""
        return QSize(600, max(30, self.menu_bar.sizeHint().height() + 2))

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the mark and the name."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color("window"))
        draw_icon(painter, "mark", QRectF(16, (self.height() - 16) / 2, 16, 16), "accent")
        bold, small = QFontMetrics(font(bold=True)), QFontMetrics(font(SMALL))
        note = self._note()
        taken = self.menu_bar.geometry().right() + 24
        room = self.width() - taken - 16
        name = bold.elidedText(self._name, Qt.TextElideMode.ElideMiddle, max(60, room // 2))
        width = bold.horizontalAdvance(name) + 8 + small.horizontalAdvance(note)
        x = max(taken, (self.width() - width) / 2)
        box = QRectF(x, 0, self.width(), self.height())
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.setFont(font(bold=True))
        painter.setPen(color("text"))
        painter.drawText(box, align, name)
        painter.setFont(font(SMALL))
        painter.setPen(color("text2"))
        painter.drawText(box.adjusted(bold.horizontalAdvance(name) + 8, 0, 0, 0), align, note)

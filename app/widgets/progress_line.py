"""What is being done, in words with numbers, over a bar."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import SMALL, color, font, tokens

_BAR_PX = 8


class ProgressLine(QWidget):
    """Words at the left, figures at the right, a bar below that is empty while none are known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words, self._figures, self._share = "", "", 0.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_progress(self, words: str, figures: str = "", share: float = 0.0) -> None:
        """Say what is done now, and how much of it, 0 to 1."""
        self._words, self._figures, self._share = words, figures, min(max(share, 0.0), 1.0)
        self.setAccessibleName(f"{words}. {figures}")
        self.update()

    @property
    def words(self) -> str:
        """What it says."""
        return self._words

    @property
    def share(self) -> float:
        """How much of the bar is filled."""
        return self._share

    def sizeHint(self) -> QSize:
        """A line of text and the bar."""
        return QSize(320, QFontMetrics(font(SMALL)).height() + 6 + _BAR_PX)

    def minimumSizeHint(self) -> QSize:
        """May be narrow."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint words and bar."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font(SMALL))
        metrics = painter.fontMetrics()
        line = QRectF(0, 0, self.width(), metrics.height() + 2)
        painter.setPen(color("text2"))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight, self._figures)
        room = self.width() - metrics.horizontalAdvance(self._figures) - 12
        painter.setPen(color("text"))
        words = metrics.elidedText(self._words, Qt.TextElideMode.ElideMiddle, int(room))
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft, words)
        bar = QRectF(0, self.height() - _BAR_PX, self.width(), _BAR_PX)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("line" if tokens().dark else "sunken"))
        painter.drawRoundedRect(bar, 4, 4)
        if self._share > 0:
            bar.setWidth(max(self.width() * self._share, _BAR_PX))
            painter.setBrush(color("accent"))
            painter.drawRoundedRect(bar, 4, 4)

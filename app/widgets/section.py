"""Headings of the form: a group's title and a section's foldable line."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.icons import draw_icon
from app.theme import GROUP, SMALL, color, control_height, font


class SectionHeader(QWidget):
    """A line with chevron, name, hairline and a note; pressed, it folds what follows.

    Signals:
        toggled: whether it is open now.
    """

    toggled = Signal(bool)

    def __init__(self, text: str, parent: QWidget | None = None, *, is_open: bool = True) -> None:
        super().__init__(parent)
        self.text, self._note, self.is_open = text, "", is_open
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._name()

    def _name(self) -> None:
        state = self.tr("open") if self.is_open else self.tr("folded")
        self.setAccessibleName(f"{self.text}, {state}")

    def set_note(self, text: str) -> None:
        """Words at the right end."""
        if text != self._note:
            self._note = text
            self.update()

    def set_open(self, is_open: bool) -> None:
        """Open or fold without a signal."""
        if is_open != self.is_open:
            self.is_open = is_open
            self._name()
            self.update()

    def mousePressEvent(self, _event: QMouseEvent) -> None:
        """Fold or open."""
        self._toggle()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space, Return and the arrows fold or open."""
        key = event.key()
        wants = {Qt.Key.Key_Left: False, Qt.Key.Key_Right: True}.get(Qt.Key(key))
        if key in (Qt.Key.Key_Space, Qt.Key.Key_Return) or wants not in (None, self.is_open):
            self._toggle()
        else:
            super().keyPressEvent(event)

    def _toggle(self) -> None:
        self.set_open(not self.is_open)
        self.toggled.emit(self.is_open)

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(120, control_height() + 4)

    def minimumSizeHint(self) -> QSize:
        """One line."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint chevron, name, hairline and note."""
        painter = QPainter(self)
        height, middle = self.height(), self.height() / 2
        name = "chevron-down" if self.is_open else "chevron-right"
        draw_icon(painter, name, QRectF(0, middle - 6, 12, 12))
        align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.setFont(font(SMALL, bold=True))
        painter.setPen(color("text2"))
        width = painter.fontMetrics().horizontalAdvance(self.text)
        painter.drawText(QRectF(16, 0, width + 2, height), align, self.text)
        left, right = 16 + width + 10, self.width() - ACTION_ROOM
        if self._note:
            painter.setFont(font(SMALL))
            painter.setPen(color("text3"))
            room = max(0, right - left - 24)
            shown = painter.fontMetrics().elidedText(
                self._note, Qt.TextElideMode.ElideRight, int(room)
            )
            wide = painter.fontMetrics().horizontalAdvance(shown)
            painter.drawText(QRectF(right - wide, 0, wide + 2, height), align, shown)
            right -= wide + 10
        painter.setPen(QPen(color("line"), 1))
        if right > left:
            painter.drawLine(int(left), int(middle), int(right), int(middle))
        if self.hasFocus():
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(color("accent"), 2))
            painter.drawRoundedRect(QRectF(1, 3, 16 + width + 8, height - 6), 4, 4)


ACTION_ROOM = 8


class GroupTitle(QWidget):
    """A group's name, large, and one phrase of what it is about."""

    def __init__(self, text: str, phrase: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._phrase = text, phrase
        self.setAccessibleName(text)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_phrase(self, phrase: str) -> None:
        """Change the phrase."""
        if phrase != self._phrase:
            self._phrase = phrase
            self.update()

    def sizeHint(self) -> QSize:
        """One line of the larger size."""
        return QSize(120, control_height() + 12)

    def minimumSizeHint(self) -> QSize:
        """One line."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint both on one base line."""
        painter = QPainter(self)
        painter.setFont(font(GROUP, bold=True))
        metrics = painter.fontMetrics()
        base = (self.height() + metrics.ascent() - metrics.descent()) / 2
        painter.setPen(color("text"))
        painter.drawText(16, int(base), self._text)
        left = 16 + metrics.horizontalAdvance(self._text) + 10
        painter.setFont(font(SMALL))
        painter.setPen(color("text3"))
        phrase = painter.fontMetrics().elidedText(
            self._phrase, Qt.TextElideMode.ElideRight, max(0, self.width() - left - 8)
        )
        painter.drawText(left, int(base), phrase)

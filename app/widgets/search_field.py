"""The field that finds options."""

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.icons import draw_icon
from app.theme import TICK, color, font
from app.widgets.button import IconButton
from app.widgets.frame import Frame, Line

_KEYS = "⌘F" if sys.platform == "darwin" else "Ctrl+F"


class SearchField(Frame):
    """A line with a magnifying glass; Esc clears it.

    Signals:
        changed: the text.
        left: Esc in an empty field, or Return: back to the form.
    """

    changed = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.row.setContentsMargins(34, 1, 4, 1)
        self.line = Line(self)
        self.line.setPlaceholderText(self.tr("Find an option"))
        self.line.setAccessibleName(self.tr("Find an option"))
        self.line.textChanged.connect(self._on_text_changed)
        self.line.installEventFilter(self)
        self.watch(self.line)
        self.row.addWidget(self.line, 1)
        self._keys = _Keys(self)
        self._keys.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.row.addWidget(self._keys)
        self._clear = IconButton("close", self.tr("Clear the search"), self, side=24)
        self._clear.clicked.connect(self.clear)
        self._clear.hide()
        self.row.addWidget(self._clear)
        self.setFocusProxy(self.line)

    def clear(self) -> None:
        """Empty the field and stay in it."""
        self.line.clear()
        self.line.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_text_changed(self, text: str) -> None:
        self._clear.setVisible(bool(text))
        self._show_keys()
        self.changed.emit(text)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Esc clears, then leaves; Return leaves."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                if self.line.text():
                    self.line.clear()
                else:
                    self.left.emit()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Down):
                self.left.emit()
                return True
        return super().eventFilter(watched, event)

    def sizeHint(self) -> QSize:
        """Takes what is there."""
        return QSize(200, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Room for a word."""
        return QSize(110, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the glass beside the line."""
        super().paintEvent(event)
        draw_icon(QPainter(self), "search", QRectF(10, (self.height() - 16) / 2, 16, 16))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the shortcut where there is room."""
        super().resizeEvent(event)
        self._show_keys()

    def _show_keys(self) -> None:
        words = self.line.fontMetrics().horizontalAdvance(self.line.placeholderText())
        room = self.width() > self._keys.sizeHint().width() + words + 56
        self._keys.setVisible(room and not self.line.text())


class _Keys(QWidget):
    """The keys that lead to the field, in a small box."""

    def sizeHint(self) -> QSize:
        """Words and room around them."""
        metrics = QFontMetrics(font(TICK))
        return QSize(metrics.horizontalAdvance(_KEYS) + 12, metrics.height() + 5)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint box and words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(font(TICK))
        painter.setPen(color("line"))
        painter.setBrush(color("window"))
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(color("text3"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, _KEYS)

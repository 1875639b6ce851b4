"""The log: a pane of lines, and a bar with the newest one."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QSizePolicy, QWidget

from app import theme
from app.icons import draw_icon
from app.run_log import Kind, LogLine
from app.run_model import LOG_LINES, RunModel
from app.words import counted

_TOKENS: dict[Kind, str] = {
    "plain": "text2", "event": "text", "warning": "warn", "error": "error",
}  # fmt: skip


class LogPane(QPlainTextEdit):
    """The last 5,000 lines, appended in batches; stays at the end unless one scrolled up."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kinds: set[Kind] | None = None
        self._words = ""
        self._run: RunModel | None = None
        self.setReadOnly(True)
        self.setMaximumBlockCount(LOG_LINES)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(self.tr("Log"))
        theme.switch().changed.connect(self.fill)
        self._restyle()

    def set_run(self, run: RunModel | None) -> None:
        """Show another run's log."""
        if self._run is not None:
            self._run.log_added.disconnect(self._on_added)
            self._run.reloaded.disconnect(self.fill)
        self._run = run
        if run is not None:
            run.log_added.connect(self._on_added)
            run.reloaded.connect(self.fill)
        self.fill()

    def set_filter(self, kinds: set[Kind] | None, words: str) -> None:
        """Show only lines of these kinds (None: all) that hold these words."""
        self._kinds, self._words = kinds, words.casefold()
        self.fill()

    def fill(self) -> None:
        """Write all lines anew."""
        self._restyle()
        self.clear()
        if self._run is not None:
            self._append(list(self._run.log))
        self.moveCursor(QTextCursor.MoveOperation.End)

    def _on_added(self, lines: list[LogLine]) -> None:
        self._append(lines)

    def _append(self, lines: list[LogLine]) -> None:
        shown = [line for line in lines[-LOG_LINES:] if self._is_shown(line)]
        if not shown:
            return
        bar = self.verticalScrollBar()
        at_end = bar.value() >= bar.maximum() - 2
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        clock = self._format("text3")
        first = self.document().isEmpty()
        for line in shown:
            if not first:
                cursor.insertBlock(QTextBlockFormat())
            first = False
            cursor.insertText(f"{line.clock:8}  ", clock)
            cursor.insertText(line.text, self._format(_TOKENS[line.kind]))
        cursor.endEditBlock()
        if at_end:
            bar.setValue(bar.maximum())

    def _is_shown(self, line: LogLine) -> bool:
        if self._kinds is not None and line.kind not in self._kinds:
            return False
        return not self._words or self._words in line.text.casefold()

    def _format(self, token: str) -> QTextCharFormat:
        made = QTextCharFormat()
        made.setForeground(QColor(theme.color(token)))
        if token in ("warn", "error"):
            made.setFontWeight(600)
        return made

    def _restyle(self) -> None:
        self.setFont(theme.font(mono=True))
        palette = self.palette()
        palette.setColor(palette.ColorRole.Base, theme.color("raised"))
        self.setPalette(palette)
        self.viewport().setPalette(palette)  # a style sheet gives it one of its own


class LogBar(QWidget):
    """One line at the foot of a page: the newest line, how many there are; a click opens the log.

    Signals:
        clicked: the log is wanted.
    """

    clicked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunModel | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(self.tr("Newest log line; press to open the log"))

    def set_run(self, run: RunModel | None) -> None:
        """Show another run's newest line."""
        if self._run is not None:
            self._run.updated.disconnect(self.update)
        self._run = run
        if run is not None:
            run.updated.connect(self.update)
        self.update()

    def sizeHint(self) -> QSize:
        """32 high."""
        return QSize(200, max(32, self.fontMetrics().height() + 14))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Open the log."""
        self.clicked.emit()

    def keyPressEvent(self, event: QEvent) -> None:
        """Open the log by Return or Space."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Space):  # type: ignore[attr-defined]
            self.clicked.emit()
        else:
            super().keyPressEvent(event)  # type: ignore[arg-type]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("window"))
        painter.fillRect(QRectF(0, 0, self.width(), 1), theme.color("line"))
        area = QRectF(self.rect()).adjusted(20, 0, -16, 0)
        draw_icon(painter, "chevron-right", QRectF(area.x(), 0, 14, self.height()), "text2")
        x = area.x() + 22
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setFont(theme.font(theme.SMALL, bold=True))
        painter.setPen(theme.color("text"))
        painter.drawText(QRectF(x, 0, 200, self.height()), middle, self.tr("Log"))
        x += painter.fontMetrics().horizontalAdvance(self.tr("Log")) + 16
        if self._run is None or not self._run.log:
            return
        count = counted(self._run.log_count, self.tr("line"), self.tr("lines"))
        painter.setFont(theme.font(theme.SMALL))
        painter.setPen(theme.color("text2"))
        painter.drawText(area, middle | Qt.AlignmentFlag.AlignRight, count)
        right = area.right() - painter.fontMetrics().horizontalAdvance(count) - 16
        line = self._run.log[-1]
        painter.setFont(theme.font(mono=True))
        metrics = painter.fontMetrics()
        painter.setPen(theme.color("text3"))
        painter.drawText(QRectF(x, 0, 200, self.height()), middle, line.clock)
        x += metrics.horizontalAdvance(f"{line.clock}  ")
        painter.setPen(theme.color(_TOKENS[line.kind]))
        room = metrics.elidedText(line.text, Qt.TextElideMode.ElideRight, int(right - x))
        painter.drawText(QRectF(x, 0, right - x, self.height()), middle, room)
        if self.hasFocus():
            painter.setPen(theme.color("accent"))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -2, -2))

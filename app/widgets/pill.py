"""A pill that filters: "Changed 7", or in red "3 to mend"."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QWidget

from app.icons import draw_icon
from app.theme import SMALL, color, control_height, font


class Pill(QAbstractButton):
    """A checkable pill with a mark."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._mark = ""
        self._short = ""
        self.is_short = False
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def show_text(self, text: str, short: str, mark: str) -> None:
        """Words, their short form, and the mark: "changed", "error" or none."""
        if (text, short, mark) != (self.text(), self._short, self._mark):
            self._mark, self._short = mark, short
            self.setText(text)
            self.setAccessibleName(text)
            self.setToolTip(text)
            self.updateGeometry()
            self.update()

    def set_short(self, is_short: bool) -> None:
        """Show the short form where room is scarce."""
        if is_short != self.is_short:
            self.is_short = is_short
            self.updateGeometry()
            self.update()

    @property
    def shown(self) -> str:
        """The words shown now."""
        return self._short if self.is_short else self.text()

    def sizeHint(self) -> QSize:
        """Mark and words."""
        width = QFontMetrics(font(SMALL, bold=True)).horizontalAdvance(self.shown)
        mark = {"error": 22, "changed": 14}.get(self._mark, 0)
        return QSize(width + mark + (22 if self.shown else 10), control_height())

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the pill."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        wrong = self._mark == "error"
        edge = "error" if wrong else ("field" if self._mark or self.isChecked() else "line")
        if self.hasFocus():
            edge = "accent"
        wide = 2 if self.hasFocus() or self.isChecked() else 1
        painter.setPen(QPen(color(edge), wide))
        fill = "error_soft" if wrong else ("raised" if self._mark else "panel")
        if self.isChecked() and not wrong:
            fill = "accent_soft"
        elif self.underMouse() and not wrong:
            fill = "hover"
        painter.setBrush(color(fill))
        inset = wide / 2
        painter.drawRoundedRect(
            box.adjusted(inset, inset, -inset, -inset), box.height() / 2, box.height() / 2
        )
        x = 11.0
        middle = self.height() / 2
        if wrong:
            draw_icon(painter, "error", QRectF(x - 1, middle - 8, 16, 16), "error")
            x += 21
        elif self._mark == "changed":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color("changed"))
            painter.drawEllipse(QPointF(x + 3, middle), 3, 3)
            x += 13
        painter.setFont(font(SMALL, bold=bool(self._mark)))
        ink = "error" if wrong else ("text" if self._mark or self.isChecked() else "text3")
        painter.setPen(color(ink))
        painter.drawText(
            QRectF(x, 0, self.width(), self.height()),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.shown,
        )  # fmt: skip

"""Labels in a token's color and a multiple of the text size; both follow the theme."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPalette, QTextLayout
from PySide6.QtWidgets import QLabel, QWidget

from app.theme import color, font, switch


class Label(QLabel):
    """A QLabel whose color is a token."""

    def __init__(
        self,
        text: str = "",
        token: str = "text",
        scale: float = 1.0,
        parent: QWidget | None = None,
        *,
        bold: bool = False,
        mono: bool = False,
    ) -> None:
        super().__init__(text, parent)
        self._token, self._scale, self._bold, self._mono = token, scale, bold, mono
        self.restyle()
        switch().changed.connect(self.restyle)

    def set_style(self, token: str | None = None, *, bold: bool | None = None) -> None:
        """Change color or weight."""
        new = (token or self._token, self._bold if bold is None else bold)
        if new != (self._token, self._bold):
            self._token, self._bold = new
            self.restyle()

    def restyle(self) -> None:
        """Take color and size from the theme as it is now."""
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.WindowText, color(self._token))
        self.setPalette(palette)
        self.setFont(font(self._scale, self._bold, self._mono))


class ElidedLabel(Label):
    """A label that shortens its text with … and tells the whole in its tooltip."""

    def minimumSizeHint(self) -> QSize:
        """May shrink to a few letters."""
        return QSize(24, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """The whole text's width."""
        width = QFontMetrics(self.font()).horizontalAdvance(self.text()) + 2
        return QSize(width, super().sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Show the whole text on hover while it is cut."""
        if event.type() == QEvent.Type.ToolTip:
            cut = self.sizeHint().width() > self.width()
            self.setToolTip(self.text() if cut else "")
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        metrics = painter.fontMetrics()
        text = metrics.elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(self.rect()), self.alignment(), text)


class WrappedLabel(Label):
    """A text of several lines; where there is no room for all, the last one ends with …."""

    def __init__(
        self, token: str = "text", scale: float = 1.0, parent: QWidget | None = None
    ) -> None:
        super().__init__("", token, scale, parent)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)

    @property
    def shown_lines(self) -> list[str]:
        """The lines that fit now."""
        metrics = self.fontMetrics()
        room = max(1, self.height() // metrics.lineSpacing())
        starts = self._starts(self.width())
        ends = [*starts[1:], len(self.text())]
        lines = [self.text()[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        if len(lines) > room:
            rest = self.text()[starts[room - 1] :].replace("\n", " ")
            cut = metrics.elidedText(rest, Qt.TextElideMode.ElideRight, self.width())
            lines = [*lines[: room - 1], cut]
        return lines

    def lines_at(self, width: int) -> int:
        """How many lines the whole text takes at a width."""
        return len(self._starts(width))

    def _starts(self, width: int) -> list[int]:
        """Where each line begins in the text."""
        starts, at = [], 0
        for paragraph in self.text().split("\n"):
            layout = QTextLayout(paragraph, self.font())
            layout.beginLayout()
            while (line := layout.createLine()).isValid():
                line.setLineWidth(width)
                starts.append(at + line.textStart())
            layout.endLayout()
            at += len(paragraph) + 1
        return starts or [0]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the lines that fit."""
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        metrics = painter.fontMetrics()
        for number, line in enumerate(self.shown_lines):
            painter.drawText(0, metrics.ascent() + number * metrics.lineSpacing(), line)


class FittingLabel(Label):
    """A hint that is shown whole or not at all: the words that fit, of several lengths."""

    def __init__(self, token: str, scale: float, parent: QWidget | None = None) -> None:
        super().__init__("", token, scale, parent)
        self._forms: tuple[str, ...] = ()

    def show_words(self, *forms: str) -> None:
        """Show the first of these that fits, the longest first."""
        forms = tuple(form for form in forms if form)
        if forms != self._forms:
            self._forms = forms
            self.setAccessibleName(forms[0] if forms else "")
            self.setToolTip(forms[0] if len(forms) > 1 else "")
            self.updateGeometry()
            self.update()

    @property
    def words(self) -> str:
        """The words that fit now; empty if none do."""
        metrics = QFontMetrics(self.font())
        room = self.width()
        return next((f for f in self._forms if metrics.horizontalAdvance(f) <= room), "")

    def minimumSizeHint(self) -> QSize:
        """Takes what room is left."""
        return QSize(0, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """The longest form's width."""
        longest = self._forms[0] if self._forms else ""
        width = QFontMetrics(self.font()).horizontalAdvance(longest) + 2
        return QSize(width, QFontMetrics(self.font()).height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the words that fit."""
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        painter.drawText(QRectF(self.rect()), Qt.AlignmentFlag.AlignVCenter, self.words)

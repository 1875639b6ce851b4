"""The strip under the form: what the field in focus or under the mouse does."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.theme import SMALL, color
from app.widgets.button import Button
from app.widgets.label import ElidedLabel, Label, WrappedLabel
from app.widgets.number import range_words
from engine.schema.options import Option, conditions_in_words, option_at


class HelpStrip(QWidget):
    """Label, names, and two lines of help; more on demand."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = ""
        self._architecture = ""
        self._is_tall = False
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 10, 16, 8)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(8)
        self.title = Label("", bold=True, parent=self)
        self.names = ElidedLabel("", "text3", 0.92, self, mono=True)
        self.more = Button(self.tr("F1 more"), "link", parent=self, small=True)
        self.more.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.more.clicked.connect(self.toggle)
        head.addWidget(self.title)
        head.addWidget(self.names, 1)
        head.addWidget(self.more)
        column.addLayout(head)
        self.words = WrappedLabel("text2", SMALL, self)
        column.addWidget(self.words, 1)
        self._show()

    def show_field(self, path: str) -> None:
        """Explain the field at a concrete path; an empty path keeps the former one."""
        if path and path != self._path:
            self._path = path
            self._show()

    def set_architecture(self, architecture: str) -> None:
        """Call fields as they are called for an architecture."""
        if architecture != self._architecture:
            self._architecture = architecture
            if self._path and not option_at(self._path).applies(architecture):
                self._path = ""  # its row has gone
                self.names.setText("")
            self._show()

    @property
    def path(self) -> str:
        """The field explained now."""
        return self._path

    def toggle(self) -> None:
        """Two lines or everything."""
        self._is_tall = not self._is_tall
        self._show()

    def _show(self) -> None:
        self.more.setText(self.tr("F1 less") if self._is_tall else self.tr("F1 more"))
        self.more.setVisible(bool(self._path))
        if not self._path:
            self.title.setText(self.tr("Help"))
            self.words.setText(self.tr("Point at a field, or move to it, to see what it does."))
        else:
            option = option_at(self._path)
            self.title.setText(option.label(self._architecture))
            self.names.setText(", ".join((option.key, *option.hints.aliases)))
            words = option.hints.help
            if self._is_tall:
                words = "\n".join((words, *facts_of(option, self._architecture)))
            self.words.setText(words)
        self._fit()

    def _fit(self) -> None:
        """Two lines of words high, or as many as are needed when tall.

        A height that is set, not hinted: layouts keep a hint, and this one follows fonts and width.
        """
        lines = 2
        if self._is_tall:
            lines = max(lines, self.words.lines_at(max(100, self.width() - 32)))
        around = self.title.sizeHint().height(), self.more.sizeHint().height()
        self.setFixedHeight(max(around) + 26 + lines * self.words.fontMetrics().lineSpacing())

    def event(self, event: QEvent) -> bool:
        """Follow the width, and fonts that only now are those of the theme."""
        done = super().event(event)
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show, QEvent.Type.LayoutRequest):
            self._fit()
        return done

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and upper line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color("window"))
        painter.fillRect(QRectF(0, 0, self.width(), 1), color("line"))


def facts_of(option: Option, architecture: str = "") -> list[str]:
    """Range, default and conditions of an option, a line each."""
    facts = []
    words = range_words(option.bounds, option.kind)
    if words:
        facts.append(f"Range: {words} {option.hints.unit}".rstrip())
    if option.choices:
        facts.append("Choices: " + ", ".join(str(c) for c in option.choices_of(architecture)))
    if option.kind not in ("table", "tables"):
        default = option.hints.empty if option.default in (None, "") else option.default
        if default not in ("", [], {}):
            facts.append(f"Default: {default}")
    condition = conditions_in_words(option, architecture)
    if condition:
        facts.append(condition[:1].upper() + condition[1:])
    facts.append(f"In job files: {option.path}")
    return facts

"""Lines and growing paragraphs of text; also lists typed as text and secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QPainter,
    QPaintEvent,
    QPalette,
    QStandardItem,
    QStandardItemModel,
)
from PySide6.QtWidgets import QCompleter, QFrame, QLineEdit, QPlainTextEdit, QWidget

from app.theme import control_height, font
from app.widgets.button import IconButton
from app.widgets.frame import Frame, Line, State, paint_field


class TextEdit(Frame):
    """One line of text. `read` and `write` convert for lists and for steps or percentages.

    Signals:
        edited: the value as typed, read by `read`.
    """

    edited = Signal(object)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        read: Callable[[str], Any] = str,
        write: Callable[[Any], str] = str,
        empty: str = "",
        suggestions: Sequence[str] = (),
        secret: bool = False,
        mono: bool = False,
    ) -> None:
        super().__init__(parent)
        self._read, self._write = read, write
        self._value: Any = None
        self._mono = mono
        self.line = Line(self)
        self.line.setPlaceholderText(empty)
        self.line.textEdited.connect(self._on_line_edited)
        self.watch(self.line)
        self.row.addWidget(self.line, 1)
        if mono:
            self.line.setFont(font(mono=True))
        if secret:
            self.line.setEchoMode(QLineEdit.EchoMode.Password)
        if suggestions:
            self._add_suggestions(suggestions)
        self.setFocusProxy(self.line)

    def _add_suggestions(self, suggestions: Sequence[str]) -> None:
        model = QStandardItemModel(self)
        for word in suggestions:
            model.appendRow(QStandardItem(word))
        completer = QCompleter(model, self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setMaxVisibleItems(12)
        completer.activated.connect(self._on_line_edited)
        self.line.setCompleter(completer)
        button = IconButton("chevron-down", self.tr("Show all"), self, side=24)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(self._show_all)
        self.row.addWidget(button)

    def set_disabled(self, reasons: Mapping[str, str]) -> None:
        """Grey these suggestions and say why in their tooltips; typed they are taken as ever."""
        completer = self.line.completer()
        model = completer.model() if completer is not None else None
        if isinstance(model, QStandardItemModel):
            for row in range(model.rowCount()):
                item = model.item(row)
                reason = reasons.get(item.text(), "")
                item.setEnabled(not reason)
                item.setToolTip(reason)
                item.setData(reason or None, Qt.ItemDataRole.AccessibleDescriptionRole)

    def _show_all(self) -> None:
        self.line.setFocus(Qt.FocusReason.MouseFocusReason)
        completer = self.line.completer()
        if completer is not None:
            completer.setCompletionPrefix("")
            completer.complete(QRectF(self.rect()).toRect())

    def value(self) -> Any:
        """The value as last set or typed."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a value, unless what was typed already means it."""
        if self._value != value or self._read(self.line.text()) != value:
            self.line.setText("" if value is None else self._write(value))
            if not self.line.hasFocus():
                self.line.setCursorPosition(0)
        self._value = value

    def set_inherited(self, text: str) -> None:
        """Show what applies while the line is empty."""
        self.line.setPlaceholderText(text)

    def _on_line_edited(self, text: str) -> None:
        self._value = self._read(text)
        self.edited.emit(self._value)

    def sizeHint(self) -> QSize:
        """Fills the row."""
        return QSize(180, super().sizeHint().height())


class FramedText(QPlainTextEdit):
    """Lines of text in the frame that all fields have. Tab leaves it."""

    def __init__(self, parent: QWidget | None = None, *, empty: str = "") -> None:
        super().__init__(parent)
        self._state: State = "rest"
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTabChangesFocus(True)
        self.setPlaceholderText(empty)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setViewportMargins(6, 3, 3, 3)
        self.viewport().setAutoFillBackground(False)
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Base, QColor(0, 0, 0, 0))
        self.setPalette(palette)

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        if state != self._state:
            self._state = state
            self.update()

    def event(self, event: QEvent) -> bool:
        """Paint the frame under the text."""
        if event.type() == QEvent.Type.Paint:
            painter = QPainter(self)
            paint_field(
                painter, QRectF(self.rect()), self._state,
                focus=self.hasFocus(), hover=self.underMouse(), enabled=self.isEnabled(),
            )  # fmt: skip
            painter.end()
            return True
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut, QEvent.Type.HoverEnter):
            self.update()
        return super().event(event)


class LongTextEdit(FramedText):
    """A paragraph that grows from two to six lines with its text.

    Signals:
        edited: the text.
    """

    edited = Signal(object)

    def __init__(self, parent: QWidget | None = None, *, empty: str = "") -> None:
        super().__init__(parent, empty=empty)
        self.textChanged.connect(self._on_text_changed)
        self._quiet = False
        self._fit()

    def value(self) -> Any:
        """The text."""
        return self.toPlainText()

    def set_value(self, value: Any) -> None:
        """Show a text."""
        text = "" if value is None else str(value)
        if text != self.toPlainText():
            self._quiet = True
            self.setPlainText(text)
            self._quiet = False
            self._fit()

    def set_inherited(self, text: str) -> None:
        """Show what applies while it is empty."""
        self.setPlaceholderText(text)

    def _on_text_changed(self) -> None:
        self._fit()
        if not self._quiet:
            self.emit_value()

    def emit_value(self) -> None:
        """Emit what the text means."""
        self.edited.emit(self.value())

    def _fit(self) -> None:
        lines = min(6, max(2, int(self.document().size().height())))
        height = max(control_height(), lines * self.fontMetrics().lineSpacing() + 16)
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the text."""
        super().paintEvent(event)

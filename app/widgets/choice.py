"""A painted combo box for closed lists; the wheel passes through it unless it has focus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QStandardItemModel, QWheelEvent
from PySide6.QtWidgets import QComboBox, QSizePolicy, QWidget

from app.icons import draw_icon
from app.theme import color, control_height, font
from app.widgets.frame import State, paint_field


class ChoiceBox(QComboBox):
    """A choice of one of several values.

    Signals:
        edited: the value chosen by the person.
    """

    edited = Signal(object)

    def __init__(
        self,
        choices: Sequence[tuple[Any, str]] = (),
        parent: QWidget | None = None,
        *,
        bold: bool = False,
    ) -> None:
        super().__init__(parent)
        self._state: State = "rest"
        self._bold = bold
        self._note, self._note_token = "", "text3"
        self._foreign: Any = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMaxVisibleItems(16)
        self.set_choices(choices)
        self.activated.connect(lambda index: self.edited.emit(self.itemData(index)))

    def set_choices(self, choices: Sequence[tuple[Any, str]]) -> None:
        """Replace the list, keeping the value where it is still there."""
        value = self.value()
        self.blockSignals(True)
        self.clear()
        self._labels = [label for _, label in choices]
        for data, label in choices:
            self.addItem(label, data)
        self.blockSignals(False)
        self.set_value(value)

    def set_disabled(self, reasons: Mapping[Any, str]) -> None:
        """Grey these choices and say why beside them; all others can be chosen."""
        model = self.model()
        if not isinstance(model, QStandardItemModel):
            return
        for index in range(self.count()):
            item = model.item(index)
            reason = reasons.get(self.itemData(index), "")
            item.setEnabled(not reason)
            item.setToolTip(reason)
            label = self._labels[index]
            item.setText(f"{label}  ({reason})" if reason else label)

    def value(self) -> Any:
        """The chosen value."""
        return self.currentData() if self.currentIndex() >= 0 else self._foreign

    def set_value(self, value: Any) -> None:
        """Show a value; one that is no choice is shown as it is, for the check to judge."""
        index = self._index_of(value)
        self._foreign = value if index < 0 else None
        self.setCurrentIndex(index)
        self.update()

    def _index_of(self, value: Any) -> int:
        found = [i for i in range(self.count()) if self.itemData(i) == value]
        return found[0] if found else -1

    def set_inherited(self, _text: str) -> None:
        """A closed list always says what applies."""

    def set_note(self, text: str, token: str = "text3") -> None:
        """Words at the right end, such as "3 changed"."""
        self._note, self._note_token = text, token
        self.update()

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        if state != self._state:
            self._state = state
            self.update()

    def sizeHint(self) -> QSize:
        """Room for the longest choice."""
        texts = [self.itemText(i) for i in range(self.count())] or [""]
        widest = max(self.fontMetrics().horizontalAdvance(t) for t in texts)
        return QSize(min(widest, 320) + 44, control_height())

    def minimumSizeHint(self) -> QSize:
        """May shrink; the text is elided then."""
        return QSize(min(self.sizeHint().width(), 100), control_height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint edge, chosen text, note and chevron."""
        painter = QPainter(self)
        paint_field(
            painter, QRectF(self.rect()), self._state,
            focus=self.hasFocus(), hover=self.underMouse(), enabled=self.isEnabled(),
        )  # fmt: skip
        right = self.width() - 26
        draw_icon(painter, "chevron-down", QRectF(right + 2, (self.height() - 16) / 2, 16, 16))
        align = Qt.AlignmentFlag.AlignVCenter
        if self._note:
            painter.setFont(font(0.92, bold=False))
            painter.setPen(color(self._note_token))
            width = painter.fontMetrics().horizontalAdvance(self._note)
            right -= width + 6
            painter.drawText(
                QRectF(right, 0, width + 2, self.height()), Qt.AlignmentFlag.AlignLeft | align,
                self._note,
            )  # fmt: skip
        painter.setFont(font(bold=self._bold))
        painter.setPen(color("text" if self.isEnabled() else "text3"))
        text = self.currentText() if self._foreign is None else str(self._foreign)
        room = right - 14
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(room))
        painter.drawText(
            QRectF(10, 0, room, self.height()), Qt.AlignmentFlag.AlignLeft | align, shown
        )

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Change the choice only while in focus (spec: gui 3.5)."""
        if not self.hasFocus():
            event.ignore()
            return
        super().wheelEvent(event)

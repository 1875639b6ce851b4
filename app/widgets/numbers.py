"""A short list of named numbers: a small field for each (spec: gui 4.1, "n small spins")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from app.theme import SMALL
from app.widgets.frame import State
from app.widgets.label import ElidedLabel
from app.widgets.number import NumberEdit

_COLUMNS = 2
_LEAST_PX = 74


class NumbersEdit(QWidget):
    """One field for each name, empty for 0; the list is None while all of them are empty.

    A list of another length, or a text that is no list, is kept as it is until a number is typed.

    Signals:
        edited: the list, or None.
    """

    edited = Signal(object)

    def __init__(
        self, names: Sequence[str], parent: QWidget | None = None, *, high: float = 1024,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._value: Any = None
        self.fields: list[NumberEdit] = []
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        for number, name in enumerate(names):
            row, column = divmod(number, _COLUMNS)
            grid.addWidget(ElidedLabel(name, "text2", SMALL, self), 2 * row, column)
            field = NumberEdit(
                "int",
                self,
                scale="double",
                bounds={"ge": 0, "le": high},
                optional=True,
                empty=self.tr("off"),
            )
            field.setMinimumWidth(_LEAST_PX)
            field.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
            field.line.setAccessibleName(name)
            field.edited.connect(self._on_edited)
            grid.addWidget(field, 2 * row + 1, column)
            self.fields.append(field)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(self.fields[0])

    def value(self) -> Any:
        """The list, or None."""
        return self._value

    def set_value(self, value: Any) -> None:
        """Show a list."""
        self._value = value
        known = isinstance(value, list) and len(value) == len(self.fields)
        for number, field in enumerate(self.fields):
            field.set_value((value[number] or None) if known else None)

    def set_inherited(self, text: str) -> None:
        """Show what applies while a field is empty."""
        for field in self.fields:
            field.set_inherited(text)

    def set_state(self, state: State) -> None:
        """Mark the fields as wrong, doubtful or neither."""
        for field in self.fields:
            field.set_state(state)

    def _on_edited(self, _value: Any) -> None:
        values = [field.value() for field in self.fields]
        self._value = [value or 0 for value in values] if any(values) else None
        self.edited.emit(self._value)

    def minimumSizeHint(self) -> QSize:
        """Two narrow fields beside each other."""
        return QSize(_COLUMNS * _LEAST_PX + 6, super().minimumSizeHint().height())

"""How often: a number and its unit, steps or epochs (spec: gui 4.1, "duration (every n)")."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, QSize, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.widgets.choice import ChoiceBox
from app.widgets.frame import State
from app.widgets.number import NumberEdit, number_text

STEPS_OF_AN_EPOCH = 100  # a usual epoch, to turn one unit into the other
Pair = tuple[Any, Any]
_LEAST_PX = 74


class EveryEdit(QWidget):
    """Edits a pair: every so many steps, every so many epochs; None where it does not count.

    Both may come set from a file: the steps are shown, and the unit says that epochs count too;
    an edit leaves one of them.

    Signals:
        edited: the pair.
    """

    edited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pair: Pair = (None, None)
        self._is_epochs = False
        self.number = NumberEdit("int", self, bounds={"ge": 1}, optional=True, empty=self.tr("off"))
        self.unit = ChoiceBox(self._units(), self)
        self.unit.setAccessibleName(self.tr("Unit"))
        for part in (self.number, self.unit):
            part.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for part in (self.number, self.unit):
            part.setMinimumWidth(_LEAST_PX)
            row.addWidget(part)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(self.number)
        self.number.edited.connect(self._on_number)
        self.unit.edited.connect(self._on_unit)

    def _units(self, epochs: Any = None) -> list[tuple[bool, str]]:
        steps = self.tr("steps")
        if epochs is not None:
            steps = self.tr("steps, and %s") % every_words((None, epochs))
        return [(False, steps), (True, self.tr("epochs"))]

    def value(self) -> Pair:
        """Every so many steps, every so many epochs."""
        return self._pair

    def set_value(self, pair: Pair) -> None:
        """Show a pair; with nothing set the unit stays as it is."""
        steps, epochs = pair
        self._pair = (steps, epochs)
        if steps is not None or epochs is not None:
            self._is_epochs = steps is None
        self.unit.set_choices(self._units(epochs if steps is not None else None))
        self.unit.set_value(self._is_epochs)
        self.number.set_value(epochs if self._is_epochs else steps)

    def set_inherited(self, text: str) -> None:
        """Show what applies while the number is empty."""
        self.number.set_inherited(text)

    def set_state(self, state: State) -> None:
        """Mark the field as wrong, doubtful or neither."""
        self.number.set_state(state)

    def _on_number(self, value: Any) -> None:
        self._pair = (None, value) if self._is_epochs else (value, None)
        self.edited.emit(self._pair)

    def _on_unit(self, is_epochs: bool) -> None:
        value = self.number.value()
        if isinstance(value, int) and is_epochs != self._is_epochs:
            value = value // STEPS_OF_AN_EPOCH if is_epochs else value * STEPS_OF_AN_EPOCH
            value = max(1, value)
        self._is_epochs = is_epochs
        self.set_value((None, value) if is_epochs else (value, None))
        self.edited.emit(self._pair)

    def minimumSizeHint(self) -> QSize:
        """Both may shrink to a few letters."""
        return QSize(2 * _LEAST_PX + 6, self.sizeHint().height())


def every_words(pair: Pair) -> str:
    """The pair in words: "every 500 steps", "every epoch", "off"."""
    steps, epochs = pair
    tr = QCoreApplication.translate
    words = []
    if steps:
        many = tr("every", "every %s steps") % number_text(steps)
        words.append(tr("every", "every step") if steps == 1 else many)
    if epochs:
        many = tr("every", "every %s epochs") % number_text(epochs)
        words.append(tr("every", "every epoch") if epochs == 1 else many)
    return ", ".join(words) or tr("every", "off")

"""A list of LoRA files, each with its weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.widgets.button import Button, IconButton
from app.widgets.number import NumberEdit
from app.widgets.path import PathEdit


class WeightedFiles(QWidget):
    """Rows of a file and how strongly it acts; there is always one row.

    Signals:
        changed: a file or weight was changed, added or removed.
    """

    changed = Signal()

    def __init__(self, make: Callable[[QWidget], PathEdit], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make = make
        self.rows: list[tuple[PathEdit, NumberEdit, QWidget]] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(6)
        self.more = Button(self.tr("Add a file"), "ghost", "plus", self)
        self.more.clicked.connect(lambda: self.add().setFocus())
        foot = QHBoxLayout()
        foot.addWidget(self.more)
        foot.addStretch(1)
        self._column.addLayout(foot)
        self.add()

    def add(self, path: str = "") -> PathEdit:
        """Add a row; the first empty one is used where there is one."""
        empty = next((file for file, _, _ in self.rows if not file.value()), None)
        if empty is not None and path:
            empty.set_value(path)
            self.changed.emit()
            return empty
        row = QWidget(self)
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        file = self._make(row)
        weight = NumberEdit("float", row, step=0.05)
        weight.set_value(1.0)
        weight.setFixedWidth(88)
        number = str(len(self.rows) + 1)
        file.line.setAccessibleName(self.tr("File %s") % number)
        weight.line.setAccessibleName(self.tr("Weight of file %s") % number)
        weight.setToolTip(self.tr("Weight: how strongly the file acts; 1 as it was trained"))
        remove = IconButton("close", self.tr("Remove file %s") % number, row, side=26)
        remove.clicked.connect(lambda: self._remove(row))
        line.addWidget(file, 1)
        line.addWidget(weight)
        line.addWidget(remove)
        self.rows.append((file, weight, row))
        self._column.insertWidget(self._column.count() - 1, row)
        file.set_value(path)
        file.edited.connect(self._on_edited)
        weight.edited.connect(self._on_edited)
        self.changed.emit()
        return file

    def _on_edited(self, _value: object) -> None:
        self.changed.emit()

    def _remove(self, row: QWidget) -> None:
        if len(self.rows) == 1:
            self.rows[0][0].set_value("")
        else:
            self.rows = [entry for entry in self.rows if entry[2] is not row]
            row.hide()
            row.deleteLater()
        self.changed.emit()

    def values(self) -> list[tuple[str, Any]]:
        """Path and weight of every row with a file."""
        return [(str(file.value()), weight.value()) for file, weight, _ in self.rows
                if file.value()]  # fmt: skip

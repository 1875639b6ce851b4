"""Rows of label and editor with a hint below, for dialogs that no schema describes."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QWidget

from app.theme import SMALL, control_height, font, switch
from app.widgets.label import Label

_LABEL_PX, _LABEL_LETTERS = 128, 15


class LabeledRows(QWidget):
    """A column of rows; each is known by its editor."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        switch().changed.connect(self._on_text_size)
        self._on_text_size()
        self._labels: dict[QWidget, Label] = {}
        self._hints: dict[QWidget, Label] = {}

    def _on_text_size(self) -> None:
        """One width for all labels, so that rows of several such widgets stand in line."""
        room = QFontMetrics(font()).horizontalAdvance("n" * _LABEL_LETTERS)
        self._grid.setColumnMinimumWidth(0, max(_LABEL_PX, room))

    def add(
        self, label: str, editor: QWidget, hint: str = "", *, fills: bool = False,
        tall: bool = False,
    ) -> None:  # fmt: skip
        """Add a row; an editor that `fills` takes the whole width, a `tall` one several lines."""
        row = self._grid.rowCount()
        name = Label(label, parent=self)
        name.setBuddy(editor)
        if tall:  # beside its first line
            name.setFixedHeight(control_height())
        side = Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter
        self._grid.addWidget(name, row, 0, side)
        if fills:
            self._grid.addWidget(editor, row, 1)
        else:
            holder = QHBoxLayout()
            holder.addWidget(editor)
            holder.addStretch(1)
            self._grid.addLayout(holder, row, 1)
        for part in (editor, *editor.findChildren(QWidget)):
            if part.focusPolicy() != Qt.FocusPolicy.NoFocus:
                own = part.accessibleName()
                part.setAccessibleName(f"{own}: {label}" if own else label)
        words = Label(hint, "text3", SMALL, self)
        words.setWordWrap(True)
        words.setVisible(bool(hint))
        self._grid.addWidget(words, row + 1, 1)
        self._grid.setRowMinimumHeight(row + 2, 4)
        self._labels[editor], self._hints[editor] = name, words

    def set_hint(self, editor: QWidget, words: str, token: str = "text3") -> None:
        """Say something below an editor."""
        hint = self._hints[editor]
        hint.setText(words)
        hint.set_style(token)
        hint.setVisible(bool(words) and editor.isVisibleTo(self))

    def hint(self, editor: QWidget) -> str:
        """What is said below an editor."""
        return self._hints[editor].text()

    def show_row(self, editor: Any, shown: bool) -> None:
        """Show a row or leave it out."""
        editor.setVisible(shown)
        self._labels[editor].setVisible(shown)
        self._hints[editor].setVisible(shown and bool(self._hints[editor].text()))

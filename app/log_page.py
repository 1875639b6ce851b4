"""The Log page: every line, those that warn, or those that hold a word."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.opening import open_folder
from app.run_log import Kind
from app.run_model import RunModel
from app.widgets.button_row import ButtonRow, RowButton
from app.widgets.card import Card
from app.widgets.empty_words import EmptyWords
from app.widgets.log import LogPane
from app.widgets.segmented import Segmented
from app.widgets.text import TextEdit

_SHOWN: dict[str, set[Kind] | None] = {
    "all": None, "events": {"event", "warning", "error"}, "warnings": {"warning", "error"},
}  # fmt: skip


class LogPage(QWidget):
    """The log of the shown run.

    Signals:
        trouble: a sentence for a notice.
    """

    trouble = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run: RunModel | None = None
        self.kinds = Segmented(
            [("all", self.tr("All")), ("events", self.tr("Events")),
             ("warnings", self.tr("Warnings"))]
        )  # fmt: skip
        self.kinds.setAccessibleName(self.tr("Which lines"))
        self.kinds.set_value("all")
        self.kinds.edited.connect(self._on_filter)
        self.words = TextEdit(empty=self.tr("Find in the log"))
        self.words.line.setAccessibleName(self.tr("Find in the log"))
        self.words.line.setClearButtonEnabled(True)
        self.words.setMaximumWidth(260)
        self.words.line.textChanged.connect(self._on_filter)
        self.copy = RowButton(self.tr("Copy all"), "ghost", "copy")
        self.copy.clicked.connect(
            lambda: QGuiApplication.clipboard().setText(self.pane.toPlainText())
        )
        self.folder = RowButton(self.tr("Open folder"), "ghost", "folder")
        self.folder.clicked.connect(self._on_folder)
        self.pane = LogPane()
        self.empty = EmptyWords(self.pane)
        card = Card()
        inside = QVBoxLayout(card)
        inside.setContentsMargins(8, 8, 4, 8)
        inside.addWidget(self.pane)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self.kinds)
        row.addWidget(self.words, 1)
        row.addWidget(ButtonRow([], [self.copy, self.folder]), 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 14, 20, 14)
        layout.setSpacing(12)
        layout.addLayout(row)
        layout.addWidget(card, 1)
        self.set_run(None)

    def set_run(self, run: RunModel | None) -> None:
        """Show another run's log."""
        self._run = run
        self.pane.set_run(run)
        self.empty.say("" if run else self.tr("No run yet. What the engine says comes here."))
        self.folder.setEnabled(run is not None)

    def _on_filter(self, _: Any) -> None:
        self.pane.set_filter(_SHOWN[self.kinds.value()], self.words.line.text().strip())

    def _on_folder(self) -> None:
        if self._run is not None and self._run.directory is not None:
            words = open_folder(self._run.directory)
            if words:
                self.trouble.emit(words)

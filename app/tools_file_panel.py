"""What panels of tools for one LoRA file share: the file, and its model where asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.tools_facts import AdapterFacts
from app.tools_panel import AdapterField, ModelRows
from app.widgets.labeled_rows import LabeledRows


class FilePanel(QWidget):
    """Rows that begin with a LoRA file; a tool's own rows follow.

    Signals:
        changed: something was changed.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = LabeledRows(self)
        self.file = AdapterField(self.rows)
        self.rows.add(self.tr("LoRA file"), self.file, fills=True)
        self.model = ModelRows(self.rows)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.rows)
        self.file.looked.connect(self.show_facts)

    def widget(self) -> QWidget:
        """The panel itself."""
        return self

    def when_changed(self, act: Callable[[], None]) -> None:
        """Call `act` after every change."""
        self.changed.connect(act)

    def take(self, paths: Sequence[Path]) -> None:
        """Use the first file."""
        self.file.take(paths[0])

    def ask_for_model(self) -> None:
        """Show the rows that name the model."""
        self.model.show()

    def target_hint(self) -> str:
        """Mostly nothing."""
        return ""

    def show_facts(self, facts: AdapterFacts | None) -> None:
        """Say below the file what is in it."""
        words = facts.words if facts else ""
        self.rows.set_hint(self.file, words, "error" if facts and facts.problem else "text3")
        self.changed.emit()

    @property
    def whole_rank(self) -> int:
        """The file's highest rank; 0 while there is none."""
        return self.file.facts.ranks[-1] if self.file.facts and self.file.is_usable else 0

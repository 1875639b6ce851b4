"""What a tool has written: the files, what is to be said of them, and what to do next."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.opening import open_folder
from app.theme import SMALL
from app.tools_process import Written
from app.widgets.button import Button
from app.widgets.card import Card
from app.widgets.label import ElidedLabel, Label
from app.widgets.message import Icon
from app.words import counted


class ToolResult(Card):
    """A card that is shown when a tool is done.

    Signals:
        inspect_asked: Path of a written file.
        trouble: words for the person.
    """

    inspect_asked = Signal(object)
    trouble = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.written: list[Written] = []
        self._kept = ""
        self.title = ElidedLabel("", bold=True, parent=self)
        self.words = Label("", "text2", SMALL, self)
        self.words.setWordWrap(True)
        self.folder = Button(self.tr("Open folder"), "secondary", "folder", self)
        self.folder.clicked.connect(self._open_folder)
        self.inspect = Button(self.tr("Inspect"), "secondary", "search", self)
        self.inspect.clicked.connect(lambda: self.inspect_asked.emit(self.written[0].path))
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(Icon("check", "accent", 16, self))
        head.addWidget(self.title, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        buttons.addWidget(self.folder)
        buttons.addWidget(self.inspect)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.words)
        column.addLayout(buttons)

    def begin(self, *, is_model: bool) -> None:
        """Forget what was written before; a merged model is no LoRA to inspect."""
        self.written, self._kept = [], ""
        self.inspect.setVisible(not is_model)

    def add(self, written: Written) -> None:
        """Note a file."""
        self.written.append(written)
        self._refresh()

    def set_kept(self, least: float, mean: float) -> None:
        """Note what cutting ranks left."""
        self._kept = self.tr("Kept %1 % of the strength on average, %2 % in the weakest layer.")
        self._kept = self._kept.replace("%1", f"{mean:.1%}".rstrip("%"))
        self._kept = self._kept.replace("%2", f"{least:.1%}".rstrip("%"))
        self._refresh()

    def _refresh(self) -> None:
        files = self.written
        if not files:
            return
        first = files[0].path
        if len(files) == 1:
            title = self.tr("%s is written") % first.name
        else:
            title = self.tr("%1 files are written, %2 to %3")
            title = title.replace("%1", str(len(files))).replace("%2", first.name)
            title = title.replace("%3", files[-1].path.name)
        self.title.setText(title)
        lines = [counted(files[0].layers, self.tr("layer."), self.tr("layers.")), self._kept]
        lines += [note for one in files for note in one.notes]
        self.words.setText("\n".join(dict.fromkeys(line for line in lines if line)))

    @property
    def told(self) -> str:
        """All that is said."""
        return f"{self.title.text()}\n{self.words.text()}"

    def _open_folder(self) -> None:
        path: Path = self.written[0].path
        words = open_folder(path.parent)
        if words:
            self.trouble.emit(words)

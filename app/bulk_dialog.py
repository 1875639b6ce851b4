"""Changing many captions at once, with what will change shown before it happens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.caption_file import BulkEdit
from app.picture_model import Picture, PictureModel
from app.theme import GROUP
from app.widgets.button import Button
from app.widgets.choice import ChoiceBox
from app.widgets.label import Label
from app.widgets.text import TextEdit
from app.words import counted

_SHOWN = 200


class BulkDialog(QDialog):
    """Find and replace, put before or after, remove a tag, tidy: on the pictures given."""

    def __init__(
        self, model: PictureModel, pictures: Sequence[Picture], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._model, self._pictures = model, list(pictures)
        self._found: dict[str, tuple[str, str]] = {}
        self.setWindowTitle(self.tr("Edit captions"))
        self.resize(760, 520)
        kinds = [
            ("replace", self.tr("Find and replace")),
            ("prefix", self.tr("Put before")),
            ("suffix", self.tr("Put after")),
            ("remove_tag", self.tr("Remove a tag")),
            ("dedupe", self.tr("Remove repeated tags")),
            ("sort", self.tr("Sort tags")),
        ]
        self.kind = ChoiceBox(kinds)
        self.kind.setAccessibleName(self.tr("What to do"))
        self.kind.set_value("replace")
        self.find_text = TextEdit(empty=self.tr("text to find"))
        self.new_text = TextEdit(empty=self.tr("text to put"))
        self.find_text.line.setAccessibleName(self.tr("Find"))
        self.new_text.line.setAccessibleName(self.tr("Text"))
        self._title = Label("", scale=GROUP, bold=True)
        self._words = Label("", "text2")
        self._table = QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(
            [self.tr("Picture"), self.tr("Before"), self.tr("After")]
        )
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self._table.verticalHeader().hide()
        self._table.setAccessibleName(self.tr("What will change"))
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.apply_button = Button(self.tr("Apply"), "primary")
        self.apply_button.setDefault(True)
        self.apply_button.clicked.connect(self._on_apply_clicked)
        cancel = Button(self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        self._lay_out(cancel)
        for editor in (self.kind, self.find_text, self.new_text):
            editor.edited.connect(lambda _: self.refresh())
        self.refresh()

    def _lay_out(self, cancel: Button) -> None:
        fields = QGridLayout()
        fields.setHorizontalSpacing(12)
        fields.addWidget(self.kind, 0, 0)
        fields.addWidget(self.find_text, 0, 1)
        fields.addWidget(self.new_text, 0, 2)
        fields.setColumnStretch(1, 1)
        fields.setColumnStretch(2, 1)
        foot = QHBoxLayout()
        foot.addWidget(self._words, 1)
        foot.addWidget(cancel)
        foot.addWidget(self.apply_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 16, 20, 16)
        column.setSpacing(12)
        column.addWidget(self._title)
        column.addLayout(fields)
        column.addWidget(self._table, 1)
        column.addLayout(foot)

    def edit(self) -> BulkEdit:
        """The edit as chosen."""
        separator = self._pictures[0].separator if self._pictures else ","
        return BulkEdit(
            self.kind.value(), self.find_text.value() or "", self.new_text.value() or "", separator
        )

    def refresh(self) -> None:
        """Show what the edit would change."""
        edit = self.edit()
        self._title.setText(self.tr("Captions of {0}").format(self._counted(len(self._pictures))))
        self.find_text.setVisible(edit.kind in ("replace", "remove_tag"))
        self.new_text.setVisible(edit.kind in ("replace", "prefix", "suffix"))
        self._found = self._model.preview(edit, self._pictures)
        rows = list(self._found.items())[:_SHOWN]
        self._table.setRowCount(len(rows))
        for row, (path, (before, after)) in enumerate(rows):
            for column, text in enumerate((Path(path).name, before, after)):
                item = QTableWidgetItem(text.replace("\n", " ⏎ "))
                item.setToolTip(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
                self._table.setItem(row, column, item)
        more = len(self._found) - len(rows)
        words = counted(
            len(self._found), self.tr("caption will change"), self.tr("captions will change")
        )
        self._words.setText(words + (self.tr("; %s more than shown") % more if more else ""))
        self.apply_button.setEnabled(bool(self._found))

    def _counted(self, pictures: int) -> str:
        return counted(pictures, self.tr("picture"), self.tr("pictures"))

    def _on_apply_clicked(self) -> None:
        texts = {path: after for path, (_, after) in self._found.items()}
        words = self.tr("captions of {0}").format(self._counted(len(texts)))
        self._model.set_captions(texts, words)
        self.accept()

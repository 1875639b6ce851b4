"""A file's metadata: searched by key and value, read whole, copied."""

from __future__ import annotations

import json
from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QGuiApplication, QStandardItem, QStandardItemModel
from PySide6.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QPlainTextEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from app.theme import SMALL, font, switch
from app.widgets.button import Button
from app.widgets.label import Label
from app.widgets.plain_table import dress, recolor
from app.widgets.search_field import SearchField

_CELL_LETTERS = 400  # a thumbnail's data URL would be measured letter by letter


class MetadataTable(QWidget):
    """Keys and values; the one that is chosen stands below in full."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._metadata: dict[str, str] = {}
        self.search = SearchField(self)
        words = self.tr("Find a key or a value")
        self.search.line.setPlaceholderText(words)
        self.search.line.setAccessibleName(words)
        self._count = Label("", "text3", SMALL, self)
        self.copy = Button(self.tr("Copy value"), "secondary", "copy", self)
        self.copy.clicked.connect(self.copy_value)
        self.copy_all = Button(self.tr("Copy all"), "ghost", "copy", self)
        self.copy_all.setToolTip(self.tr("All keys and values, as JSON"))
        self.copy_all.clicked.connect(self._copy_all)
        self._model = QStandardItemModel(0, 2, self)
        self._model.setHorizontalHeaderLabels([self.tr("Key"), self.tr("Value")])
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self._model)
        self._proxy.setFilterKeyColumn(-1)
        self._proxy.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._proxy.setFilterRole(Qt.ItemDataRole.UserRole)
        self.table = QTableView(self)
        self.whole = QPlainTextEdit(self)
        self._lay_out()
        self.search.changed.connect(self._on_search)
        self.search.left.connect(self.table.setFocus)
        self.table.selectionModel().currentChanged.connect(self._on_current)
        switch().changed.connect(self._restyle)
        self._restyle()

    def _lay_out(self) -> None:
        table = self.table
        table.setModel(self._proxy)
        table.setAccessibleName(self.tr("Metadata"))
        dress(table)
        head = table.horizontalHeader()
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        head.resizeSection(0, head.fontMetrics().averageCharWidth() * 34)
        head.setStretchLastSection(True)
        self.whole.setReadOnly(True)
        self.whole.setTabChangesFocus(True)
        self.whole.setAccessibleName(self.tr("The chosen value"))
        self.whole.setFont(font(mono=True))
        self.whole.setFixedHeight(4 * self.whole.fontMetrics().lineSpacing() + 16)
        top = QHBoxLayout()
        top.setSpacing(10)
        top.addWidget(self.search, 1)
        top.addWidget(self._count)
        foot = QHBoxLayout()
        foot.addWidget(self.copy)
        foot.addWidget(self.copy_all)
        foot.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addLayout(top)
        column.addWidget(table, 1)
        column.addWidget(self.whole)
        column.addLayout(foot)

    def _restyle(self) -> None:
        recolor(self.table)
        self.whole.setFont(font(mono=True))

    def show_metadata(self, metadata: Mapping[str, str]) -> None:
        """Show these, by key."""
        self._metadata = dict(sorted(metadata.items()))
        self._model.removeRows(0, self._model.rowCount())
        for key, value in self._metadata.items():
            row = [QStandardItem(key), QStandardItem(value[:_CELL_LETTERS])]
            for item, text in zip(row, (key, value), strict=True):
                item.setData(text, Qt.ItemDataRole.UserRole)
            self._model.appendRow(row)
        self._on_search("")
        self.copy_all.setEnabled(bool(self._metadata))

    def _on_search(self, text: str) -> None:
        self._proxy.setFilterFixedString(text.strip())
        shown, all_of_them = self._proxy.rowCount(), len(self._metadata)
        words = f"{shown} of {all_of_them}" if text.strip() else f"{all_of_them} keys"
        self._count.setText(words if all_of_them else self.tr("The file has no metadata"))
        if shown:
            self.table.selectRow(0)
        else:
            self._on_current(QModelIndex())

    @property
    def shown_keys(self) -> list[str]:
        """The keys that match the search."""
        return [self._proxy.index(row, 0).data() for row in range(self._proxy.rowCount())]

    @property
    def value(self) -> str:
        """The chosen value in full."""
        row = self.table.currentIndex().row()
        return self._proxy.index(row, 1).data(Qt.ItemDataRole.UserRole) if row >= 0 else ""

    def _on_current(self, index: QModelIndex, _former: object = None) -> None:
        value = index.siblingAtColumn(1).data(Qt.ItemDataRole.UserRole) if index.isValid() else ""
        self.whole.setPlainText(_readable(str(value or "")))
        self.copy.setEnabled(index.isValid())

    def copy_value(self) -> None:
        """Put the chosen value on the clipboard, as it is in the file."""
        QGuiApplication.clipboard().setText(self.value)

    def _copy_all(self) -> None:
        text = json.dumps(self._metadata, indent=2, ensure_ascii=False)
        QGuiApplication.clipboard().setText(text)


def _readable(text: str) -> str:
    """JSON with its lines apart; all else as it is."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text

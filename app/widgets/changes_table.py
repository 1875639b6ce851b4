"""A table of changes to come: field, its value now, its value then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from app.theme import SMALL, color, control_height, font

Row = tuple[str, str, str]
Index = QModelIndex | QPersistentModelIndex
_ROWS_SEEN = 12


class ChangesModel(QAbstractTableModel):
    """Rows of field, now, then."""

    def __init__(self, rows: Sequence[Row], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = list(rows)
        self._heads = (self.tr("Field"), self.tr("Now"), self.tr("Then"))

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other changes."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """Changes."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Field, now, then."""
        return 0 if parent is not None and parent.isValid() else 3

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The words; what goes is paler than what comes."""
        if not index.isValid():
            return None
        words = self._rows[index.row()][index.column()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return words
        if role == Qt.ItemDataRole.ForegroundRole:
            return color("text2" if index.column() == 1 else "text")
        if role == Qt.ItemDataRole.FontRole:
            return font(bold=index.column() == 2)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The three heads."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return self._heads[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            if role == Qt.ItemDataRole.ForegroundRole:
                return color("text2")
            if role == Qt.ItemDataRole.FontRole:
                return font(SMALL)
        return None


class ChangesTable(QTableView):
    """Shows a ChangesModel without grid or edges of its own; rows can be read by the keyboard."""

    def __init__(self, rows: Sequence[Row], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.changes = ChangesModel(rows, self)
        self.setModel(self.changes)
        self.setAccessibleName(self.tr("Changes"))
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(control_height() - 2)
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setSectionsClickable(False)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            head.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            head.resizeSection(column, head.fontMetrics().averageCharWidth() * 22)
        palette = self.palette()
        palette.setColor(QPalette.ColorRole.Highlight, color("accent_soft"))
        palette.setColor(QPalette.ColorRole.HighlightedText, color("text"))
        self.setPalette(palette)

    def sizeHint(self) -> QSize:
        """As high as its rows, up to twelve of them."""
        rows = min(max(self.changes.rowCount(), 2), _ROWS_SEEN)
        row = self.verticalHeader().defaultSectionSize()
        return QSize(560, self.horizontalHeader().sizeHint().height() + rows * row + 4)

    def minimumSizeHint(self) -> QSize:
        """Head and three rows; it scrolls."""
        row = self.verticalHeader().defaultSectionSize()
        return QSize(320, self.horizontalHeader().sizeHint().height() + 3 * row)

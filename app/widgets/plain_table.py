"""A table to read: rows without grid or edges, some columns of figures, copied by Ctrl+C."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import (
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPalette,
    QStandardItem,
    QStandardItemModel,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from app.theme import color, control_height, switch

_ROWS_SEEN = 14
_FIGURES_PX = 76


def dress(table: QTableView) -> None:
    """Take away what tables have around their words; rows are chosen whole."""
    table.setFrameShape(QFrame.Shape.NoFrame)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(control_height() - 4)
    head = table.horizontalHeader()
    head.setHighlightSections(False)
    head.setSectionsClickable(False)
    head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    recolor(table)


def recolor(table: QTableView) -> None:
    """Take the colors of the chosen row from the theme as it is now."""
    palette = table.palette()
    palette.setColor(QPalette.ColorRole.Highlight, color("accent_soft"))
    palette.setColor(QPalette.ColorRole.HighlightedText, color("text"))
    table.setPalette(palette)


class PlainTable(QTableView):
    """Heads and rows of words; columns in `figures` stand at the right."""

    def __init__(
        self, heads: Sequence[str], name: str, parent: QWidget | None = None,
        *, figures: Collection[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._figures = frozenset(figures)
        self._items = QStandardItemModel(0, len(heads), self)
        self._items.setHorizontalHeaderLabels(list(heads))
        for column in self._figures:
            right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self._items.setHeaderData(
                column, Qt.Orientation.Horizontal, right, Qt.ItemDataRole.TextAlignmentRole
            )
        self.setModel(self._items)
        self.setAccessibleName(name)
        dress(self)
        head = self.horizontalHeader()
        head.setMinimumSectionSize(_FIGURES_PX)
        for column in range(len(heads)):
            last = column == len(heads) - 1
            stretches = (last and column not in self._figures) or (column == 0 and self._figures)
            mode = QHeaderView.ResizeMode
            head.setSectionResizeMode(column, mode.Stretch if stretches else mode.ResizeToContents)
        switch().changed.connect(self._on_theme)

    def _on_theme(self) -> None:
        recolor(self)

    def show_rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Show other rows."""
        self._items.removeRows(0, self._items.rowCount())
        for row in rows:
            items = [QStandardItem(text) for text in row]
            for column, item in enumerate(items):
                item.setToolTip(item.text())
                if column in self._figures:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
            self._items.appendRow(items)
        self.updateGeometry()

    def rows(self) -> list[list[str]]:
        """The words shown."""
        columns = range(self._items.columnCount())
        return [[self._items.item(row, column).text() for column in columns]
                for row in range(self._items.rowCount())]  # fmt: skip

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the chosen row."""
        if event.matches(QKeySequence.StandardKey.Copy) and self.currentIndex().isValid():
            QGuiApplication.clipboard().setText("\t".join(self.rows()[self.currentIndex().row()]))
            return
        super().keyPressEvent(event)

    def whole_height(self) -> int:
        """The height at which nothing scrolls."""
        row = self.verticalHeader().defaultSectionSize()
        return self.horizontalHeader().sizeHint().height() + self._items.rowCount() * row + 4

    def sizeHint(self) -> QSize:
        """As high as its rows, up to some."""
        rows = min(max(self._items.rowCount(), 2), _ROWS_SEEN)
        row = self.verticalHeader().defaultSectionSize()
        return QSize(420, self.horizontalHeader().sizeHint().height() + rows * row + 4)

    def minimumSizeHint(self) -> QSize:
        """Head and three rows; it scrolls."""
        row = self.verticalHeader().defaultSectionSize()
        return QSize(240, self.horizontalHeader().sizeHint().height() + 3 * row)

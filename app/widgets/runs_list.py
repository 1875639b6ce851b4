"""Lists of runs: the waiting ones, to be put in order, and those there were."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app import theme
from app.icons import draw_icon
from app.run_folder import RunFacts
from app.run_queue import QueueItem
from app.words import figure_words

Index = QModelIndex | QPersistentModelIndex
ROW_PX = 52
_MIME = "application/x-graft-queue"
_ITEM = Qt.ItemDataRole.UserRole
STATUS_WORDS = {
    "starting": "starting", "running": "training", "paused": "paused", "done": "done",
    "stopped": "stopped", "aborted": "aborted", "failed": "failed", "interrupted": "interrupted",
}  # fmt: skip
_STATUS_ICONS = {
    "done": ("check", "accent"), "stopped": ("pause", "text2"), "aborted": ("close", "text2"),
    "failed": ("error", "error"), "interrupted": ("warn", "warn"), "queued": ("clock", "text2"),
}  # fmt: skip


class _Rows(QAbstractListModel):
    """Rows of items; `_words` says what screen readers and tooltips tell of one."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Any] = []

    def rowCount(self, parent: Index | None = None) -> int:
        """Items."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The item, and its words."""
        if not index.isValid():
            return None
        item = self._rows[index.row()]
        if role == _ITEM:
            return item
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._words(item, index.row())
        return self._tip(item) if role == Qt.ItemDataRole.ToolTipRole else None

    def _words(self, item: Any, row: int) -> str:
        return str(item)

    def _tip(self, _item: Any) -> str | None:
        return None


class RunsModel(_Rows):
    """Rows of RunFacts."""

    def set_rows(self, rows: Sequence[RunFacts]) -> None:
        """Show these runs; the list is reset only when other runs, or another order, came."""
        same = [r.directory for r in rows] == [r.directory for r in self._rows]
        if same:
            self._rows = list(rows)
            if self._rows:
                self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))
            return
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def _words(self, item: RunFacts, row: int) -> str:
        return f"{item.name}, {status_words(item)}"

    def _tip(self, item: RunFacts) -> str:
        return f"{item.directory}\n{item.message}".strip()


class QueueModel(_Rows):
    """Rows of QueueItem; dropping one elsewhere asks for the new order.

    Signals:
        moved: identity of an item and its new place.
    """

    moved = Signal(str, int)

    def set_rows(self, rows: Sequence[QueueItem]) -> None:
        """Show these items."""
        self.beginResetModel()
        self._rows = list(rows)
        self.endResetModel()

    def _words(self, item: QueueItem, row: int) -> str:
        return self.tr("{0}, place {1} in the queue").format(item.name, row + 1)

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Items can be dragged; they are dropped between others."""
        if not index.isValid():
            return Qt.ItemFlag.ItemIsDropEnabled
        chosen = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return chosen | Qt.ItemFlag.ItemIsDragEnabled

    def supportedDropActions(self) -> Qt.DropAction:
        """Moves alone."""
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        """Our own."""
        return [_MIME]

    def mimeData(self, indexes: Any) -> QMimeData:
        """The identity of the dragged item."""
        data = QMimeData()
        identity = self._rows[indexes[0].row()].identity
        data.setData(_MIME, QByteArray(identity.encode()))
        return data

    def dropMimeData(
        self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index
    ) -> bool:
        """Ask for the new order. The view must not remove the row itself, hence False."""
        identity = bytes(data.data(_MIME).data()).decode()
        here = next((i for i, item in enumerate(self._rows) if item.identity == identity), None)
        if here is None:
            return False
        to = row if row >= 0 else parent.row() if parent.isValid() else len(self._rows)
        self.moved.emit(identity, to - 1 if to > here else to)
        return False


class RunsList(QListView):
    """A list of runs or of waiting jobs, painted from the theme.

    Signals:
        opened: an item was double-clicked or Return pressed on it.
        key_move: Alt with up (-1) or down (1) on an item.
        key_delete: Delete on an item.
    """

    opened = Signal(object)
    key_move = Signal(object, int)
    key_delete = Signal(object)

    def __init__(
        self, model: RunsModel | QueueModel, name: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setModel(model)
        self.setItemDelegate(_Row(self))
        self.setUniformItemSizes(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMouseTracking(True)
        self.setAccessibleName(name)
        self.viewport().setAutoFillBackground(False)
        if isinstance(model, QueueModel):
            self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
            self.setDragDropOverwriteMode(False)
        self.doubleClicked.connect(lambda index: self.opened.emit(index.data(_ITEM)))

    def current(self) -> Any:
        """The current item, or None."""
        return self.currentIndex().data(_ITEM) if self.currentIndex().isValid() else None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Return opens, Alt with arrows orders, Delete takes out."""
        item = self.current()
        alt = bool(event.modifiers() & Qt.KeyboardModifier.AltModifier)
        if item is None:
            super().keyPressEvent(event)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit(item)
        elif alt and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.key_move.emit(item, -1 if event.key() == Qt.Key.Key_Up else 1)
        elif event.key() == Qt.Key.Key_Delete:
            self.key_delete.emit(item)
        else:
            super().keyPressEvent(event)


class _Row(QStyledItemDelegate):
    """Paints a run or a waiting job in two lines."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Two lines and room."""
        return QSize(200, max(ROW_PX, 2 * option.fontMetrics.height() + 18))  # type: ignore[attr-defined]

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint one row."""
        item = index.data(_ITEM)
        rect = QRectF(option.rect)  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        body = rect.adjusted(2, 2, -2, -2)
        painter.setPen(Qt.PenStyle.NoPen)
        if state & QStyle.StateFlag.State_Selected:
            painter.setBrush(theme.color("accent_soft"))
            painter.drawRoundedRect(body, 5, 5)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.setBrush(theme.color("hover"))
            painter.drawRoundedRect(body, 5, 5)
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(body, 5, 5)
        if isinstance(item, RunFacts):
            words = [status_words(item), when_words(item.changed)]
            self._paint_status(painter, rect, item)
            right = figure_words(item.loss) if item.loss is not None else ""
            self._paint_lines(painter, rect, item.name, words, right, item.architecture_label)
        elif isinstance(item, QueueItem):
            spot = QRectF(rect.x() + 12, rect.center().y() - 8, 16, 16)
            draw_icon(painter, "clock", spot, "text2")
            place = self.tr("next") if index.row() == 0 else self.tr("place {0}").format(
                index.row() + 1
            )  # fmt: skip
            words = [place, self.tr("resumes")] if item.resume else [place]
            self._paint_lines(painter, rect, item.name, words, "", "")
            grip = QRectF(rect.right() - 28, rect.center().y() - 8, 16, 16)
            draw_icon(painter, "drag", grip, "text3")
        painter.restore()

    def _paint_status(self, painter: QPainter, rect: QRectF, run: RunFacts) -> None:
        spot = QRectF(rect.x() + 12, rect.center().y() - 8, 16, 16)
        if run.status in _STATUS_ICONS:
            draw_icon(painter, *_icon_spot(run.status, spot))
            return
        part = run.step / run.total_steps if run.total_steps else 0.0
        ring = spot.adjusted(1.5, 1.5, -1.5, -1.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme.color("line"), 3))
        painter.drawEllipse(ring)
        painter.setPen(QPen(theme.color("accent"), 3))
        painter.drawArc(ring, 90 * 16, -math.ceil(part * 360 * 16))

    def _paint_lines(
        self, painter: QPainter, rect: QRectF, name: str, words: list[str], right: str, foot: str
    ) -> None:
        x = rect.x() + 40
        middle = rect.center().y()
        line = painter.fontMetrics().height()
        edge = rect.right() - (36 if not right and not foot else 14)
        painter.setFont(theme.font(bold=True))
        painter.setPen(theme.color("text"))
        upper = QRectF(x, middle - line - 1, edge - x - 90, line + 2)
        fitted = painter.fontMetrics().elidedText(
            name, Qt.TextElideMode.ElideMiddle, int(upper.width())
        )
        painter.drawText(upper, Qt.AlignmentFlag.AlignVCenter, fitted)
        painter.setFont(theme.font(theme.SMALL))
        painter.setPen(theme.color("text2"))
        lower = QRectF(x, middle + 1, edge - x - 60, line + 2)
        joined = painter.fontMetrics().elidedText(
            " · ".join(w for w in words if w), Qt.TextElideMode.ElideRight, int(lower.width())
        )
        painter.drawText(lower, Qt.AlignmentFlag.AlignVCenter, joined)
        at_right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(QRectF(x, middle + 1, edge - x, line + 2), at_right, foot)
        painter.setFont(theme.font(theme.SMALL, bold=True))
        painter.setPen(theme.color("text"))
        painter.drawText(QRectF(x, middle - line - 1, edge - x, line + 2), at_right, right)


def _icon_spot(status: str, spot: QRectF) -> tuple[str, QRectF, str]:
    name, token = _STATUS_ICONS[status]
    return name, spot, token


def status_words(run: RunFacts) -> str:
    """A run's state in a phrase, with the step a resume would go on from."""
    words = STATUS_WORDS[run.status]
    if run.total_steps:
        words += f", step {run.step:,} of {run.total_steps:,}"
    if run.status in ("interrupted", "failed", "stopped") and run.resume_step is not None:
        words += f", resumes from {run.resume_step:,}"
    return words


def when_words(changed: float, now: float | None = None) -> str:
    """When something last happened: "today 14:07", "12 Mar 2026"."""
    if not changed:
        return ""
    then, today = time.localtime(changed), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("today %H:%M", then)
    if then[0] == today[0]:
        return time.strftime("%d %b %H:%M", then).lstrip("0")
    return time.strftime("%d %b %Y", then).lstrip("0")

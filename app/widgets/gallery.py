"""The grid of previews: prompts down, steps across, prompt and base model always in sight."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPainterPath, QPen, QResizeEvent, QTextOption
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from app import theme
from app.icons import draw_icon
from app.preview_grid import PreviewGrid
from app.thumbnails import Thumbnails

GAP = 8
_RADIUS = 4
_PROMPT_WIDTH = (128, 170)
_KEYS = {
    Qt.Key.Key_Space: "opened", Qt.Key.Key_Return: "opened", Qt.Key.Key_Enter: "opened",
    Qt.Key.Key_C: "compared", Qt.Key.Key_S: "starred",
}  # fmt: skip


class Gallery(QWidget):
    """Two tables over one model, so that the prompts and the base model stay while steps scroll.

    Signals:
        opened, compared, starred: prompt index and step of the picture asked for.
        chosen: prompt index and step of the current picture.
    """

    opened = Signal(int, int)
    compared = Signal(int, int)
    starred = Signal(int, int)
    chosen = Signal(int, int)

    def __init__(
        self, grid: PreviewGrid, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.grid = grid
        self._side = 0
        self._stick_right = True
        self.frozen, self.table = _Table(self), _Table(self)
        delegate = _Cell(grid, thumbnails, self)
        for view in (self.frozen, self.table):
            view.setModel(grid)
            view.setItemDelegate(delegate)
            view.doubleClicked.connect(lambda index: self._tell("opened", index))
            view.key_pressed.connect(self._tell)
        self.table.setSelectionModel(self.frozen.selectionModel())
        self.frozen.selectionModel().currentChanged.connect(
            lambda index, _: self._tell("chosen", index)
        )
        self.frozen.setAccessibleName(self.tr("Prompts and base model"))
        self.table.setAccessibleName(self.tr("Previews by prompt and step"))
        self.frozen.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.frozen.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        bar, other = self.table.verticalScrollBar(), self.frozen.verticalScrollBar()
        bar.valueChanged.connect(other.setValue)
        other.valueChanged.connect(bar.setValue)
        across = self.table.horizontalScrollBar()
        across.valueChanged.connect(
            lambda value: setattr(self, "_stick_right", value >= self._newest_value() - 4)
        )
        across.rangeChanged.connect(self._keep_newest_in_sight)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.frozen)
        layout.addWidget(self.table, 1)
        grid.modelReset.connect(self._lay_out)
        thumbnails.ready.connect(self._repaint)  # bound: it ends with this widget
        self.set_side(96)

    def set_side(self, side: int) -> None:
        """Set the side of the pictures, in logical pixels."""
        if side != self._side:
            self._side = side
            self._lay_out()

    @property
    def side(self) -> int:
        """The side of the pictures."""
        return self._side

    def height_of(self, rows: int) -> int:
        """Height that shows so many rows whole."""
        head = self.table.horizontalHeader().sizeHint().height()
        bar = self.table.horizontalScrollBar()
        return head + rows * (self._side + GAP) + (bar.sizeHint().height() if bar.maximum() else 4)

    def choose(self, prompt: int, step: int) -> None:
        """Make a picture the current one and bring it into sight."""
        index = self.grid.index_of(prompt, step)
        if index.isValid():
            self.frozen.selectionModel().setCurrentIndex(
                index, self.frozen.selectionModel().SelectionFlag.ClearAndSelect
            )
            self.table.scrollTo(index)

    def current(self) -> tuple[int, int] | None:
        """Prompt index and step of the current picture."""
        sample = self.grid.sample_at(self.frozen.currentIndex())
        return (sample.prompt_index, sample.step) if sample is not None else None

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The prompts' column is narrower in narrow places."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        frozen_columns = 2 if self.grid.steps[:1] == [0] else 1
        narrow, wide = _PROMPT_WIDTH
        prompt_width = max(narrow, min(wide, self.width() // 5))
        cell = self._side + GAP
        for column in range(self.grid.columnCount()):
            is_frozen = column < frozen_columns
            self.frozen.setColumnHidden(column, not is_frozen)
            self.table.setColumnHidden(column, is_frozen)
            for view in (self.frozen, self.table):
                view.setColumnWidth(column, prompt_width if column == 0 else cell)
        for view in (self.frozen, self.table):
            view.verticalHeader().setDefaultSectionSize(cell)
            view.newest = len(self.grid.steps)
        self.frozen.setFixedWidth(prompt_width + (cell if frozen_columns == 2 else 0))

    def _keep_newest_in_sight(self, *_: int) -> None:
        """Follow the newest step, with a glimpse of the next, unless one scrolled away."""
        if self._stick_right:
            self.table.horizontalScrollBar().setValue(self._newest_value())

    def _newest_value(self) -> int:
        newest = len(self.grid.steps)
        table = self.table
        right = table.columnViewportPosition(newest) + table.horizontalOffset()
        right += table.columnWidth(newest) * (2 if self.grid.planned else 1)
        most = table.horizontalScrollBar().maximum()
        cell = self._side + GAP
        whole = -(-(right - table.viewport().width()) // cell) * cell
        return max(0, min(most, whole))

    def _tell(self, what: str, index: QModelIndex) -> None:
        sample = self.grid.sample_at(index)
        if sample is not None:
            getattr(self, what).emit(sample.prompt_index, sample.step)

    def _repaint(self, _path: str = "") -> None:
        self.frozen.viewport().update()
        self.table.viewport().update()


class _Header(QHeaderView):
    """Step titles; the newest bold, starred ones with their star."""

    def __init__(self, view: _Table) -> None:
        super().__init__(Qt.Orientation.Horizontal, view)
        self._view = view
        self.setSectionsClickable(False)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setMinimumSectionSize(24)
        self.viewport().setAutoFillBackground(False)

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(super().sizeHint().width(), self.fontMetrics().height() + 10)

    def paintSection(self, painter: QPainter, rect: object, logical: int) -> None:
        """Paint one title."""
        grid = self._view.model()
        if not isinstance(grid, PreviewGrid):
            return
        area = QRectF(rect)  # type: ignore[call-overload]
        painter.save()
        painter.setFont(theme.font(theme.SMALL, bold=logical == len(grid.steps)))
        planned = grid.is_planned(logical)
        painter.setPen(theme.color("text3" if planned else "text"))
        words = str(grid.headerData(logical, Qt.Orientation.Horizontal) or "")
        step = grid.step_of(logical)
        if step is not None and grid.is_starred(step):
            draw_icon(painter, "star", QRectF(area.right() - GAP - 14, area.y() + 4, 14, 14),
                      "accent")  # fmt: skip
            area.adjust(0, 0, -16, 0)
        room = painter.fontMetrics().elidedText(
            words, Qt.TextElideMode.ElideRight, int(area.width())
        )
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, room)
        painter.restore()


class _Table(QTableView):
    """A plain table without grid, head or frame of its own."""

    key_pressed = Signal(str, QModelIndex)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.newest = 0
        self.setHorizontalHeader(_Header(self))
        self.verticalHeader().hide()
        self.verticalHeader().setMinimumSectionSize(24)
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.viewport().setAutoFillBackground(False)
        palette = self.palette()
        palette.setColor(palette.ColorRole.Highlight, Qt.GlobalColor.transparent)
        self.setPalette(palette)  # the delegate paints the ring of the current picture

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space opens, C compares, S stars; arrows move."""
        what = _KEYS.get(Qt.Key(event.key()))
        if what is not None and not event.modifiers():
            self.key_pressed.emit(what, self.currentIndex())
            return
        super().keyPressEvent(event)


class _Cell(QStyledItemDelegate):
    """Paints a prompt, a preview, or the place of one to come."""

    def __init__(self, grid: PreviewGrid, thumbnails: Thumbnails, gallery: Gallery) -> None:
        super().__init__(gallery)
        self._grid, self._thumbnails, self._gallery = grid, thumbnails, gallery

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Paint one cell."""
        rect = QRectF(option.rect)  # type: ignore[attr-defined]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if index.column() == 0:
            self._paint_prompt(painter, rect, index)
        else:
            side = self._gallery.side
            box = QRectF(rect.x() + 2, rect.y() + GAP / 2, side - 4, side - 4)
            if self._grid.is_planned(index.column()):
                self._paint_planned(painter, box, index)
            else:
                self._paint_picture(painter, box, index)
        painter.restore()

    def _paint_prompt(
        self, painter: QPainter, rect: QRectF, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        first = self._grid.first_of(self._grid.prompts[index.row()])
        if first is None:
            return
        area = rect.adjusted(0, 2, -14, -GAP)
        painter.setFont(theme.font(theme.SMALL))
        line = painter.fontMetrics().height()
        painter.setPen(theme.color("text"))
        wrap = QTextOption()
        wrap.setWrapMode(QTextOption.WrapMode.WordWrap)
        painter.save()
        painter.setClipRect(area.adjusted(0, 0, 0, -line - 2))
        painter.drawText(area, first.prompt, wrap)
        painter.restore()
        painter.setPen(theme.color("text3"))
        foot = QRectF(area.x(), area.bottom() - line, area.width(), line)
        words = self.tr("seed {0}").format(first.seed)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, words)

    def _paint_planned(
        self, painter: QPainter, box: QRectF, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        pen = QPen(theme.color("field", 0.7), 1, Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), _RADIUS, _RADIUS)
        step = self._grid.step_of(index.column())
        if index.row() == 0 and step is not None and index.column() == len(self._grid.steps) + 1:
            steps, time = self._grid.planned_words(step)
            painter.setPen(theme.color("text2"))
            painter.setFont(theme.font(theme.TICK))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{steps}\n{time}".strip())

    def _paint_picture(
        self, painter: QPainter, box: QRectF, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        sample = self._grid.sample_at(index)
        if sample is None:
            return
        path = self._grid.path_of(sample)
        pixmap = self._thumbnails.get(str(path)) if path is not None else None
        frame = QPainterPath()
        frame.addRoundedRect(box, _RADIUS, _RADIUS)
        if pixmap is None or pixmap.isNull():
            painter.fillPath(frame, theme.color("sunken"))
            problem = self._thumbnails.problem(str(path))
            painter.setPen(theme.color("text3"))
            painter.setFont(theme.font(theme.TICK))
            wrap = QTextOption(Qt.AlignmentFlag.AlignCenter)
            painter.drawText(box.adjusted(4, 4, -4, -4), problem, wrap)
        else:
            size = pixmap.size().scaled(box.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
            spot = QRectF(0, 0, size.width(), size.height())
            spot.moveCenter(box.center())
            painter.setClipPath(frame)
            painter.drawPixmap(spot, pixmap, QRectF(pixmap.rect()))
            painter.setClipping(False)
        if self._gallery.current() == (sample.prompt_index, sample.step):
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(-1, -1, 1, 1), _RADIUS + 1, _RADIUS + 1)

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """A square and its gap."""
        return QSize(self._gallery.side + GAP, self._gallery.side + GAP)

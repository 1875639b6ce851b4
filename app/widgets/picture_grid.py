"""The grid of thumbnails: picture, first words of its caption, name, badges for what is wrong."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from app.icons import draw_icon
from app.picture_model import ROW, Picture, PictureModel
from app.theme import SMALL, TICK, font, tokens
from app.thumbnails import Thumbnails

USUAL_SIDE_PX = 128
_GAP_PX = 8


class PictureGrid(QListView):
    """Shows a `PictureModel`; several pictures can be selected."""

    side = USUAL_SIDE_PX  # of a picture, in logical pixels

    def __init__(
        self, model: PictureModel, thumbnails: Thumbnails, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setAccessibleName(self.tr("Pictures"))
        self.setMouseTracking(True)
        self.viewport().setAutoFillBackground(False)  # it lies on the page's own ground
        self.setItemDelegate(_PictureDelegate(model, thumbnails, self))
        self.setModel(model)
        self._fit()
        thumbnails.ready.connect(self._repaint_visible)
        thumbnails.failed.connect(model.set_problem)

    def set_side(self, side: int) -> None:
        """Set the side of the pictures, in logical pixels."""
        if side != self.side:
            self.side = side
            self._fit()
            self.viewport().update()

    def _fit(self) -> None:
        lines = self.fontMetrics().height() * 2
        self.setGridSize(QSize(self.side + _GAP_PX * 2, self.side + lines + _GAP_PX * 2 + 4))

    def changeEvent(self, event: object) -> None:
        super().changeEvent(event)  # pyright: ignore[reportArgumentType]
        self._fit()

    def _repaint_visible(self, _path: str) -> None:
        self.viewport().update()

    def selected(self) -> list[Picture]:
        """The selected pictures, in the order of the rows."""
        rows = sorted(self.selectionModel().selectedIndexes(), key=lambda i: i.row())
        return [index.data(ROW) for index in rows]


class _PictureDelegate(QStyledItemDelegate):
    def __init__(self, model: PictureModel, thumbnails: Thumbnails, grid: PictureGrid) -> None:
        super().__init__(grid)
        self._model, self._thumbnails, self._grid = model, thumbnails, grid

    def sizeHint(
        self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex
    ) -> QSize:
        """The whole cell: what is pressed is the picture, not a line as long as its name."""
        return self._grid.gridSize()

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        picture: Picture = index.data(ROW)
        area = QRectF(option.rect).adjusted(_GAP_PX, _GAP_PX, -_GAP_PX, -_GAP_PX)  # pyright: ignore
        state = option.state  # pyright: ignore[reportAttributeAccessIssue]
        square = QRectF(area.left(), area.top(), self._grid.side, self._grid.side)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        self._paint_picture(painter, picture, square)
        if state & QStyle.StateFlag.State_Selected:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(tokens().accent), 2))
            painter.drawRoundedRect(square.adjusted(-3, -3, 3, 3), 6, 6)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(tokens().field), 1))
            painter.drawRoundedRect(square.adjusted(-2, -2, 2, 2), 6, 6)
        self._paint_words(painter, picture, area, square)
        painter.restore()

    def _paint_picture(self, painter: QPainter, picture: Picture, square: QRectF) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens().sunken))
        painter.drawRoundedRect(square, 4, 4)
        pixmap = self._thumbnails.get(picture.path)
        if pixmap is not None:
            size = pixmap.size().scaled(
                self._grid.side, self._grid.side, Qt.AspectRatioMode.KeepAspectRatio
            )
            rect = QRectF(0, 0, size.width(), size.height())
            rect.moveCenter(square.center())
            clip = QPainterPath()
            clip.addRoundedRect(rect, 4, 4)
            painter.save()
            painter.setClipPath(clip)
            painter.drawPixmap(rect, pixmap, QRectF(pixmap.rect()))
            painter.restore()
        caption = self._model.caption(picture)
        if picture.problem:
            self._paint_badge(painter, square, "error", "error", "error_soft")
        elif caption.warning or not caption.text.strip():
            self._paint_badge(painter, square, "warn", "warn", "warn_soft")

    def _paint_badge(
        self, painter: QPainter, square: QRectF, icon: str, token: str, soft: str
    ) -> None:
        box = QRectF(square.right() - 26, square.top() + 4, 22, 22)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(getattr(tokens(), soft)))
        painter.drawRoundedRect(box, 5, 5)
        draw_icon(painter, icon, box.adjusted(4, 4, -4, -4), token)

    def _paint_words(
        self, painter: QPainter, picture: Picture, area: QRectF, square: QRectF
    ) -> None:
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        elide = Qt.TextElideMode.ElideRight
        line = QRectF(
            square.left(), square.bottom() + 4, self._grid.side, painter.fontMetrics().height()
        )
        painter.setFont(font(SMALL))
        painter.setPen(QColor(tokens().text))
        caption = self._model.caption(picture).text.split("\n", 1)[0]
        if caption.strip():
            text = painter.fontMetrics().elidedText(caption, elide, self._grid.side)
        else:
            painter.setPen(QColor(tokens().warn))
            text = self.tr("no caption")
        painter.drawText(line, left, text)
        line.translate(0, line.height())
        painter.setFont(font(TICK))
        painter.setPen(QColor(tokens().text3))
        name = painter.fontMetrics().elidedText(
            picture.name, Qt.TextElideMode.ElideMiddle, self._grid.side
        )
        painter.drawText(line, left, name)

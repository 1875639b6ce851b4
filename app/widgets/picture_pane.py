"""One preview large, or two compared: wiped over each other, side by side, or their difference."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app import theme

Mode = Literal["single", "wipe", "side", "difference"]
_MAX_ZOOM = 16.0
_HANDLE = 9.0


class PicturePane(QWidget):
    """Paints up to two pictures with one zoom and one place for both.

    Wheel zooms at the mouse, drag moves, double click fits; in wipe mode the line is dragged, or
    moved by the comma and point keys with Shift.

    Signals:
        turned: arrow keys: steps to go (first), prompts to go (second).
        closed: Escape.
    """

    turned = Signal(int, int)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode: Mode = "single"
        self.wipe = 0.5  # where the line lies in the picture, 0 to 1
        self._images: list[QImage | None] = [None, None]
        self._titles = ["", ""]
        self._difference: QImage | None = None
        self._zoom = 1.0
        self._center = QPointF(0.5, 0.5)
        self._drag: QPointF | None = None
        self._wiping = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setMinimumSize(160, 140)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Preview"))

    def set_mode(self, mode: Mode) -> None:
        """Show one picture or compare two."""
        self.mode = mode
        self._difference = None
        self.update()

    def set_image(self, place: int, image: QImage | None, title: str) -> None:
        """Set the first (0) or second (1) picture."""
        self._images[place] = image
        self._titles[place] = title
        self._difference = None
        shown = self._titles[:1] if self.mode == "single" else self._titles
        self.setAccessibleDescription(", ".join(t for t in shown if t))
        self.update()

    def title(self, place: int) -> str:
        """The title of a picture."""
        return self._titles[place]

    def fit(self) -> None:
        """Show the whole picture."""
        self._zoom, self._center = 1.0, QPointF(0.5, 0.5)
        self.update()

    # Places

    def _frames(self) -> list[QRectF]:
        """The parts of the widget that hold a picture."""
        whole = QRectF(self.rect())
        if self.mode == "side":
            half = (whole.width() - 8) / 2
            return [
                QRectF(0, 0, half, whole.height()), QRectF(half + 8, 0, half, whole.height()),
            ]  # fmt: skip
        return [whole]

    def _spot(self, frame: QRectF, image: QImage) -> QRectF:
        """Where a picture lies, for zoom and place."""
        room = frame.adjusted(0, 0, 0, -self._line_height() if self._titles[0] else 0)
        fit = min(room.width() / image.width(), room.height() / image.height())
        width, height = image.width() * fit * self._zoom, image.height() * fit * self._zoom
        middle = room.center()
        return QRectF(
            middle.x() - width * self._center.x(), middle.y() - height * self._center.y(),
            width, height,
        )  # fmt: skip

    def _line_height(self) -> int:
        return self.fontMetrics().height() + 8

    def _first_spot(self) -> QRectF | None:
        image = self._images[0]
        return self._spot(self._frames()[0], image) if image is not None else None

    # Painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the pictures of the mode, with their titles below."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._zoom < 4)
        first, second = self._images
        frames = self._frames()
        if first is None:
            painter.setPen(theme.color("text3"))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._titles[0])
            return
        spot = self._spot(frames[0], first)
        painter.save()
        painter.setClipRect(frames[0].adjusted(0, 0, 0, -self._line_height()))
        if self.mode == "difference" and second is not None:
            painter.drawImage(spot, self._make_difference(first, second))
        else:
            painter.drawImage(spot, first)
        if self.mode == "wipe" and second is not None:
            self._paint_wipe(painter, spot, second)
        painter.restore()
        if self.mode == "side" and second is not None:
            painter.save()
            painter.setClipRect(frames[1].adjusted(0, 0, 0, -self._line_height()))
            painter.drawImage(self._spot(frames[1], second), second)
            painter.restore()
        self._paint_titles(painter, frames)
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def _paint_wipe(self, painter: QPainter, spot: QRectF, second: QImage) -> None:
        line = spot.x() + spot.width() * self.wipe
        right = QRectF(line, 0, self.width() - line, self.height())
        painter.save()
        painter.setClipRect(right, Qt.ClipOperation.IntersectClip)
        painter.drawImage(spot, second)
        painter.restore()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.color("raised"), 4))
        painter.drawLine(QPointF(line, spot.top()), QPointF(line, spot.bottom()))
        painter.setPen(QPen(theme.color("accent"), 2))
        painter.drawLine(QPointF(line, spot.top()), QPointF(line, spot.bottom()))
        painter.setBrush(theme.color("accent"))
        painter.setPen(QPen(theme.color("raised"), 2))
        painter.drawEllipse(QPointF(line, spot.center().y()), _HANDLE, _HANDLE)

    def _make_difference(self, first: QImage, second: QImage) -> QImage:
        """Difference of each color, doubled so that small ones are seen."""
        if self._difference is None:
            size = first.size()
            other = second.scaled(size) if second.size() != size else second
            made = first.convertToFormat(QImage.Format.Format_RGB32)
            painter = QPainter(made)
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Difference)
            painter.drawImage(0, 0, other)
            painter.end()
            twice = made.copy()
            painter = QPainter(twice)
            painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Plus)
            painter.drawImage(0, 0, made)
            painter.end()
            self._difference = twice
        return self._difference

    def _paint_titles(self, painter: QPainter, frames: list[QRectF]) -> None:
        painter.setFont(theme.font(theme.SMALL))
        painter.setPen(theme.color("text2"))
        height = self._line_height()
        if self.mode == "side":
            places = list(zip(frames, self._titles, strict=False))
        elif self.mode == "single":
            places = [(frames[0], self._titles[0])]
        else:
            joint = " | " if self.mode == "wipe" else " − "
            places = [(frames[0], joint.join(t for t in self._titles if t))]
        for frame, words in places:
            foot = QRectF(frame.x(), frame.bottom() - height, frame.width(), height)
            fitted = painter.fontMetrics().elidedText(
                words, Qt.TextElideMode.ElideMiddle, int(foot.width())
            )
            painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, fitted)

    # Mouse and keys

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the mouse."""
        spot = self._first_spot()
        if spot is None or not spot.width():
            return
        at = event.position()
        before = QPointF((at.x() - spot.x()) / spot.width(), (at.y() - spot.y()) / spot.height())
        factor = 1.25 ** (event.angleDelta().y() / 120)
        self._zoom = min(_MAX_ZOOM, max(1.0, self._zoom * factor))
        after = self._first_spot()
        if after is not None:
            self._center += QPointF(
                before.x() - (at.x() - after.x()) / after.width(),
                before.y() - (at.y() - after.y()) / after.height(),
            )
        if self._zoom == 1.0:
            self._center = QPointF(0.5, 0.5)
        event.accept()
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the line or the picture."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self._drag = event.position()
        spot = self._first_spot()
        if spot is not None and self.mode == "wipe":
            line = spot.x() + spot.width() * self.wipe
            self._wiping = self._zoom == 1.0 or abs(event.position().x() - line) < 2 * _HANDLE
            if self._wiping:
                self._move_wipe(event.position().x(), spot)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the line or the picture."""
        spot = self._first_spot()
        if self._drag is None or spot is None:
            return
        if self._wiping:
            self._move_wipe(event.position().x(), spot)
        elif self._zoom > 1:
            moved = event.position() - self._drag
            self._center -= QPointF(moved.x() / spot.width(), moved.y() / spot.height())
            self._center = QPointF(
                min(1.0, max(0.0, self._center.x())), min(1.0, max(0.0, self._center.y()))
            )
            self.update()
        self._drag = event.position()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._drag, self._wiping = None, False

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Fit."""
        self.fit()

    def _move_wipe(self, x: float, spot: QRectF) -> None:
        self.wipe = min(1.0, max(0.0, (x - spot.x()) / spot.width()))
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows turn steps (up, down) and prompts (left, right); comma and point turn steps."""
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if shift and event.key() in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.wipe += 0.05 if event.key() == Qt.Key.Key_Right else -0.05
            self.wipe = min(1.0, max(0.0, self.wipe))
            self.update()
            return
        turns = {
            Qt.Key.Key_Up: (1, 0), Qt.Key.Key_Down: (-1, 0), Qt.Key.Key_Period: (1, 0),
            Qt.Key.Key_Comma: (-1, 0), Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1),
        }  # fmt: skip
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        elif Qt.Key(event.key()) in turns:
            self.turned.emit(*turns[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)

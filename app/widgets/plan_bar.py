"""Area D: what the job will do, in tiles, and what keeps Train off (spec: look 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.icons import draw_icon
from app.theme import SMALL, color, font
from app.widgets.button import Button
from app.widgets.label import ElidedLabel, Label


@dataclass(frozen=True)
class Tile:
    """A figure and what it means. Tiles with a high `drop` go first when room is scarce."""

    figure: str
    meaning: str
    drop: int = 0  # 0: never
    wrong: bool = False
    key: str = ""


@dataclass(frozen=True)
class Standing:
    """The right end: Ready, Training, or what keeps Train off.

    `note` stands below Ready or Training; while Train is off, it says what the tiles count.
    """

    kind: Literal["ready", "off", "training", "waiting"]
    words: str
    note: str = ""


class Tiles(QWidget):
    """The tiles, painted; those that do not fit are dropped by their rank."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tiles: tuple[Tile, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_tiles(self, tiles: Sequence[Tile]) -> None:
        """Show other figures."""
        tiles = tuple(tiles)
        if tiles != self._tiles:
            self._tiles = tiles
            words = "; ".join(f"{t.figure} {t.meaning}" for t in tiles)
            self.setAccessibleName(self.tr("Plan") + f": {words}")
            self.setToolTip("\n".join(f"{t.figure}  {t.meaning}" for t in tiles))
            self.update()

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, dropped ones too."""
        return self._tiles

    def _width(self, tile: Tile) -> int:
        figure = QFontMetrics(font(bold=True)).horizontalAdvance(tile.figure)
        meaning = QFontMetrics(font(SMALL)).horizontalAdvance(tile.meaning)
        return max(figure, meaning) + 2

    def fitting(self) -> list[Tile]:
        """The tiles that have room now."""
        kept = list(self._tiles)
        room = self.width() - 16
        while len(kept) > 1:
            if sum(self._width(t) for t in kept) + 33 * (len(kept) - 1) <= room:
                break
            last = max(kept, key=lambda t: t.drop)
            if last.drop == 0:
                break
            kept.remove(last)
        return kept

    def sizeHint(self) -> QSize:
        """Two lines."""
        return QSize(300, self.fontMetrics().height() * 2 + 20)

    def minimumSizeHint(self) -> QSize:
        """Two lines."""
        return QSize(120, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the tiles that fit."""
        painter = QPainter(self)
        big, small = font(bold=True), font(SMALL)
        line = QFontMetrics(big).height()
        top = (self.height() - line - QFontMetrics(small).height() - 1) / 2
        x = 16.0
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        for i, tile in enumerate(self.fitting()):
            if i:
                painter.fillRect(QRectF(x - 17, top + 1, 1, self.height() - 2 * top - 2),
                                 color("line"))  # fmt: skip
            width = self._width(tile)
            painter.setFont(big)
            painter.setPen(color("error" if tile.wrong else "text"))
            painter.drawText(QRectF(x, top, width + 4, line), align, tile.figure)
            painter.setFont(small)
            painter.setPen(color("error" if tile.wrong else "text2"))
            painter.drawText(QRectF(x, top + line + 1, width + 4, line), align, tile.meaning)
            x += width + 33


class PlanBar(QWidget):
    """Tiles at the left, standing at the right.

    Signals:
        mend_asked: the person wants to see what keeps Train off.
    """

    mend_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 1, 16, 0)
        row.setSpacing(10)
        self.tiles = Tiles(self)
        row.addWidget(self.tiles, 1)
        self._off = Label(self.tr("Train is off"), "text2", SMALL, self)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        self._off.setAlignment(right)
        self.button = Button("", "danger", "error", self)
        self.button.clicked.connect(self.mend_asked)
        words = QVBoxLayout()
        words.setSpacing(1)
        self._words = _StandingWords(self)
        self.note = ElidedLabel("", "text2", SMALL, self)
        self.note.setAlignment(right)
        words.addStretch(1)
        words.addWidget(self._words, 0, Qt.AlignmentFlag.AlignRight)
        words.addWidget(self.note)
        words.addStretch(1)
        row.addWidget(self._off)
        row.addWidget(self.button)
        row.addLayout(words)
        self.standing = Standing("waiting", "")
        self.set_standing(self.standing)

    def set_standing(self, standing: Standing) -> None:
        """Show what the program is ready for."""
        self.standing = standing
        off = standing.kind == "off"
        self._off.setVisible(off)
        self.button.setVisible(off)
        self._words.setVisible(not off)
        self.note.setVisible(not off and bool(standing.note))
        if off:
            filling = "fill" in standing.words
            words = filter(None, (self.tr("Train is off"), standing.note))
            self._off.setText("\n".join(words))
            self.button.setText(standing.words)
            self.button.set_role("secondary" if filling else "danger")
            self.button.set_icon("help" if filling else "error")
            self.button.updateGeometry()
            self.button.setAccessibleDescription(self.tr("Train is off until they are right"))
        else:
            self._words.show_standing(standing)
            self.note.setText(standing.note)

    def sizeHint(self) -> QSize:
        """54 high at the usual text size."""
        return QSize(600, max(54, self.tiles.sizeHint().height()))

    def minimumSizeHint(self) -> QSize:
        """As low as it is."""
        return QSize(300, self.sizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint ground and upper line."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), color("window"))
        painter.fillRect(QRectF(0, 0, self.width(), 1), color("line"))


class _StandingWords(QWidget):
    """A mark and one bold word."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._standing = Standing("waiting", "")

    def show_standing(self, standing: Standing) -> None:
        """Show another standing."""
        self._standing = standing
        self.setAccessibleName(standing.words)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Mark and word."""
        metrics = QFontMetrics(font(bold=True))
        return QSize(metrics.horizontalAdvance(self._standing.words) + 24, metrics.height() + 2)

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint mark and word."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        kind = self._standing.kind
        middle = self.height() / 2
        token = "text2" if kind == "waiting" else "accent"
        if kind == "ready":
            draw_icon(painter, "check", QRectF(0, middle - 8, 16, 16), token)
        elif kind == "training":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color(token))
            painter.drawEllipse(QRectF(6, middle - 3, 6, 6))
        painter.setFont(font(bold=True))
        painter.setPen(color(token))
        painter.drawText(
            QRectF(22, 0, self.width(), self.height()),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self._standing.words,
        )  # fmt: skip
